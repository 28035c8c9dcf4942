//! What is raised in a fiber from elsewhere.

use super::waiter::{Job, Slot, Waiter};
use super::{Looped, QNIL};
use nyario_core::driver::OpId;
use rb_sys::{VALUE, rb_protect};
use std::ffi::c_int;
use std::mem::replace;

/// What is to be raised in a fiber: where it is parked, or else as soon as it would wait.
pub(super) struct Pending {
    pub(super) fiber: VALUE,
    /// An exception, or an array of its class and its arguments.
    pub(super) what: VALUE,
}

impl Looped {
    /// Raises in a fiber: where it is parked, or a fiber that it has resumed is, or else where either would next wait.
    /// `what` is an exception, or an array of its class and its arguments. From any thread with the GVL; another's loop has
    /// to be woken then.
    pub(crate) fn raise_in(&mut self, fiber: VALUE, what: VALUE) {
        self.pending.push(Pending { fiber, what });
        let Some(slot) = self.parked(fiber) else { return };
        let waiter = &mut self.waiters[slot as usize];
        if !replace(&mut waiter.interrupted, true) && !waiter.unblocked {
            self.ready.push_back(slot);
        }
    }

    /// Raises in a fiber that is parked, if nothing else is about to be raised there. It is for one wait: whoever does not
    /// wait any more is not meant.
    pub(crate) fn interrupt(&mut self, fiber: VALUE, exception: VALUE) {
        let Some(&slot) = self.places.get(&fiber) else { return };
        let waiter = &self.waiters[slot as usize];
        if waiter.op != OpId::NONE && !waiter.shielded && !waiter.interrupted {
            self.raise_in(fiber, exception);
        }
    }

    /// Has a fiber of the loop's raise in what stands for one.
    pub(crate) fn interrupt_by_proxy(&mut self, target: VALUE, exception: VALUE) {
        let slot = self.enter(QNIL);
        self.waiters[slot as usize].job = Job::Interrupt { target, exception };
        self.ready.push_back(slot);
    }

    /// Where a fiber is parked, or one that runs within it, if an exception may end that.
    fn parked(&self, fiber: VALUE) -> Option<Slot> {
        let &place = self.places.get(&fiber)?;
        let is_parked = |waiter: &Waiter| waiter.op != OpId::NONE && !waiter.shielded;
        if is_parked(&self.waiters[place as usize]) {
            return Some(place);
        }
        let within = |waiter: &Waiter| waiter.within == place && is_parked(waiter);
        if self.guests == 0 { None } else { self.waiters.iter().position(within).map(|slot| slot as Slot) }
    }

    /// Takes back what was to be raised, unless it has been.
    pub(crate) fn unraise(&mut self, what: VALUE) {
        self.pending.retain(|pending| pending.what != what);
    }

    /// Whether that is yet to be raised.
    pub(crate) fn is_pending(&self, what: VALUE) -> bool {
        self.pending.iter().any(|pending| pending.what == what)
    }

    /// The fiber has ended what it did: nothing of that is to be raised in what it does next.
    pub(crate) fn unraise_all(&mut self, slot: Slot) {
        if !self.pending.is_empty() {
            let fiber = self.waiters[slot as usize].fiber;
            self.pending.retain(|pending| pending.fiber != fiber);
        }
    }

    /// What is to be raised in the fiber now that it would wait, or in the one within which it runs.
    pub(super) fn take_pending(&mut self, slot: Slot) -> Option<VALUE> {
        let waiter = &self.waiters[slot as usize];
        let around = self.waiters.get(waiter.within as usize).map_or(QNIL, |around| around.fiber);
        let concerned = |pending: &Pending| pending.fiber == waiter.fiber || pending.fiber == around;
        let at = self.pending.iter().position(concerned)?;
        Some(self.pending.remove(at).what)
    }

    /// What the fiber in `slot` was woken for is void, as something else has brought it back before.
    #[inline]
    pub(super) fn settle(&mut self, slot: Slot) {
        let waiter = &mut self.waiters[slot as usize];
        let (interrupted, unblocked) = (replace(&mut waiter.interrupted, false), replace(&mut waiter.unblocked, false));
        if interrupted || unblocked {
            self.ready.retain(|&other| other != slot);
        }
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
