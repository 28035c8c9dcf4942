//! Two descriptors at once, each the other's peer.

use super::close;
use crate::driver::Carries;
use crate::fiber::Loop;
use crate::sys::{Errno, Fd, Kernel, check, portable};

/// Opens two sockets that are connected to each other, close-on-exec. They are the loop's like one that was dialled, so
/// reading and writing them needs no look at what they are. Does not suspend.
///
/// # Errors
///
/// `EAFNOSUPPORT`, `EPROTONOSUPPORT`, `EOPNOTSUPP` for a family that has no pairs, `EINVAL`, `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn socketpair<K: Kernel>(looped: &Loop<K>, domain: i32, kind: i32, protocol: i32) -> Result<[Fd; 2], Errno> {
    let mut ends = [-1; 2];
    check(looped.kernel().socketpair(domain, kind | portable::SOCK_CLOEXEC, protocol, &mut ends))?;
    let nonblocking = kind & portable::SOCK_NONBLOCK != 0;
    enter(looped, ends, nonblocking, |fd| Carries::of(looped.kernel(), fd))
}

/// Opens a pipe, close-on-exec: the end to read from, and the one to write to. Both are the loop's own, as with
/// [`socketpair`]; whoever they are handed to, a child process above all, finds them blocking. Does not suspend.
///
/// # Errors
///
/// `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn pipe<K: Kernel>(looped: &Loop<K>) -> Result<[Fd; 2], Errno> {
    let mut ends = [-1; 2];
    check(looped.kernel().pipe(&mut ends))?;
    enter(looped, ends, false, |_| Ok(Carries::PipedBytes))
}

/// Enters both, or closes both.
fn enter<K: Kernel>(
    looped: &Loop<K>,
    ends: [Fd; 2],
    nonblocking: bool,
    carries: impl Fn(Fd) -> Result<Carries, Errno>,
) -> Result<[Fd; 2], Errno> {
    let entered = ends.iter().try_for_each(|&fd| looped.opened_as(fd, nonblocking, carries(fd)?));
    match entered {
        Ok(()) => Ok(ends),
        Err(error) => {
            for fd in ends {
                close(looped, fd).ok();
            }
            Err(error)
        }
    }
}
