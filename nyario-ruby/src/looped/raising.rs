//! What is raised in a fiber from elsewhere.

use super::waiter::{Job, NO_SLOT, Slot};
use super::{Looped, QNIL};
use nyario_core::driver::OpId;
use rb_sys::{VALUE, rb_protect};
use std::ffi::c_int;

/// What is to be raised in a fiber as soon as it would wait.
pub(super) struct Pending {
    pub(super) fiber: VALUE,
    pub(super) what: VALUE,
    /// The timer's slot, or `NO_SLOT`.
    timer: Slot,
}

impl Looped {
    /// Raises in a fiber: where it is parked, or else where it would next wait. `what` is an exception, or an array of its
    /// class and its arguments.
    pub(crate) fn raise_in(&mut self, fiber: VALUE, what: VALUE, timer: Slot) {
        let place = self.places.get(&fiber).map(|&slot| (slot, &mut self.waiters[slot as usize]));
        match place {
            Some((slot, waiter)) if waiter.op != OpId::NONE && waiter.raised == QNIL => {
                waiter.raised = what;
                if !waiter.unblocked {
                    self.ready.push_back(slot);
                }
            }
            _ => self.pending.push(Pending { fiber, what, timer }),
        }
    }

    /// Raises in a fiber that is parked, if nothing else is about to be raised there. It is for one wait: whoever does not
    /// wait any more is not meant.
    pub(crate) fn interrupt(&mut self, fiber: VALUE, exception: VALUE) {
        let Some(&slot) = self.places.get(&fiber) else { return };
        let waiter = &self.waiters[slot as usize];
        if waiter.op != OpId::NONE && waiter.raised == QNIL {
            self.raise_in(fiber, exception, NO_SLOT);
        }
    }

    /// Has a fiber of the loop's raise in what stands for one.
    pub(crate) fn interrupt_by_proxy(&mut self, target: VALUE, exception: VALUE) {
        let slot = self.enter(QNIL);
        self.waiters[slot as usize].job = Job::Interrupt { target, exception };
        self.ready.push_back(slot);
    }

    /// Takes back what a timer has raised and nobody has been told.
    pub(crate) fn unraise(&mut self, timer: Slot) {
        self.pending.retain(|pending| pending.timer != timer);
    }

    /// What is to be raised in the fiber now that it would wait.
    pub(super) fn take_pending(&mut self, slot: Slot) -> Option<VALUE> {
        let fiber = self.waiters[slot as usize].fiber;
        let at = self.pending.iter().position(|pending| pending.fiber == fiber)?;
        Some(self.pending.remove(at).what)
    }
}

/// Ruby's tag of an exception that is not raised yet.
#[cold]
pub(super) unsafe fn tag_of(what: VALUE) -> c_int {
    unsafe extern "C" fn raise(what: VALUE) -> VALUE {
        // SAFETY: called below, with the GVL held; an array holds a class and its arguments, and lies on this stack.
        unsafe {
            if !rb_sys::RB_TYPE_P(what, rb_sys::ruby_value_type::RUBY_T_ARRAY) {
                rb_sys::rb_exc_raise(what);
            }
            let (count, items) = (rb_sys::RARRAY_LEN(what), rb_sys::RARRAY_CONST_PTR(what));
            rb_sys::rb_exc_raise(rb_sys::rb_make_exception(count as c_int, items))
        }
    }
    let mut tag = 0;
    // SAFETY: called with the GVL held.
    unsafe { rb_protect(Some(raise), what, &mut tag) };
    tag
}
