//! Wait groups.

use super::within;
use crate::boundary::on_loop;
use nyario_core::fiber::Loop;
use nyario_core::sync::Group;
use nyario_core::sys::Errno;
use std::ffi::c_int;

/// Counts what is under way, and lets fibers wait until nothing is: NYARIO_GROUP_INIT, or all zeroes, counts nothing yet.
/// Fibers of one loop share it, and nothing needs to be done when it is no longer used.
#[repr(C)]
#[allow(non_camel_case_types, reason = "C's name for it")]
pub struct nyario_group {
    words: [u64; 6],
}

unsafe fn with(group: *mut nyario_group, work: impl FnOnce(&Group, &Loop) -> Result<(), Errno>) -> c_int {
    // SAFETY: the caller lends a group for the call.
    on_loop(|looped| work(unsafe { within(group) }?, looped).map(|()| 0))
}

/// So many more are under way. Does not suspend.
///
/// Returns 0, or -EINVAL for NULL or a negative number, -EOVERFLOW, -EPERM when fibers of another loop use it.
/// Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_group_add(group: *mut nyario_group, more: i64) -> c_int {
    let add = |group: &Group, looped: &Loop| group.add(looped, more.try_into().map_err(|_| Errno(libc::EINVAL))?);
    // SAFETY: forwarded from the caller.
    unsafe { with(group, add) }
}

/// One is done; with the last, every fiber that waits goes on. Does not suspend.
///
/// Returns 0, or -EINVAL for NULL or when nothing is under way, -EPERM when fibers of another loop use it. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_group_done(group: *mut nyario_group) -> c_int {
    // SAFETY: forwarded from the caller.
    unsafe { with(group, Group::done) }
}

/// Waits until nothing is under way. Suspends the fiber.
///
/// Returns 0, or -EINVAL for NULL, -EDEADLK off a fiber while something is under way, -EPERM when fibers of another loop
/// use it, -ECANCELED, -ETIMEDOUT past the fiber's deadline. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_group_wait(group: *mut nyario_group) -> c_int {
    // SAFETY: forwarded from the caller.
    unsafe { with(group, Group::wait) }
}
