//! Signals.

use crate::boundary::on_loop;
use nyario_core::signal;
use nyario_core::sys::Errno;
use nyario_core::sys::abi::SignalInfo;
use std::ffi::{c_int, c_void};

/// Waits for one of the signals in `set`, takes it, and fills in `*info`, a siginfo_t, unless that is NULL: like
/// sigwaitinfo(2). Suspends the fiber; off a fiber it blocks the thread.
///
/// The signals must be blocked, or else they do what they do without nyario. The call blocks them in the calling thread, and
/// leaves them so; a program with more threads does that itself (pthread_sigmask(3)) before it makes those, as its threads
/// inherit the mask, and so do its children. Any number of fibers may wait for a signal; it goes to one of them. One that
/// comes while nobody waits is kept for the next call.
///
/// Returns the signal's number, or -EINVAL for NULL or an empty set, -EMFILE, -ENFILE, -ENOMEM, -ECANCELED, -ETIMEDOUT.
/// Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_sigwait(set: *const libc::sigset_t, info: *mut c_void) -> c_int {
    on_loop(|looped| {
        if set.is_null() {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: the caller lends the set for the call. The kernel's signals, of which there are 64, are its first bits.
        let signals = unsafe { set.cast::<u64>().read_unaligned() };
        let taken = signal::wait(looped, signals)?;
        if !info.is_null() {
            // SAFETY: the caller lends a place for a siginfo_t.
            unsafe { info.cast::<Info>().write_unaligned(Info::of(&taken)) };
        }
        Ok(taken.signo as c_int)
    })
}

/// The kernel's siginfo_t on 64-bit machines, the words in which the kinds of signals differ by their places.
#[repr(C)]
struct Info {
    signo: i32,
    errno: i32,
    code: i32,
    pad: i32,
    /// pid and uid, the timer and its overrun, or the poll's band.
    first: u64,
    /// The value, or the child's status.
    second: u64,
    utime: u64,
    stime: u64,
    rest: [u64; 10],
}

const _: () = assert!(size_of::<Info>() == size_of::<libc::siginfo_t>());

impl Info {
    fn of(taken: &SignalInfo) -> Info {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let sent = pair(taken.pid, taken.uid);
        // A code above 0 is the kernel's, and says more by the signal; the others say how it was sent.
        let (first, second) = match (taken.signo as i32, taken.code) {
            (libc::SIGCHLD, 1..) => (sent, u64::from(taken.status as u32)),
            (libc::SIGPOLL, 1..) => (u64::from(taken.band), u64::from(taken.fd as u32)),
            (_, libc::SI_TIMER) => (pair(taken.tid, taken.overrun), taken.ptr),
            _ => (sent, taken.ptr),
        };
        Info {
            signo: taken.signo as i32,
            errno: taken.errno,
            code: taken.code,
            pad: 0,
            first,
            second,
            utime: taken.utime,
            stime: taken.stime,
            rest: [0; 10],
        }
    }
}
