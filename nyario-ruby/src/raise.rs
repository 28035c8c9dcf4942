//! Turning results into Ruby exceptions.
//!
//! Raising is a longjmp: whoever calls these holds nothing that has to be dropped.

use nyario_core::sys::Errno;
use rb_sys::{VALUE, rb_eArgError, rb_eIOError, rb_eRuntimeError, rb_exc_raise, rb_str_new, rb_syserr_new};
use std::ffi::{c_char, c_long};

/// Raises the SystemCallError of a negative result.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn system_call(result: i32) -> ! {
    // SAFETY: as above; the message may be NULL.
    unsafe { rb_exc_raise(rb_syserr_new(-result, std::ptr::null())) }
}

/// Raises an ECANCELED that says what has refused.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn refused(why: &std::ffi::CStr) -> ! {
    // SAFETY: as above.
    unsafe { rb_exc_raise(rb_syserr_new(libc::ECANCELED, why.as_ptr())) }
}

/// Raises an IOError.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn io(message: &str) -> ! {
    // SAFETY: as above.
    unsafe { with(rb_eIOError, message) }
}

/// Raises what a connection that is closed raises.
///
/// # Safety
///
/// The GVL is held.
#[cold]
pub(crate) unsafe fn closed() -> ! {
    // SAFETY: as above.
    unsafe { io("closed connection") }
}

/// Raises an ArgumentError.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn argument(message: &str) -> ! {
    // SAFETY: as above.
    unsafe { with(rb_eArgError, message) }
}

/// Raises a RuntimeError.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn runtime(message: &str) -> ! {
    // SAFETY: as above.
    unsafe { with(rb_eRuntimeError, message) }
}

/// Raises an exception of the class of that name.
///
/// # Safety
///
/// The GVL is held, and there is such a class.
pub(crate) unsafe fn of_class(name: &std::ffi::CStr, message: &str) -> ! {
    // SAFETY: as above.
    unsafe { with(rb_sys::rb_path2class(name.as_ptr()), message) }
}

/// Raises what a call of a connection raises past its time-out.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn timed_out() -> ! {
    let class = if cfg!(ruby_gte_3_2) { c"IO::TimeoutError" } else { c"Nyario::TimeoutError" };
    // SAFETY: as above; it is Ruby's own since 3.2, and nyario's before.
    unsafe { of_class(class, "the connection's time-out has passed") }
}

unsafe fn with(class: VALUE, message: &str) -> ! {
    // SAFETY: the message is copied before anything is raised.
    unsafe { rb_exc_raise(new(class, message)) }
}

/// An exception that is not raised yet.
///
/// # Safety
///
/// The GVL is held, and it is an exception's class.
pub(crate) unsafe fn new(class: VALUE, message: &str) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let text = rb_str_new(message.as_ptr().cast::<c_char>(), message.len() as c_long);
        rb_sys::rb_exc_new_str(class, text)
    }
}

/// Raises what `protect` has caught, once more.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn again(error: magnus::Error) -> ! {
    // SAFETY: as above; the error owns nothing but the exception.
    unsafe { magnus::rb_sys::resume_error(error) }
}

/// What the core's own errors mean to a Ruby caller.
pub(crate) fn error(ruby: &magnus::Ruby, errno: Errno, what: &str) -> magnus::Error {
    use magnus::{TryConvert, Value, prelude::*};
    let made = ruby
        .exception_system_call_error()
        .funcall::<_, _, Value>("new", (what, errno.0))
        .and_then(magnus::Exception::try_convert);
    match made {
        Ok(exception) => exception.into(),
        Err(error) => error,
    }
}
