//! Which fiber is where.

use super::foresight::Traces;
use super::waiter::{Job, NO_SLOT, Slot, Waiter};
use super::{Looped, QNIL};
use rb_sys::VALUE;
use std::mem::replace;

/// Fibers without a job that are kept for the next connections. A Ruby fiber that has run holds some 13 KiB.
const POOL: usize = 512;

impl Looped {
    #[inline]
    pub(super) fn is_in(&self, slot: Slot, fiber: VALUE) -> bool {
        self.waiters.get(slot as usize).is_some_and(|waiter| waiter.fiber == fiber)
    }

    /// Whether it is a fiber of the loop's own, or one that is parked here.
    pub(crate) fn knows(&self, fiber: VALUE) -> bool {
        self.places.contains_key(&fiber)
    }

    pub(crate) fn has_job(&self, slot: Slot) -> bool {
        !matches!(self.waiters[slot as usize].job, Job::None)
    }

    pub(crate) fn word(&self, slot: Slot) -> u64 {
        // The lowest two bits are the runtime's; 30 bits of the sequence fit above the slot.
        u64::from(self.waiters[slot as usize].sequence) << 34 | u64::from(slot) << 2
    }

    /// The slot that a [`word`](Self::word) tells.
    #[inline(always)]
    pub(super) fn slot_of(word: u64) -> Slot {
        (word >> 2) as u32
    }

    pub(crate) fn enter(&mut self, fiber: VALUE) -> Slot {
        // SAFETY: what enters is a fiber that lives, or nil.
        let traces = unsafe { Traces::of(fiber) };
        let slot = match self.free.pop() {
            Some(slot) => {
                let waiter = &mut self.waiters[slot as usize];
                (waiter.fiber, waiter.traces) = (fiber, traces);
                slot
            }
            None => {
                self.waiters.push(Waiter::new(fiber, traces));
                (self.waiters.len() - 1) as Slot
            }
        };
        if fiber != QNIL {
            self.places.insert(fiber, slot);
        }
        slot
    }

    pub(crate) fn leave(&mut self, slot: Slot) {
        let waiter = &mut self.waiters[slot as usize];
        let fiber = replace(&mut waiter.fiber, QNIL);
        (waiter.job, waiter.within) = (Job::None, NO_SLOT);
        if replace(&mut waiter.bypassed, false) {
            // It got control back before its turn came, and the place is for the next.
            self.ready.retain(|&other| other != slot);
        }
        self.places.remove(&fiber);
        self.free.push(slot);
    }

    /// How many fibers of ours have no job.
    pub(crate) fn resting(&self) -> usize {
        self.pool.len()
    }

    /// Puts a fiber of ours away until there is another job. `false`: there are enough, it is dropped.
    pub(crate) fn rest(&mut self, slot: Slot) -> bool {
        let waiter = &mut self.waiters[slot as usize];
        (waiter.job, waiter.bypassed) = (Job::None, false);
        if self.pool.len() < POOL && !self.ending {
            self.pool.push(slot);
            return true;
        }
        self.leave(slot);
        false
    }
}

/// A fiber of ours without a job, if there is one.
pub(crate) fn rested(looped: &mut Looped) -> Option<Slot> {
    looped.pool.pop()
}
