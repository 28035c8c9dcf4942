//! Time.

use crate::boundary::{guard, on_loop};
use nyario_core::fiber::TimerId;
use nyario_core::sys::{Errno, Kernel, Linux};
use std::ffi::{c_int, c_void};

/// Stands for a timer of one loop, and never for another of that loop; above 0.
#[allow(non_camel_case_types, reason = "C's name for it")]
pub type nyario_timer = i64;

/// What a timer calls.
#[allow(non_camel_case_types, reason = "C's name for it")]
pub type nyario_callback = Option<unsafe extern "C" fn(arg: *mut c_void)>;

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
    on_loop(|looped| looped.sleep(nanos(nanoseconds)?).map(|()| 0))
}

/// Calls `callback(arg)` once, in so many nanoseconds, on a fiber of its own, which may suspend like any other. A timer
/// that waits has no fiber and no stack, so there may be a million of them. It is never early; set by a fiber, it
/// counts from when the loop next looks at the clock, which is at the end of the turn at the latest. It keeps
/// nyario_loop running as a fiber does; when the loop ends, it ends without a call. `arg` must stay valid until the
/// call has returned, or the timer has ended without one. Where the loop allows no more fibers, the call waits for its
/// turn. May be called before nyario_loop. Does not suspend.
///
/// Returns the timer, or -EINVAL for a NULL callback or a negative time, -ECANCELED while the loop is ending.
/// Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_after(nanoseconds: i64, callback: nyario_callback, arg: *mut c_void) -> nyario_timer {
    on_loop(|looped| {
        let (nanos, callback) = (nanos(nanoseconds)?, callback.ok_or(Errno(libc::EINVAL))?);
        // SAFETY: the caller vouches for callback and argument until the call has returned.
        let timer = looped.after(nanos, move || unsafe { callback(arg) })?;
        Ok(timer.word() as nyario_timer)
    })
}

/// Like nyario_after, again and again: the k-th call is due k intervals of so many nanoseconds after now, however late
/// the one before it was. One call runs at a time: those that come due before it has returned are left out, and are not
/// made up for. nyario_timer_cancel ends it, or the end of the loop. Does not suspend.
///
/// Returns the timer, or -EINVAL for a NULL callback or an interval that is not above 0, -ECANCELED while the
/// loop is ending. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_every(nanoseconds: i64, callback: nyario_callback, arg: *mut c_void) -> nyario_timer {
    on_loop(|looped| {
        let (nanos, callback) = (nanos(nanoseconds)?, callback.ok_or(Errno(libc::EINVAL))?);
        // SAFETY: the caller vouches for callback and argument for as long as the timer lives.
        let timer = looped.every(nanos, move || unsafe { callback(arg) })?;
        Ok(timer.word() as nyario_timer)
    })
}

/// Ends a timer of this loop: no call of it begins any more, even if it is due. One that has begun is a fiber like any
/// other, and goes on; a callback may end its own timer. Does not suspend.
///
/// Returns 0, or -ESRCH for a timer that is unknown or has ended: also when its only call has begun. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_timer_cancel(timer: nyario_timer) -> c_int {
    on_loop(|looped| looped.cancel_timer(TimerId::from_word(timer as u64)).map(|()| 0))
}

/// A time that C gives.
pub(crate) fn nanos(nanoseconds: i64) -> Result<u64, Errno> {
    u64::try_from(nanoseconds).map_err(|_| Errno(libc::EINVAL))
}
