//! How long a call of a connection may wait.

use super::Connection;
use crate::looped::QNIL;
use crate::{api, raise, typed};
use rb_sys::VALUE;

unsafe extern "C" fn timeout(this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe {
        match (*typed::unwrap::<Connection>(this)).timeout {
            0 => QNIL,
            nanos => rb_sys::rb_float_new(nanos as f64 / 1e9),
        }
    }
}

unsafe extern "C" fn set_timeout(this: VALUE, seconds: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        (*typed::unwrap::<Connection>(this)).timeout = nanos(seconds);
    }
    seconds
}

/// A time-out as a caller says it, in nanoseconds: nil is none, which is 0.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller.
pub(crate) unsafe fn nanos(seconds: VALUE) -> u64 {
    if seconds == QNIL {
        return 0;
    }
    // SAFETY: as above.
    unsafe {
        match rb_sys::NUM2DBL(seconds) {
            number if number > 0.0 => (number * 1e9).ceil() as u64,
            _ => raise::argument("the time-out must be above 0 seconds, or nil for none"),
        }
    }
}

/// # Safety
///
/// It is the class of connections.
pub(super) unsafe fn define(class: VALUE) {
    // SAFETY: as above; each function has the signature of its arity.
    unsafe {
        api::method(class, c"timeout", timeout as *const (), 0);
        api::method(class, c"timeout=", set_timeout as *const (), 1);
    }
}
