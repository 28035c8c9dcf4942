//! What a forked child of Ruby's inherits.
//!
//! Before 4.0 it keeps the scheduler of the fiber that forked, and the loop of that is the parent's. The child is rid of
//! it, as it is since 4.0: whatever it waits for, it just waits, until it sets a scheduler of its own.

use crate::scheduler;
use rb_sys::{VALUE, rb_define_method};

/// `Process._fork`, through which Ruby forks.
unsafe extern "C" fn fork(_: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; in the child this thread is the only one.
    unsafe {
        let pid = rb_sys::rb_call_super(0, std::ptr::null());
        if pid == rb_sys::LONG2NUM(0) {
            scheduler::detach();
        }
        pid
    }
}

/// # Safety
///
/// The GVL is held, as the extension is loaded.
pub(crate) unsafe fn define() {
    // SAFETY: as above; the function has the signature of its arity.
    unsafe {
        let module = rb_sys::rb_module_new();
        let function = std::mem::transmute::<*const (), unsafe extern "C" fn() -> VALUE>(fork as *const ());
        rb_define_method(module, c"_fork".as_ptr(), Some(function), 0);
        rb_sys::rb_prepend_module(rb_sys::rb_singleton_class(rb_sys::rb_mProcess), module);
    }
}
