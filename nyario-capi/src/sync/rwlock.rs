//! Reader-writer locks.

use super::within;
use crate::boundary::on_loop;
use nyario_core::fiber::Loop;
use nyario_core::sync::RwLock;
use nyario_core::sys::Errno;
use std::ffi::c_int;

/// A lock that any number of readers hold together, or one writer alone: NYARIO_RWLOCK_INIT, or all zeroes, is one that
/// nobody holds. Fibers of one loop share it, and nothing needs to be done when it is no longer used. They come in in
/// the order in which they asked, so a stream of readers does not keep a writer out.
#[repr(C)]
#[allow(non_camel_case_types, reason = "C's name for it")]
pub struct nyario_rwlock {
    words: [u64; 8],
}

unsafe fn with(lock: *mut nyario_rwlock, work: impl FnOnce(&RwLock, &Loop) -> Result<(), Errno>) -> c_int {
    // SAFETY: the caller lends a lock for the call.
    on_loop(|looped| work(unsafe { within(lock) }?, looped).map(|()| 0))
}

/// Takes the lock to read. Suspends the fiber while somebody writes, or waits in front. A fiber that reads already must
/// not: a writer in between would wait for it, and it for the writer.
///
/// Returns 0, or -EINVAL for NULL, -EDEADLK when the caller writes, or off a fiber when it would have to wait, -EPERM
/// when fibers of another loop hold it; -ECANCELED and -ETIMEDOUT past the fiber's deadline, and then it is not held.
/// Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_rwlock_read(lock: *mut nyario_rwlock) -> c_int {
    // SAFETY: forwarded from the caller.
    unsafe { with(lock, RwLock::read) }
}

/// Takes the lock to write. Suspends the fiber while somebody holds it, or waits in front.
///
/// Returns as nyario_rwlock_read. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_rwlock_write(lock: *mut nyario_rwlock) -> c_int {
    // SAFETY: forwarded from the caller.
    unsafe { with(lock, RwLock::write) }
}

/// Takes the lock to read if nobody writes or waits. Does not suspend.
///
/// Returns 0, or -EBUSY when somebody does, -EINVAL for NULL, -EPERM when fibers of another loop hold it. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_rwlock_try_read(lock: *mut nyario_rwlock) -> c_int {
    // SAFETY: forwarded from the caller.
    unsafe { with(lock, RwLock::try_read) }
}

/// Takes the lock to write if nobody holds it. Does not suspend.
///
/// Returns 0, or -EBUSY when somebody does, -EINVAL for NULL, -EPERM when fibers of another loop hold it. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_rwlock_try_write(lock: *mut nyario_rwlock) -> c_int {
    // SAFETY: forwarded from the caller.
    unsafe { with(lock, RwLock::try_write) }
}

/// Gives the lock back, read or written. Who reads is not written down: a fiber that does not, and gives it back all the
/// same, gives it back for another. Does not suspend.
///
/// Returns 0, or -EPERM when another fiber writes, when nobody holds it, or when fibers of another loop do, -EINVAL for
/// NULL. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_rwlock_unlock(lock: *mut nyario_rwlock) -> c_int {
    // SAFETY: forwarded from the caller.
    unsafe { with(lock, RwLock::unlock) }
}
