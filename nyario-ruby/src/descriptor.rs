//! The descriptor behind whatever a caller names: a connection, an IO, or a number.

use crate::connection::Connection;
use crate::raise;
use crate::typed;
use nyario_core::sys::Fd;
use rb_sys::{VALUE, ruby_value_type};

/// The descriptor of a `Nyario::Connection`; raises an IOError when it is closed.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller.
#[inline]
pub(crate) unsafe fn of_connection(object: VALUE) -> Fd {
    // SAFETY: as above.
    unsafe {
        match of_open(object) {
            Some(fd) => fd,
            None => raise::closed(),
        }
    }
}

/// The descriptor of a `Nyario::Connection` while it is open.
///
/// # Safety
///
/// As [`of_connection`].
#[inline]
pub(crate) unsafe fn of_open(object: VALUE) -> Option<Fd> {
    // SAFETY: as above.
    unsafe { (*typed::unwrap::<Connection>(object)).open() }
}

/// The descriptor of anything that has one; raises a TypeError for what has none, an IOError for what is closed, a
/// RangeError for a number that no descriptor can have.
///
/// # Safety
///
/// As [`of_connection`].
pub(crate) unsafe fn of(object: VALUE) -> Fd {
    // SAFETY: as above.
    unsafe {
        if rb_sys::RB_INTEGER_TYPE_P(object) {
            return rb_sys::rb_num2int(object) as Fd;
        }
        if typed::is::<Connection>(object) {
            return of_connection(object);
        }
        if rb_sys::RB_TYPE_P(object, ruby_value_type::RUBY_T_FILE) {
            return rb_sys::rb_io_descriptor(object);
        }
        rb_sys::rb_io_descriptor(rb_sys::rb_io_get_io(object))
    }
}

/// Raises what a failed operation on that object means to its caller: an IOError if it was closed meanwhile.
///
/// # Safety
///
/// As [`of_connection`].
#[cold]
pub(crate) unsafe fn fail(object: VALUE, result: i32) -> ! {
    // SAFETY: as above.
    unsafe {
        if result == -libc::EBADF {
            of(object);
        }
        raise::system_call(result)
    }
}
