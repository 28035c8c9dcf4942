//! Mutexes.

use super::within;
use crate::boundary::on_loop;
use nyario_core::fiber::Loop;
use nyario_core::sync::Mutex;
use nyario_core::sys::Errno;
use std::ffi::c_int;

/// A lock that one fiber holds at a time: NYARIO_MUTEX_INIT, or all zeroes, is one that nobody holds. Fibers of one loop
/// share it, and nothing needs to be done when it is no longer used. A call that has to wait waits its turn: the lock is
/// handed to whoever has waited longest.
#[repr(C)]
#[allow(non_camel_case_types, reason = "C's name for it")]
pub struct nyario_mutex {
    words: [u64; 6],
}

unsafe fn with(mutex: *mut nyario_mutex, work: impl FnOnce(&Mutex, &Loop) -> Result<(), Errno>) -> c_int {
    // SAFETY: the caller lends a mutex for the call.
    on_loop(|looped| work(unsafe { within(mutex) }?, looped).map(|()| 0))
}

/// Takes the lock. Suspends the fiber until it has its turn.
///
/// Returns 0, or -EINVAL for NULL, -EDEADLK when the caller holds it already, or off a fiber when a fiber does, -EPERM
/// when a fiber of another loop holds it; -ECANCELED and -ETIMEDOUT past the fiber's deadline, and then it is not held.
/// Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_mutex_lock(mutex: *mut nyario_mutex) -> c_int {
    // SAFETY: forwarded from the caller.
    unsafe { with(mutex, Mutex::lock) }
}

/// Takes the lock if nobody holds it. Does not suspend.
///
/// Returns 0, or -EBUSY when somebody holds it, the caller included, -EINVAL for NULL, -EPERM when a fiber of another
/// loop holds it. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_mutex_try_lock(mutex: *mut nyario_mutex) -> c_int {
    // SAFETY: forwarded from the caller.
    unsafe { with(mutex, Mutex::try_lock) }
}

/// Hands the lock to whoever has waited longest, or frees it. Does not suspend.
///
/// Returns 0, or -EPERM when the caller does not hold it, -EINVAL for NULL. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_mutex_unlock(mutex: *mut nyario_mutex) -> c_int {
    // SAFETY: forwarded from the caller.
    unsafe { with(mutex, Mutex::unlock) }
}
