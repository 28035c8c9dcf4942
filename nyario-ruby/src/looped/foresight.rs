//! What the fibers that come next will need, fetched into the processor's cache while others run.
//!
//! Of hundreds of fibers each has left the cache since it last ran. The driver tells whose results come (see
//! [`Driver::foresee`](nyario_core::driver::Driver::foresee)); this makes the last step, to what Ruby reads when it
//! switches to a fiber. Where that is has been noted beforehand, as reading it from the fiber would be the very wait that
//! is to be spared.

use super::waiter::{Slot, Waiter};
use super::{Looped, QNIL};
use nyario_core::cache::fetch;
use nyario_core::driver::Foreseen;
use rb_sys::VALUE;
use rb_sys::macros::RTYPEDDATA_GET_DATA;
use std::ptr::null;

/// Bytes of a cache line.
const LINE: usize = 64;

/// The size of Ruby's record of a fiber, in lines: 0.6 KiB.
const RECORD: usize = 10;

/// How far from [`Traces::frames`] towards lower addresses the frames reach of what gives control away, in bytes.
const BELOW: usize = 512;

/// The lines of a fiber's frames that it touches on its way back to its own code.
const FRAMES: usize = 20;

/// Fewer fibers than this have not left the cache.
const MANY: usize = 100;

/// Where a fiber's memory is. Addresses that are fetched into the cache and never read, so they may be stale.
#[derive(Clone, Copy)]
pub(super) struct Traces {
    /// Ruby's record of it.
    record: *const u8,
    /// Its frames when it last gave control away.
    frames: *const u8,
}

impl Traces {
    /// # Safety
    ///
    /// A fiber, or nil.
    pub(super) unsafe fn of(fiber: VALUE) -> Traces {
        // SAFETY: a fiber is a typed data object.
        let record = if fiber == QNIL { null() } else { unsafe { RTYPEDDATA_GET_DATA(fiber).cast_const().cast() } };
        Traces { record, frames: null() }
    }
}

impl Looped {
    /// Notes where the frames of the fiber in `me` are. To be called where it gives control away.
    #[inline(always)]
    pub(super) fn leave_traces(&mut self, me: Slot) {
        let here = 0u8;
        if let Some(waiter) = self.waiters.get_mut(me as usize) {
            waiter.traces.frames = &raw const here;
        }
    }

    /// To be called before each `next` of the runtime.
    #[inline(always)]
    pub(super) fn foresee(&mut self) {
        if self.waiters.len() < MANY {
            return;
        }
        let Foreseen { soon, later } = self.runtime.foresee();
        let known = |word: Option<u64>| self.waiters.get(Looped::slot_of(word?) as usize);
        if let Some(waiter) = known(later) {
            lines((waiter as *const Waiter).cast(), size_of::<Waiter>().div_ceil(LINE));
        }
        if let Some(&Waiter { fiber, traces: Traces { record, frames }, .. }) = known(soon) {
            fetch(fiber as *const u8);
            lines(record, RECORD);
            lines(frames.wrapping_sub(BELOW), FRAMES);
        }
    }
}

#[inline(always)]
fn lines(at: *const u8, count: usize) {
    for line in 0..count {
        fetch(at.wrapping_add(line * LINE));
    }
}
