//! Condition variables.

use super::mutex::nyario_mutex;
use super::within;
use crate::boundary::on_loop;
use nyario_core::fiber::Loop;
use nyario_core::sync::Condition;
use nyario_core::sys::Errno;
use std::ffi::c_int;

/// Where fibers wait for word that something under a mutex has changed: NYARIO_COND_INIT, or all zeroes, is one on which
/// nobody waits. Fibers of one loop share it, and nothing needs to be done when it is no longer used.
#[repr(C)]
#[allow(non_camel_case_types, reason = "C's name for it")]
pub struct nyario_cond {
    words: [u64; 6],
}

unsafe fn with(cond: *mut nyario_cond, work: impl FnOnce(&Condition, &Loop) -> Result<(), Errno>) -> c_int {
    // SAFETY: the caller lends a condition for the call.
    on_loop(|looped| work(unsafe { within(cond) }?, looped).map(|()| 0))
}

/// Unlocks the mutex and waits for word, in one step, and locks the mutex again before it returns, even when it was
/// cancelled or its deadline has passed. The change may be undone by then: look again. Suspends the fiber.
///
/// Returns 0, or -EINVAL for NULL, -EPERM when the caller does not hold the mutex, or fibers of another loop wait,
/// -EDEADLK off a fiber, -ECANCELED, -ETIMEDOUT past the fiber's deadline. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_cond_wait(cond: *mut nyario_cond, mutex: *mut nyario_mutex) -> c_int {
    // SAFETY: the caller lends both for the call.
    unsafe { with(cond, |cond, looped| cond.wait(looped, within(mutex)?)) }
}

/// Gives word to the fiber that has waited longest, if any waits. Does not suspend.
///
/// Returns 0, or -EINVAL for NULL, -EPERM when fibers of another loop wait. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_cond_signal(cond: *mut nyario_cond) -> c_int {
    // SAFETY: forwarded from the caller.
    unsafe { with(cond, Condition::signal) }
}

/// Gives word to every fiber that waits. Does not suspend.
///
/// Returns as nyario_cond_signal. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_cond_broadcast(cond: *mut nyario_cond) -> c_int {
    // SAFETY: forwarded from the caller.
    unsafe { with(cond, Condition::broadcast) }
}
