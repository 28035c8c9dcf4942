//! What Ruby raises in a fiber that waits, because its IO is being closed.

use super::Scheduler;
use crate::looped::{self, QNIL, QTRUE};
use crate::typed;
use rb_sys::{VALUE, rb_funcallv, rb_intern};

/// `fiber_interrupt(fiber, exception)`, from any thread: raises the exception in a fiber where it waits. Since 4.1 Ruby
/// names an operation of a fiber instead, which knows `alive?` and `raise`, and is asked on the loop's thread.
pub(super) unsafe extern "C" fn fiber_interrupt(this: VALUE, target: VALUE, exception: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held. Whoever holds that may touch what the loop knows of its fibers, see
    // `sleep::unblock`; a loop that is gone has none.
    unsafe {
        let looped = (*typed::unwrap::<Scheduler>(this)).looped;
        if looped.is_null() || (*looped).is_gone() {
            return QNIL;
        }
        if rb_sys::rb_obj_is_kind_of(target, rb_sys::rb_path2class(c"Fiber".as_ptr())) == QTRUE {
            (*looped).interrupt(target, exception);
        } else {
            (*looped).interrupt_by_proxy(target, exception);
        }
        if looped != looped::running() {
            (*looped).wake();
        }
    }
    QNIL
}

/// Raises an exception in what stands for a fiber, unless it is too late.
///
/// # Safety
///
/// The GVL is held, and the caller is on a fiber of the loop's own; may raise.
pub(crate) unsafe fn interrupt(target: VALUE, exception: VALUE) {
    // SAFETY: as above.
    unsafe {
        let alive = rb_funcallv(target, rb_intern(c"alive?".as_ptr()), 0, std::ptr::null());
        if alive != QNIL && alive != looped::QFALSE {
            rb_funcallv(target, rb_intern(c"raise".as_ptr()), 1, &exception);
        }
    }
}
