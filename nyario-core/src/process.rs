//! Children: waiting for their ends without holding up the thread.
//!
//! A child is looked at first; one that lives is waited for by a descriptor that the kernel has for it (pidfd), and then
//! looked at again. Only that look takes it away, so whoever gives up early leaves the child to be waited for. What such a
//! descriptor does not tell (any child, a group's, stops and continuations) a thread of the pool waits for, without taking it.

use crate::driver::Op;
use crate::fiber::Loop;
use crate::net;
use crate::offload;
use crate::sys::{Errno, Kernel, check};

/// What waitpid(2) knows of.
const OPTIONS: i32 = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;

/// How long to wait before another look at a child whose end somebody else (a debugger) is shown first.
const RETRY_NANOS: u64 = 1_000_000;

/// waitpid(2): the child, or 0 with `WNOHANG` when none has changed, and its status. Suspends the fiber.
///
/// # Errors
///
/// `ECHILD` when there is no such child, `EINVAL` for options unknown to waitpid(2), `EMFILE`, `ENFILE`, `ENOMEM`,
/// `ECANCELED`, `ETIMEDOUT`, and as [`offload::run_owned`].
pub fn wait<K: Kernel + Send + Sync>(looped: &Loop<K>, pid: i32, options: i32) -> Result<(i32, i32), Errno> {
    if options & !OPTIONS != 0 {
        return Err(Errno(libc::EINVAL));
    }
    let kernel = looped.kernel();
    loop {
        let mut status = 0;
        match check(kernel.wait4(pid, &mut status, options | libc::WNOHANG))? {
            0 if options & libc::WNOHANG == 0 => until_change(looped, pid, options)?,
            child => return Ok((child, status)),
        }
    }
}

/// Waits until there is something to be seen of the children that `pid` stands for.
fn until_change<K: Kernel + Send + Sync>(looped: &Loop<K>, pid: i32, options: i32) -> Result<(), Errno> {
    if pid <= 0 || options != 0 {
        return by_thread(looped, pid, options);
    }
    match check(looped.kernel().pidfd_open(pid)) {
        Ok(fd) => {
            // SAFETY: a poll lends no memory.
            let ended = check(unsafe { looped.perform(Op::Poll { fd, events: libc::POLLIN as u32 }) });
            net::close(looped, fd).ok();
            ended?;
            let mut status = 0;
            // Looked at without being taken: the caller's look is the one that counts.
            if looped.kernel().waitid(libc::P_PID, pid as u32, EXITED | libc::WNOHANG, &mut status) == 0 && status == 0
            {
                looped.sleep(RETRY_NANOS)?;
            }
            Ok(())
        }
        // Before Linux 5.3, or where a container forbids it.
        Err(Errno(libc::ENOSYS | libc::EPERM)) => by_thread(looped, pid, options),
        // Somebody else has taken it: the next look says so.
        Err(Errno(libc::ESRCH)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// An end, seen and left.
const EXITED: i32 = libc::WEXITED | libc::WNOWAIT;

fn by_thread<K: Kernel + Send + Sync>(looped: &Loop<K>, pid: i32, options: i32) -> Result<(), Errno> {
    let kernel = looped.kernel().clone();
    let (kind, id) = match pid {
        -1 => (libc::P_ALL, 0),
        0 => (libc::P_PGID, 0),
        1.. => (libc::P_PID, pid as u32),
        _ => (libc::P_PGID, pid.unsigned_abs()),
    };
    let waited = offload::run_owned(looped, move || {
        loop {
            let result = kernel.waitid(kind, id, EXITED | options, &mut 0);
            if result != -libc::EINTR {
                return check(result);
            }
        }
    })?;
    waited.map(drop)
}
