//! Semaphores.

use super::within;
use crate::boundary::{guard, keeping_errno};
use nyario_core::local;
use nyario_core::sync::Semaphore;
use nyario_core::sys::Errno;
use std::ffi::c_int;

/// A number of permits: NYARIO_SEMAPHORE_INIT, or all zeroes, is one without any. Fibers of any loop share it with
/// threads that run none, and nothing needs to be done when it is no longer used.
#[repr(C)]
#[allow(non_camel_case_types, reason = "C's name for it")]
pub struct nyario_semaphore {
    words: [u64; 8],
}

/// Makes a semaphore with so many permits. Nobody may wait on it. Does not suspend.
///
/// Returns 0, or -EINVAL for NULL or a negative number. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_semaphore_init(semaphore: *mut nyario_semaphore, permits: i64) -> c_int {
    guard(|| {
        let permits = permits.try_into().map_err(|_| Errno(libc::EINVAL))?;
        // SAFETY: the caller lends the words, and `within` has looked at their alignment.
        unsafe {
            within::<_, Semaphore>(semaphore)?;
            semaphore.cast::<Semaphore>().write(Semaphore::new(permits));
        }
        Ok(0)
    })
}

/// Takes a permit. Suspends the fiber until there is one; off a fiber it blocks the thread. Permits go to those that
/// wait in the order in which they came.
///
/// Returns 0, or -EINVAL for NULL, -ECANCELED and -ETIMEDOUT past the fiber's deadline, and then none is taken.
/// Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_semaphore_wait(semaphore: *mut nyario_semaphore) -> c_int {
    // SAFETY: the caller lends a semaphore for the call.
    let wait = || unsafe { within::<_, Semaphore>(semaphore) }?.wait(local::current()).map(|()| 0);
    guard(|| keeping_errno(wait))
}

/// Takes a permit if there is one. Does not suspend.
///
/// Returns 0, or -EAGAIN when there is none, -EINVAL for NULL. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_semaphore_try_wait(semaphore: *mut nyario_semaphore) -> c_int {
    // SAFETY: the caller lends a semaphore for the call.
    guard(|| unsafe { within::<_, Semaphore>(semaphore) }?.try_wait().map(|()| 0))
}

/// Gives a permit to whoever has waited longest, or keeps it for the next that comes. From any thread, fiber or not; not
/// from a signal handler. Does not suspend.
///
/// Returns 0, or -EINVAL for NULL, -EOVERFLOW when it has 2^63 - 1 already. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_semaphore_post(semaphore: *mut nyario_semaphore) -> c_int {
    // SAFETY: the caller lends a semaphore for the call.
    let post = || unsafe { within::<_, Semaphore>(semaphore) }?.post(local::current()).map(|()| 0);
    guard(|| keeping_errno(post))
}
