//! Who runs next, and how control gets there.

use super::waiter::{Job, NO_SLOT, Slot};
use super::{Looped, PARENTS, QNIL, QTRUE};
use crate::{fiber, raise, timer, wait};
use nyario_core::driver::OpId;
use nyario_core::runtime::Event;
use rb_sys::{VALUE, rb_fiber_transfer, rb_protect};
use std::ffi::c_int;
use std::mem::replace;

/// How many fibers may run, one after the other, before the root fiber looks at the kernel.
const CHAIN: u32 = 256;

impl Looped {
    /// The fiber in `slot` runs, by whatever way it got here. One that gave control away past the loop (by
    /// `Fiber#raise` or `Fiber#transfer`) is not parked, so nothing would ever resume it: it gets its turn again.
    #[inline]
    pub(crate) fn arrive(&mut self, slot: Slot) {
        let from = replace(&mut self.current, slot);
        if !replace(&mut self.switching, false) {
            self.bypass(from);
        }
    }

    #[cold]
    fn bypass(&mut self, slot: Slot) {
        let Some(waiter) = self.waiters.get_mut(slot as usize) else { return };
        let runs = waiter.op == OpId::NONE && !matches!(waiter.job, Job::None);
        if runs && !replace(&mut waiter.bypassed, true) {
            self.ready.push_back(slot);
        }
    }

    /// The fiber that runs ends, and Ruby goes on with the root fiber.
    pub(crate) fn depart(&mut self) {
        (self.current, self.switching) = (NO_SLOT, true);
    }

    /// The root fiber has looked at the kernel: everybody who is ready by now may run, and then those with news of it.
    pub(crate) fn refill_chain(&mut self) {
        (self.chain, self.round) = (CHAIN, self.ready.len());
    }

    /// Whether a turn need not wait.
    pub(crate) fn is_busy(&self) -> bool {
        !self.ready.is_empty() || self.chain == 0
    }
}

/// The first of those that are ready. What is to be raised by a fiber of the loop's own gets one.
///
/// # Safety
///
/// As [`next`].
#[inline]
unsafe fn next_ready(looped: *mut Looped) -> Option<Slot> {
    // SAFETY: as there.
    unsafe {
        let slot = (*looped).ready.pop_front()?;
        let waiter = &mut (&mut (*looped).waiters)[slot as usize];
        waiter.queued = false;
        if waiter.fiber != QNIL {
            return Some(slot);
        }
        let job = waiter.job;
        (*looped).leave(slot);
        fiber::start(looped, job)
    }
}

/// Whose turn it is: the next fiber that is ready, has its result, or gets a connection to serve. `NO_SLOT` when a
/// turn is due. May create a fiber, so Ruby runs.
///
/// # Safety
///
/// The GVL is held, and `looped` is the thread's own.
#[inline]
unsafe fn next(looped: *mut Looped) -> Slot {
    // SAFETY: as above. Each borrow ends with its statement; only `fiber::start` calls into Ruby.
    unsafe {
        if (*looped).chain == 0 || (*looped).failure != QNIL {
            return NO_SLOT;
        }
        (*looped).chain -= 1;
        loop {
            while (*looped).round > 0 {
                (*looped).round -= 1;
                if let Some(slot) = next_ready(looped) {
                    return slot;
                }
            }
            (*looped).foresee();
            match (*looped).runtime.next() {
                None if (*looped).ready.is_empty() => return NO_SLOT,
                None => (*looped).round = (*looped).ready.len(),
                Some(Event::Resume { waiter, result }) => {
                    let slot = Looped::slot_of(waiter);
                    let known = &mut (&mut (*looped).waiters)[slot as usize];
                    if u64::from(known.sequence) == waiter >> 34 && known.op != OpId::NONE {
                        known.op = OpId::NONE;
                        known.result = result;
                        match known.job {
                            Job::Timeout { fiber, what } if result == 0 => (*looped).raise_in(fiber, what),
                            Job::Timeout { .. } => {}
                            Job::Watch { fiber } => drop((*looped).unblock(fiber)),
                            _ => return slot,
                        }
                    }
                }
                Some(Event::Start { conn, handler }) => {
                    let callable = (&(*looped).handlers)[handler as usize].callable;
                    if let Some(slot) = fiber::start(looped, Job::Serve { conn, callable }) {
                        return slot;
                    }
                    (*looped).runtime.finish(conn);
                }
                Some(Event::Alarm { timer }) => {
                    if let Some(slot) = timer::due(looped, timer) {
                        return slot;
                    }
                }
            }
        }
    }
}

/// Gives control away until somebody gives it back to the fiber in `me` (`NO_SLOT`: the root fiber). Anything but 0 is
/// Ruby's tag of what was raised in the fiber instead, to be handed on with `rb_jump_tag`; the loop may be gone then.
///
/// # Safety
///
/// The GVL is held, the caller runs on that fiber, holds no borrow of the loop, and something will resume the fiber.
#[inline]
pub(crate) unsafe fn give_way(looped: *mut Looped, me: Slot) -> c_int {
    // SAFETY: as above.
    unsafe {
        (*looped).leave_traces(me);
        loop {
            let to = next(looped);
            if to == me {
                return 0;
            }
            (*looped).current = to;
            (*looped).switching = true;
            let mut state = 0;
            if to == NO_SLOT {
                rb_protect(Some(transfer), (*looped).root, &mut state);
                if state != 0 && !(*looped).is_gone() && (*looped).current == to && refused() {
                    // The root fiber waits for this one to yield to it, so the turn is taken here.
                    ((*looped).current, (*looped).switching) = (me, false);
                    rb_protect(Some(turn_here), looped as VALUE, &mut state);
                    if state != 0 || (*looped).is_gone() {
                        return state;
                    }
                    continue;
                }
            } else {
                let waiter = &raw mut (&mut (*looped).waiters)[to as usize];
                // That one goes on in Ruby's own code, so it does not say that it has arrived.
                let bypassed = replace(&mut (*waiter).bypassed, false);
                (*looped).switching = !bypassed;
                rb_protect(Some(transfer), (*waiter).fiber, &mut state);
                if bypassed && state != 0 && !(*looped).is_gone() && (*looped).current == to && refused() {
                    // It has been resumed already, or waits for a fiber of its own.
                    continue;
                }
            }
            if !(*looped).is_gone() {
                (*looped).arrive(me);
            } else if state == 0 && me != NO_SLOT {
                rb_protect(Some(refuse), looped as VALUE, &mut state);
            }
            return state;
        }
    }
}

unsafe extern "C" fn transfer(fiber: VALUE) -> VALUE {
    // SAFETY: called with the GVL held; may raise, under `rb_protect`.
    unsafe { rb_fiber_transfer(fiber, 0, std::ptr::null()) }
}

unsafe extern "C" fn turn_here(looped: VALUE) -> VALUE {
    let looped = looped as *mut Looped;
    // SAFETY: called above, with the GVL held; may raise, under `rb_protect`.
    unsafe {
        (*looped).refill_chain();
        wait::turn(looped);
        rb_sys::rb_thread_check_ints();
    }
    QNIL
}

unsafe extern "C" fn refuse(looped: VALUE) -> VALUE {
    // SAFETY: as above; it is the loop of the fiber that runs.
    unsafe {
        if (*(looped as *const Looped)).is_over() {
            raise::runtime("the loop of this fiber has ended");
        }
        raise::runtime(PARENTS)
    }
}

/// Whether what was raised is Ruby's refusal to transfer. It is swallowed then.
#[cold]
unsafe fn refused() -> bool {
    // SAFETY: the GVL is held; the class is Ruby's own, so looking it up raises nothing.
    unsafe {
        let class = rb_sys::rb_path2class(c"FiberError".as_ptr());
        let refused = rb_sys::rb_obj_is_kind_of(rb_sys::rb_errinfo(), class) == QTRUE;
        if refused {
            rb_sys::rb_set_errinfo(QNIL);
        }
        refused
    }
}
