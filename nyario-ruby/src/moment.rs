//! Times as Ruby gives them, and the moments that they come to.

use crate::looped::QNIL;
use crate::raise;
use nyario_core::sys::{Kernel, Linux};
use rb_sys::VALUE;

/// A number of seconds in nanoseconds, rounded up.
///
/// # Safety
///
/// The GVL is held; raises for what is no number, and for a negative one.
pub(crate) unsafe fn nanos(seconds: VALUE) -> u64 {
    // SAFETY: as above.
    unsafe {
        let seconds = rb_sys::NUM2DBL(seconds);
        if seconds.is_nan() || seconds < 0.0 {
            raise::argument("the time must be 0 or more seconds");
        }
        (seconds * 1e9).ceil() as u64
    }
}

/// The moment so many seconds from now.
///
/// # Safety
///
/// As [`nanos`].
pub(crate) unsafe fn after(seconds: VALUE) -> u64 {
    // SAFETY: as above.
    Linux.now().saturating_add(unsafe { nanos(seconds) }).max(1)
}

/// The same for a time-out that may be nil, which is none: 0.
///
/// # Safety
///
/// As [`nanos`].
pub(crate) unsafe fn limit(seconds: VALUE) -> u64 {
    // SAFETY: as above.
    if seconds == QNIL { 0 } else { unsafe { after(seconds) } }
}
