//! Bytes that go from one descriptor to another without passing through the program's memory.

use super::{RETRY_NANOS, whole};
use crate::driver::{End, Op};
use crate::fiber::Loop;
use crate::sys::{Errno, Fd, Kernel, check, portable};

/// How often a descriptor is looked at whose close is no event, because it has hung up before.
const LOOK_NANOS: u64 = 100_000_000;

/// Moves up to `len` bytes between two descriptors, one of which is a pipe, as `splice(2)` does: at least one unless the end
/// is reached. Suspends the fiber until there is something to move and room for it, unless `flags` has
/// `SPLICE_F_NONBLOCK`. Raises no SIGPIPE.
///
/// # Errors
///
/// `EAGAIN` under `SPLICE_F_NONBLOCK`, `EINVAL` when neither is a pipe, `EPIPE`, the kernel's own, `ECANCELED`, `ETIMEDOUT`,
/// and `EBADF` when one of them is closed meanwhile.
///
/// # Safety
///
/// The offsets' places must be valid or null until the call returns.
pub unsafe fn splice<K: Kernel>(looped: &Loop<K>, from: End, to: End, len: usize, flags: u32) -> Result<usize, Errno> {
    let lives = || [looped.life(from.0), looped.life(to.0)];
    let before = lives();
    loop {
        // SAFETY: forwarded from the caller.
        let result = unsafe { looped.splice(from, to, len, flags) };
        if result != -libc::EAGAIN || flags & portable::SPLICE_F_NONBLOCK != 0 {
            return check(result).map(|count| count as usize);
        }
        wait(looped, from.0, to.0)?;
        if lives() != before {
            return Err(Errno(libc::EBADF));
        }
    }
}

/// Waits until there is something in the one or room in the other, whichever is lacking. The close of either is an end to it:
/// by the time that something comes, its number may be another file's.
fn wait<K: Kernel>(looped: &Loop<K>, from: Fd, to: Fd) -> Result<(), Errno> {
    const ALWAYS: i16 = libc::POLLERR | libc::POLLHUP;
    let mut fds =
        [(from, libc::POLLIN), (to, libc::POLLOUT)].map(|(fd, events)| libc::pollfd { fd, events, revents: 0 });
    check(looped.kernel().poll(&mut fds, Some(0)))?;
    let [source, sink] = fds;
    let held = looped.held(from, libc::POLLIN as u32) != 0;
    let (waited, other) = match (held || (source.revents != 0 && !looped.receives(from)), sink.revents != 0) {
        (false, _) => (source, sink),
        (true, false) => (sink, source),
        // It would not, although both are ready: there is no event for what it lacks.
        (true, true) => return looped.sleep(RETRY_NANOS),
    };
    let events = u32::from(waited.events as u16);
    if !looped.in_fiber() {
        // SAFETY: a poll lends no memory.
        return check(unsafe { looped.perform(Op::Poll { fd: waited.fd, events }) }).map(drop);
    }
    // One that has hung up already would say so for ever, so its close is looked for now and then.
    let (silent, until) = match other.revents & ALWAYS {
        0 => (Some((other.fd, 0)), 0),
        _ => (None, looped.kernel().now().saturating_add(LOOK_NANOS)),
    };
    check(looped.wait_for_any([(waited.fd, events)].into_iter().chain(silent), until)).map(drop)
}

/// Sends `len` bytes of a file, from the place that the offset names (which moves along) or from the file's own position,
/// as a blocking descriptor would. Suspends the fiber when there is no room. Raises no SIGPIPE.
///
/// Returns how many were sent: fewer than `len` at the end of the file.
///
/// # Errors
///
/// `EINVAL` when `from` is nothing that can be mapped, `EPIPE`, the kernel's own, `ECANCELED`, `ETIMEDOUT`, and `EBADF` when
/// one of them is closed meanwhile. When a part was sent before the failure, its length is returned instead, and the next call
/// fails.
///
/// # Safety
///
/// The offset's place must be valid or null until the call returns.
pub unsafe fn sendfile<K: Kernel>(looped: &Loop<K>, to: Fd, from: End, len: usize) -> Result<usize, Errno> {
    let lives = || [looped.life(from.0), looped.life(to)];
    let before = lives();
    whole(looped, to, len, |sent| {
        loop {
            // SAFETY: forwarded from the caller.
            let result = unsafe { looped.sendfile(to, from, len - sent) };
            if result != -libc::EAGAIN {
                return result;
            }
            let room = (to, libc::POLLOUT as u32);
            let waited = match looped.in_fiber() {
                // The file never says anything but that it is closed.
                true => looped.wait_for_any([room, (from.0, 0)].into_iter(), 0),
                // SAFETY: a poll lends no memory.
                false => unsafe { looped.perform(Op::Poll { fd: room.0, events: room.1 }) },
            };
            if waited < 0 {
                return waited;
            }
            if lives() != before {
                return -libc::EBADF;
            }
        }
    })
}
