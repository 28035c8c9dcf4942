//! How a fiber waits for an operation.

use super::Selector;
use crate::looped::QNIL;
use crate::raise;
use nyario_core::driver::{Op, OpId, Submitted};
use nyario_core::runtime::Event;
use rb_sys::{VALUE, rb_fiber_transfer, rb_protect};
use std::ffi::c_int;

/// Where a fiber waits.
pub(super) struct Place {
    /// Nil when nobody does.
    pub(super) fiber: VALUE,
    /// Counts those who have waited here, so that a completion that comes late meets nobody.
    sequence: u32,
    op: OpId,
    /// What came of it.
    result: Option<i32>,
}

/// How a wait ended.
pub(super) enum Woken {
    /// The operation has ended, with this result.
    With(i32),
    /// Somebody transferred to the fiber before that.
    Early,
    /// Something was raised in the fiber: Ruby's tag of it.
    Raised(c_int),
}

impl Selector {
    fn enter(&mut self, fiber: VALUE) -> u32 {
        let at = self.free.pop().unwrap_or(self.places.len() as u32);
        if at as usize == self.places.len() {
            self.places.push(Place { fiber: QNIL, sequence: 0, op: OpId::NONE, result: None });
        }
        let place = &mut self.places[at as usize];
        place.sequence = (place.sequence + 1) & 0x3fff_ffff;
        (place.fiber, place.result) = (fiber, None);
        at
    }

    fn leave(&mut self, at: u32) -> Option<i32> {
        let place = &mut self.places[at as usize];
        place.fiber = QNIL;
        self.free.push(at);
        place.result.take()
    }

    /// The lowest two bits of a waiter's word are the runtime's.
    fn word(&self, at: u32) -> u64 {
        u64::from(self.places[at as usize].sequence) << 34 | u64::from(at) << 2
    }

    /// Whose operation has ended, while the host hands out the round: the fiber that is to run next. Those who wait meanwhile
    /// pass control on by it, past the host.
    pub(super) fn next_fiber(&mut self) -> Option<VALUE> {
        while self.round > 0 {
            let Event::Resume { waiter, result } = self.runtime()?.next()? else { continue };
            if let Some(fiber) = self.settle(waiter, result) {
                self.round -= 1;
                return Some(fiber);
            }
        }
        None
    }

    /// Notes the end of an operation: the fiber that waits for it.
    fn settle(&mut self, word: u64, result: i32) -> Option<VALUE> {
        let place = &mut self.places[(word >> 2) as u32 as usize];
        if place.fiber == QNIL || u64::from(place.sequence) != word >> 34 {
            return None;
        }
        place.result = Some(result);
        Some(place.fiber)
    }
}

/// Begins an operation and gives control away until the fiber gets it back, by whatever way. What can be done at once is
/// done in the next round, so that a fiber that never has to wait lets the others run.
///
/// # Safety
///
/// The GVL is held, the selector is open and the thread's own, the operation borrows no memory, and the caller holds no
/// borrow of the selector and nothing with a destructor.
pub(super) unsafe fn wait(this: VALUE, selector: *mut Selector, fiber: VALUE, op: Op) -> Woken {
    // SAFETY: as above. The object, on this stack, keeps the selector's memory.
    unsafe {
        let current = rb_sys::rb_fiber_current();
        if fiber != current {
            raise::argument("a fiber can wait for itself only");
        }
        if current == (*selector).host {
            return Woken::Early;
        }
        let at = (*selector).enter(fiber);
        let mut ticket = None;
        match (*(*selector).runtime).submit(op, (*selector).word(at), 0) {
            Submitted::Pending(id) => (&mut (*selector).places)[at as usize].op = id,
            Submitted::Done(result) if result < 0 => {
                (*selector).leave(at);
                return Woken::With(result);
            }
            Submitted::Done(result) => {
                (&mut (*selector).places)[at as usize].result = Some(result);
                ticket = Some((*selector).queue(fiber));
            }
        }
        let mut tag = 0;
        let next = (*selector).next_fiber().unwrap_or((*selector).host);
        if next != current {
            rb_protect(Some(give_way), next, &mut tag);
        }
        let op = (&(*selector).places)[at as usize].op;
        let result = (*selector).leave(at);
        match ticket {
            Some(ticket) => (*selector).unqueue(ticket),
            None if result.is_none() => {
                if let Some(runtime) = (*selector).runtime() {
                    runtime.cancel(op);
                }
            }
            None => {}
        }
        std::hint::black_box(this);
        match (tag, result) {
            (0, Some(result)) => Woken::With(result),
            (0, None) => Woken::Early,
            (tag, _) => Woken::Raised(tag),
        }
    }
}

/// Lets another fiber go on until somebody transfers back.
unsafe extern "C" fn give_way(fiber: VALUE) -> VALUE {
    // SAFETY: called with the GVL held; may raise, under `rb_protect`.
    unsafe { rb_fiber_transfer(fiber, 0, std::ptr::null()) }
}

/// Gives control to the host. The host itself has nowhere to go.
pub(super) unsafe fn to_the_host(selector: *mut Selector) -> VALUE {
    // SAFETY: called with the GVL held, without a borrow of the selector.
    unsafe {
        let host = (*selector).host;
        if rb_sys::rb_fiber_current() == host { QNIL } else { give_way(host) }
    }
}
