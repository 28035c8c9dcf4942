//! Time.

use crate::boundary::{guard, on_loop};
use nyario_core::sys::{Errno, Kernel, Linux};
use std::ffi::c_int;

/// The monotonic clock. Does not suspend.
///
/// Returns nanoseconds since an arbitrary point. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_now() -> i64 {
    guard(|| Ok(Linux.now() as i64))
}

/// Sleeps for at least so many nanoseconds. Suspends the fiber; off a fiber it blocks the thread.
///
/// Returns 0, or -EINVAL for a negative time, -ECANCELED, -ETIMEDOUT when the fiber's deadline comes first. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_sleep(nanoseconds: i64) -> c_int {
    on_loop(|looped| {
        let nanos = u64::try_from(nanoseconds).map_err(|_| Errno(libc::EINVAL))?;
        looped.sleep(nanos).map(|()| 0)
    })
}
