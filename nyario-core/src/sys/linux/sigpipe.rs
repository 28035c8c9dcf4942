//! Calls that raise SIGPIPE and have no flag against it.

use super::SIGMASK_SIZE;
use super::trap::trap;

const SIGPIPE: u64 = 1 << (libc::SIGPIPE - 1);

/// Makes a call with SIGPIPE held back, and takes away the one that it raised. One that the program holds back itself
/// stays its own affair.
pub(super) fn without_sigpipe(call: impl FnOnce() -> isize) -> isize {
    let mut before = 0u64;
    mask(libc::SIG_BLOCK, &SIGPIPE, &mut before);
    let result = call();
    if before & SIGPIPE == 0 {
        if result == -(libc::EPIPE as isize) {
            let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            let set = SIGPIPE;
            let args = [&raw const set as usize, 0, &raw const at_once as usize, SIGMASK_SIZE];
            // SAFETY: the set and the time outlive the call, which stores nothing.
            unsafe { trap(libc::SYS_rt_sigtimedwait as usize, &args) };
        }
        mask(libc::SIG_SETMASK, &before, &mut 0);
    }
    result
}

fn mask(how: i32, set: &u64, before: &mut u64) {
    let args = [how as usize, std::ptr::from_ref(set) as usize, std::ptr::from_mut(before) as usize, SIGMASK_SIZE];
    // SAFETY: both sets are as large as the kernel's and outlive the call.
    unsafe { trap(libc::SYS_rt_sigprocmask as usize, &args) };
}
