//! Waiting for several descriptors.

use crate::boundary::on_loop;
use libc::{fd_set, pollfd};
use nyario_core::net::{self, Set};
use nyario_core::sys::Errno;
use std::ffi::c_int;

/// Waits until at least one of `count` descriptors has something to tell, and fills in their revents, as poll(2) does:
/// negative descriptors are passed over, and one that is not open is told as POLLNVAL. `timeout` is in nanoseconds;
/// negative waits for ever. The array is borrowed until the call returns. Suspends the fiber; with no descriptors it is a
/// sleep.
///
/// Returns how many have something to tell, 0 when the time is up, or -EINVAL for NULL or more descriptors than the process
/// may have, -EBADF when one of them is closed meanwhile, -ENOMEM, -ECANCELED, -ETIMEDOUT past the fiber's deadline. Since
/// 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_poll(fds: *mut pollfd, count: usize, timeout: i64) -> c_int {
    on_loop(|looped| {
        let fds = match (fds.is_null(), count) {
            (_, 0) => &mut [][..],
            (true, _) => return Err(Errno(libc::EINVAL)),
            // More than the process may have is refused by the kernel before it looks at them.
            (false, count) if count > c_int::MAX as usize => return Err(Errno(libc::EINVAL)),
            // SAFETY: the caller lends the array for the call.
            (false, count) => unsafe { std::slice::from_raw_parts_mut(fds, count) },
        };
        net::poll(looped, fds, u64::try_from(timeout).ok()).map(|found| found as c_int)
    })
}

/// Waits until at least one of the descriptors below `count` in the sets is readable, writable or exceptional, and
/// leaves only those in the sets, as select(2) does; `count` may be above FD_SETSIZE if the sets are as large. Any set may
/// be NULL. `timeout` is in nanoseconds; negative waits for ever. The sets are borrowed until the call returns, and are
/// left alone when it fails. Suspends the fiber.
///
/// Returns how many places are left in the sets, 0 when the time is up, or -EBADF for a descriptor that is not open or is
/// closed meanwhile, -EINVAL for a negative `count`, -ENOMEM, -ECANCELED, -ETIMEDOUT past the fiber's deadline. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_select(
    count: c_int,
    readable: *mut fd_set,
    writable: *mut fd_set,
    exceptional: *mut fd_set,
    timeout: i64,
) -> c_int {
    // SAFETY: the caller lends sets of that many places for the call.
    let sets = [readable, writable, exceptional].map(|set| unsafe { Set::new(set.cast()) });
    on_loop(|looped| net::select(looped, count, sets, u64::try_from(timeout).ok()).map(|left| left as c_int))
}
