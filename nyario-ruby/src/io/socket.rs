//! Sockets as Ruby's own library has them.

use crate::raise;
use magnus::rb_sys::protect;
use nyario_core::sys::{Fd, Kernel, Linux};
use rb_sys::{VALUE, rb_funcallv, rb_intern};
use std::ffi::CStr;

/// The descriptor as an object of that class, which owns it from now on.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller.
pub(crate) unsafe fn wrap(fd: Fd, class: &'static CStr) -> VALUE {
    let make = || {
        // SAFETY: called below, with the GVL held; may raise, under `protect`.
        unsafe {
            rb_sys::rb_require(c"socket".as_ptr());
            let number = rb_sys::LONG2NUM(fd.into());
            rb_funcallv(rb_sys::rb_path2class(class.as_ptr()), rb_intern(c"for_fd".as_ptr()), 1, &number)
        }
    };
    match protect(make) {
        Ok(io) => io,
        Err(error) => {
            Linux.close(fd);
            // SAFETY: as above.
            unsafe { raise::again(error) }
        }
    }
}
