//! How a fiber waits: for an operation, for somebody, or for its turn.

use super::raising::tag_of;
use super::switch::give_way;
use super::waiter::Slot;
use super::{Looped, QNIL};
use crate::fiber::RAISED;
use nyario_core::driver::{Op, OpId, Submitted};
use nyario_core::runtime::NOBODY;
use nyario_core::sys::Fd;
use rb_sys::{VALUE, rb_errinfo, rb_fiber_current, rb_jump_tag, rb_set_errinfo};
use std::ffi::c_int;
use std::mem::replace;

/// How a wait ended that somebody ended with [`unblock`]: no operation completes with that.
pub(crate) const UNBLOCKED: i32 = i32::MAX;

/// What became of a wait.
pub(crate) struct Waited {
    pub(crate) result: i32,
    /// Ruby's tag of what was raised in the fiber, or 0.
    pub(crate) tag: c_int,
}

impl Looped {
    /// Begins an operation of the fiber in `slot`.
    ///
    /// # Safety
    ///
    /// As [`Runtime::submit`].
    #[inline(always)]
    pub(crate) unsafe fn submit(&mut self, slot: Slot, op: Op, deadline: u64) -> Submitted {
        // SAFETY: forwarded from the caller.
        unsafe { self.submit_as(slot, op, deadline, false) }
    }

    /// As [`submit`](Self::submit); whether the caller has `vouched` for the descriptor: see [`super::vouching`].
    ///
    /// # Safety
    ///
    /// As [`Runtime::submit`](nyario_core::runtime::Runtime::submit).
    #[inline(always)]
    unsafe fn submit_as(&mut self, slot: Slot, op: Op, deadline: u64, vouched: bool) -> Submitted {
        let waiter = &mut self.waiters[slot as usize];
        waiter.sequence = (waiter.sequence + 1) & 0x3fff_ffff;
        let word = self.word(slot);
        let submitted = match op {
            Op::Close { fd } => self.runtime.close(fd, word),
            // SAFETY: forwarded from the caller.
            op if vouched => unsafe { self.runtime.submit_vouched(op, word, deadline) },
            // SAFETY: as above.
            op => unsafe { self.runtime.submit(op, word, deadline) },
        };
        if let Submitted::Pending(id) = submitted {
            self.waiters[slot as usize].op = id;
            if self.ending {
                self.runtime.cancel(id);
            }
        }
        submitted
    }

    /// Stops waiting for what the fiber in `slot` is parked on; its completion will meet nobody.
    pub(crate) fn forget(&mut self, slot: Slot) {
        let op = replace(&mut self.waiters[slot as usize].op, OpId::NONE);
        // What waits for a time alone ends at once, and is not kept until the next turn.
        self.runtime.disarm(op);
        self.runtime.cancel(op);
    }

    /// Ends the wait of a fiber that is blocked. `false`: it is not.
    pub(crate) fn unblock(&mut self, fiber: VALUE) -> bool {
        let Some(&slot) = self.places.get(&fiber) else { return false };
        let waiter = &mut self.waiters[slot as usize];
        if !replace(&mut waiter.blocked, false) {
            return false;
        }
        if !replace(&mut waiter.unblocked, true) && !waiter.interrupted {
            self.ready.push_back(slot);
        }
        true
    }

    /// Remembers a fiber that another thread has unblocked before it blocks: between what it has told Ruby and its
    /// waiting, a scheduler that is extended runs Ruby code.
    #[cold]
    pub(crate) fn unblock_early(&mut self, fiber: VALUE) {
        if !self.unblocked.contains(&fiber) {
            self.unblocked.push(fiber);
        }
    }

    /// Whether the fiber that is about to block need not.
    #[inline]
    pub(crate) fn was_unblocked(&mut self) -> bool {
        if self.unblocked.is_empty() {
            return false;
        }
        // SAFETY: called with the GVL held.
        let fiber = unsafe { rb_fiber_current() };
        let place = self.unblocked.iter().position(|&other| other == fiber);
        place.map(|place| self.unblocked.swap_remove(place)).is_some()
    }
}

/// Parks the fiber in `me` on the operation that it has just begun, until the operation ends or something is raised.
///
/// # Safety
///
/// As [`give_way`]; and the operation borrows no memory, because an exception ends the wait before the operation.
#[inline]
unsafe fn park(looped: *mut Looped, me: Slot) -> Waited {
    // SAFETY: as above. A fiber is transferred to only with its result, but whoever holds it can transfer to it too.
    unsafe {
        loop {
            let tag = give_way(looped, me);
            if tag != 0 {
                if !(*looped).is_gone() {
                    (*looped).settle(me);
                    (*looped).forget(me);
                }
                return Waited { result: 0, tag };
            }
            let waiter = &mut (&mut (*looped).waiters)[me as usize];
            if waiter.op == OpId::NONE {
                let result = waiter.result;
                // Somebody may have woken it besides, who must not meet the next wait, or nobody at all.
                (*looped).settle(me);
                return Waited { result, tag: 0 };
            }
            let (interrupted, unblocked) =
                (replace(&mut waiter.interrupted, false), replace(&mut waiter.unblocked, false));
            // What was to be raised may have been taken back.
            let raised = if interrupted { (*looped).take_pending(me) } else { None };
            if raised.is_some() || unblocked {
                (*looped).forget(me);
                return Waited { result: UNBLOCKED, tag: raised.map_or(0, |what| tag_of(what)) };
            }
        }
    }
}

/// As [`park`], for an operation that borrows memory: whatever is raised, the operation ends first.
///
/// # Safety
///
/// As [`give_way`].
unsafe fn park_to_the_end(looped: *mut Looped, me: Slot) -> Waited {
    let mut waited = Waited { result: -libc::ECANCELED, tag: 0 };
    let mut raised = QNIL;
    // SAFETY: as above. Ruby keeps what was raised last in the fiber itself, so of what the loop raises only the first is:
    // the rest is for the next wait. A loop that is gone has let go of all memory.
    unsafe {
        loop {
            let tag = give_way(looped, me);
            if tag != 0 {
                (waited.tag, raised) = (tag, raised_by(tag));
                if (*looped).is_gone() {
                    return waited;
                }
            }
            let waiter = &mut (&mut (*looped).waiters)[me as usize];
            if waiter.op == OpId::NONE {
                waiter.shielded = false;
                waited.result = waiter.result;
                (*looped).settle(me);
                if waited.tag == RAISED {
                    // A trap handler that has run on this fiber, and rescued something, has made Ruby forget it.
                    rb_set_errinfo(raised);
                }
                return waited;
            }
            let (op, interrupted) = (waiter.op, replace(&mut waiter.interrupted, false));
            if tag == 0 && interrupted && waited.tag == 0 {
                waited.tag = (*looped).take_pending(me).map_or(0, |what| tag_of(what));
                raised = raised_by(waited.tag);
            }
            if waited.tag != 0 {
                (&mut (*looped).waiters)[me as usize].shielded = true;
                (*looped).runtime.cancel(op);
            }
        }
    }
}

/// The exception that goes with Ruby's tag, right after it came.
unsafe fn raised_by(tag: c_int) -> VALUE {
    // SAFETY: called with the GVL held.
    if tag == RAISED { unsafe { rb_errinfo() } } else { QNIL }
}

/// Lets the caller's fiber wait: `work` is told its slot, and what it came to is returned; or `None` when the caller has
/// no fiber to suspend. Unless it is `shielded`, what is to be raised in the fiber is raised instead.
///
/// # Safety
///
/// The GVL is held, `looped` is the thread's own and runs, and the caller holds no borrow of it.
#[inline(always)]
unsafe fn in_slot(looped: *mut Looped, shielded: bool, work: impl FnOnce(Slot) -> Waited) -> Option<Waited> {
    // SAFETY: as above. The object keeps the loop's memory while this fiber is parked.
    unsafe {
        let (object, before) = ((*looped).object, (*looped).current);
        let me = me(looped);
        let (slot, guest) = match me {
            Me::Ours(slot) => (slot, false),
            Me::Guest(slot) => {
                (&mut (*looped).waiters)[slot as usize].within = before;
                (slot, true)
            }
            Me::Root => return None,
        };
        (*looped).guests += usize::from(guest);
        let pending = if shielded || (*looped).pending.is_empty() { None } else { (*looped).take_pending(slot) };
        let waited = match pending {
            None => work(slot),
            Some(what) => Waited { result: UNBLOCKED, tag: tag_of(what) },
        };
        if guest && !(*looped).is_gone() {
            (*looped).leave(slot);
            (*looped).guests -= 1;
            (*looped).current = before;
        }
        std::hint::black_box(object);
        Some(waited)
    }
}

/// Carries an operation out on the caller's fiber: what it came to, or `None` when the caller has no fiber to suspend.
///
/// # Safety
///
/// The GVL is held, `looped` is the thread's own and runs, and the caller holds no borrow of it. Whatever the operation
/// borrows stays valid until it ends. `begun` is told its name if it has to wait.
#[inline]
pub(crate) unsafe fn carry_out(looped: *mut Looped, op: Op, deadline: u64, begun: impl FnOnce(OpId)) -> Option<Waited> {
    // SAFETY: as above.
    unsafe { carry_out_as(looped, op, deadline, false, begun) }
}

/// As [`carry_out`]; whether the caller has `vouched` for the descriptor: see [`super::vouching`].
///
/// # Safety
///
/// As [`carry_out`].
#[inline(always)]
pub(super) unsafe fn carry_out_as(
    looped: *mut Looped,
    op: Op,
    deadline: u64,
    vouched: bool,
    begun: impl FnOnce(OpId),
) -> Option<Waited> {
    let borrows =
        matches!(op, Op::Read { .. } | Op::Write { .. } | Op::Writev { .. } | Op::Connect { .. } | Op::Accept { .. });
    // SAFETY: as above.
    unsafe {
        in_slot(looped, false, |slot| match (*looped).submit_as(slot, op, deadline, vouched) {
            Submitted::Done(result) => Waited { result, tag: 0 },
            Submitted::Pending(id) => {
                begun(id);
                if borrows { park_to_the_end(looped, slot) } else { park(looped, slot) }
            }
        })
    }
}

/// Parks the caller's fiber until somebody unblocks it ([`UNBLOCKED`]), its deadline passes (0), or something is raised.
///
/// # Safety
///
/// As [`carry_out`].
pub(crate) unsafe fn block(looped: *mut Looped, deadline: u64) -> Option<Waited> {
    // SAFETY: as above.
    unsafe { block_for(looped, deadline, "unblock", false) }
}

/// As [`block`]: `why`, for whoever asks what it waits for. A wait that is `shielded` goes on whatever is to be raised in
/// the fiber, which it hears of at its next wait.
///
/// # Safety
///
/// As [`carry_out`].
pub(crate) unsafe fn block_for(
    looped: *mut Looped,
    deadline: u64,
    why: &'static str,
    shielded: bool,
) -> Option<Waited> {
    // SAFETY: as above; a park borrows nothing.
    unsafe {
        in_slot(looped, shielded, |slot| {
            let submitted = (*looped).submit(slot, Op::Park, deadline);
            let Submitted::Pending(id) = submitted else { return Waited { result: -libc::ECANCELED, tag: 0 } };
            (*looped).runtime.driver().explain(id, why);
            let waiter = &raw mut (&mut (*looped).waiters)[slot as usize];
            ((*waiter).blocked, (*waiter).shielded) = (true, shielded);
            let waited = park(looped, slot);
            if !(*looped).is_gone() {
                let waiter = &mut (&mut (*looped).waiters)[slot as usize];
                (waiter.blocked, waiter.shielded) = (false, false);
            }
            waited
        })
    }
}

/// Lets the other fibers that are ready run first; `first` the very first, if there is one.
///
/// # Safety
///
/// As [`carry_out`].
pub(crate) unsafe fn yield_to(looped: *mut Looped, first: Option<Slot>) -> Option<Waited> {
    // SAFETY: as above.
    unsafe {
        in_slot(looped, false, |slot| {
            (&mut (*looped).waiters)[slot as usize].queued = true;
            (*looped).ready.push_back(slot);
            if let Some(first) = first {
                (*looped).ready.push_front(first);
                (*looped).round += 1;
            }
            let tag = give_way(looped, slot);
            if !(*looped).is_gone() && replace(&mut (&mut (*looped).waiters)[slot as usize].queued, false) {
                // Something else than its turn has brought it back.
                (*looped).ready.retain(|&other| other != slot);
            }
            Waited { result: 0, tag }
        })
    }
}

/// As [`carry_out`]: what was raised meanwhile goes on its way.
///
/// # Safety
///
/// As [`carry_out`]; the caller holds nothing with a destructor.
#[inline]
pub(crate) unsafe fn perform(looped: *mut Looped, op: Op, deadline: u64, begun: impl FnOnce(OpId)) -> Option<i32> {
    // SAFETY: as above.
    unsafe {
        match carry_out(looped, op, deadline, begun) {
            None => None,
            Some(Waited { result, tag: 0 }) => Some(result),
            Some(Waited { tag, .. }) => rb_jump_tag(tag),
        }
    }
}

/// Closes a connection of the loop; whatever waits on it fails with `-EBADF`.
///
/// # Safety
///
/// As [`perform`].
pub(crate) unsafe fn close(looped: *mut Looped, fd: Fd) -> i32 {
    // SAFETY: as above.
    unsafe {
        match perform(looped, Op::Close { fd }, 0, |_| {}) {
            Some(result) => result,
            // Nobody waits for it to have happened.
            None => match (*looped).runtime.close(fd, NOBODY) {
                Submitted::Done(result) => result,
                Submitted::Pending(_) => 0,
            },
        }
    }
}

/// The caller's fiber on that loop.
enum Me {
    /// A fiber of the loop's own.
    Ours(Slot),
    /// A fiber that Ruby code made, with a slot for the time of one call.
    Guest(Slot),
    /// The loop's root fiber, in a signal handler.
    Root,
}

/// Finds out which fiber calls.
///
/// # Safety
///
/// The GVL is held, and `looped` is the thread's own and runs.
#[inline]
unsafe fn me(looped: *mut Looped) -> Me {
    // SAFETY: as above.
    unsafe {
        let fiber = rb_fiber_current();
        let current = (*looped).current;
        if (*looped).is_in(current, fiber) {
            return Me::Ours(current);
        }
        if fiber == (*looped).root { Me::Root } else { Me::Guest((*looped).enter(fiber)) }
    }
}
