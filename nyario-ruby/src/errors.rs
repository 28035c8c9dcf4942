//! The exceptions of nyario's own.

use crate::looped::QTRUE;
use crate::raise;
use rb_sys::{VALUE, rb_class_new_instance, rb_define_class_under};
use std::ffi::CStr;
use std::sync::OnceLock;

/// `Nyario::Cancelled`: what is raised in a task that is to end.
static CANCELLED: OnceLock<VALUE> = OnceLock::new();

/// `Nyario::TimeoutError`.
static TIMEOUT: OnceLock<VALUE> = OnceLock::new();

/// What leaves the block of a time-out or a group, so that no `rescue` within it takes the error of an outer block for
/// its own. Each call makes one of its own and knows it again.
static UNWINDING: OnceLock<VALUE> = OnceLock::new();

/// Whether it is a task's own affair, although it is no StandardError.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn is_ours(error: VALUE) -> bool {
    // SAFETY: as above; the classes are constants, so they stay.
    unsafe { is_cancelled(error) || is_unwinding(error) }
}

/// # Safety
///
/// As [`is_ours`].
pub(crate) unsafe fn is_unwinding(error: VALUE) -> bool {
    // SAFETY: as above.
    unsafe { rb_sys::rb_obj_is_kind_of(error, known(&UNWINDING)) == QTRUE }
}

/// # Safety
///
/// As [`is_ours`].
pub(crate) unsafe fn is_cancelled(error: VALUE) -> bool {
    // SAFETY: as above.
    unsafe { rb_sys::rb_obj_is_kind_of(error, known(&CANCELLED)) == QTRUE }
}

/// A new `Nyario::Cancelled`.
///
/// # Safety
///
/// The GVL is held; may raise when there is no memory.
pub(crate) unsafe fn cancelled() -> VALUE {
    // SAFETY: as above.
    unsafe { raise::new(known(&CANCELLED), "the task was cancelled") }
}

/// A new `Nyario::TimeoutError`.
///
/// # Safety
///
/// As [`cancelled`].
pub(crate) unsafe fn timeout(message: &str) -> VALUE {
    // SAFETY: as above.
    unsafe { raise::new(known(&TIMEOUT), message) }
}

/// What is to leave a block, for whoever runs the block to know again.
///
/// # Safety
///
/// As [`cancelled`].
pub(crate) unsafe fn unwinding(message: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe { rb_class_new_instance(1, &message, known(&UNWINDING)) }
}

/// Its class.
pub(crate) fn unwinding_class() -> VALUE {
    known(&UNWINDING)
}

fn known(class: &OnceLock<VALUE>) -> VALUE {
    *class.get().expect("defined when the extension was loaded")
}

/// # Safety
///
/// Called when the extension is loaded.
pub(crate) unsafe fn define(nyario: VALUE) {
    // SAFETY: as above.
    unsafe {
        rb_sys::rb_require(c"timeout".as_ptr());
        let class = |name: &CStr, parent| rb_define_class_under(nyario, name.as_ptr(), parent);
        CANCELLED.get_or_init(|| class(c"Cancelled", rb_sys::rb_eException));
        TIMEOUT.get_or_init(|| class(c"TimeoutError", rb_sys::rb_path2class(c"Timeout::Error".as_ptr())));
        UNWINDING.get_or_init(|| class(c"Unwinding", rb_sys::rb_eException));
        let name = rb_sys::rb_id2sym(rb_sys::rb_intern(c"Unwinding".as_ptr()));
        rb_sys::rb_funcallv(nyario, rb_sys::rb_intern(c"private_constant".as_ptr()), 1, &name);
    }
}
