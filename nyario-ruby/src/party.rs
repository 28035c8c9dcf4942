//! Whoever waits for something that is no descriptor: a fiber of a loop, of another scheduler, or a plain thread.

use crate::looped::{self, Looped, QFALSE, QNIL, UNBLOCKED, Waited};
use crate::parker::Parker;
use crate::raise;
use nyario_core::local;
use nyario_core::sys::{Kernel, Linux};
use rb_sys::{VALUE, rb_gc_mark, rb_protect};

#[derive(Clone, Copy)]
pub(crate) enum Party {
    /// A fiber of that loop, whose object keeps its memory.
    Fiber { looped: *mut Looped, object: VALUE, fiber: VALUE },
    /// A fiber that somebody else schedules.
    Foreign { scheduler: VALUE, fiber: VALUE, forks: u32 },
    /// A thread that runs no loop. It lives for as long as it waits, unless the process forks.
    Thread { parker: *const Parker, forks: u32 },
}

/// What a wait on a thread is told.
struct Sleep {
    party: Party,
    until: u64,
}

impl Party {
    /// The caller. Raises on the loop's own fiber, which nobody could wake.
    ///
    /// # Safety
    ///
    /// The GVL is held, and nothing with a destructor is alive in the caller.
    pub(crate) unsafe fn here() -> Party {
        // SAFETY: as above.
        unsafe {
            let looped = looped::running();
            if !looped.is_null() {
                let fiber = rb_sys::rb_fiber_current();
                if fiber == (*looped).root {
                    raise::runtime("the loop's own fiber cannot wait");
                }
                return Party::Fiber { looped, object: (*looped).object, fiber };
            }
            let forks = local::forks();
            match rb_sys::rb_fiber_scheduler_current() {
                QNIL | QFALSE => Party::Thread { parker: Parker::own(), forks },
                scheduler => Party::Foreign { scheduler, fiber: rb_sys::rb_fiber_current(), forks },
            }
        }
    }

    /// Waits until it is woken ([`UNBLOCKED`], which may also come of itself), the moment has come (0; there is none if
    /// that is 0), the loop ends (a negative errno), or something is raised. See [`looped::block_for`].
    ///
    /// # Safety
    ///
    /// The GVL is held, and it is the caller.
    pub(crate) unsafe fn wait(self, until: u64, why: &'static str, shielded: bool) -> Waited {
        // SAFETY: as above; `sleep` outlives the call.
        unsafe {
            if let Party::Fiber { looped, .. } = self {
                return match looped::block_for(looped, until, why, shielded) {
                    Some(waited) => waited,
                    None => raise::runtime("the loop's own fiber cannot wait"),
                };
            }
            let sleep = Sleep { party: self, until };
            let mut tag = 0;
            rb_protect(Some(wait), (&raw const sleep) as VALUE, &mut tag);
            let over = until != 0 && Linux.now() >= until;
            Waited { result: if over { 0 } else { UNBLOCKED }, tag }
        }
    }

    /// Ends its wait, from any thread. What has gone meanwhile is not woken, and no harm is done.
    ///
    /// # Safety
    ///
    /// The GVL is held, nothing is borrowed: another's scheduler may run Ruby code.
    pub(crate) unsafe fn wake(self) {
        unsafe extern "C" fn unblock(party: VALUE) -> VALUE {
            // SAFETY: it is the party below.
            unsafe {
                if let Party::Foreign { scheduler, fiber, .. } = *(party as *const Party) {
                    rb_sys::rb_fiber_scheduler_unblock(scheduler, QNIL, fiber);
                }
            }
            QNIL
        }
        // SAFETY: as above. Whoever holds the GVL may touch what a loop knows of its fibers.
        unsafe {
            if self.is_gone() {
                return;
            }
            match self {
                Party::Fiber { looped, fiber, .. } => {
                    if (*looped).unblock(fiber) && looped != looped::running() {
                        (*looped).wake();
                    }
                }
                Party::Thread { parker, .. } => (*parker).wake(),
                Party::Foreign { .. } => {
                    let mut tag = 0;
                    rb_protect(Some(unblock), (&raw const self) as VALUE, &mut tag);
                    if tag != 0 {
                        rb_sys::rb_set_errinfo(QNIL);
                    }
                }
            }
        }
    }

    /// Whether it will never go on: its loop has ended, or it was left behind by a fork.
    pub(crate) fn is_gone(&self) -> bool {
        match *self {
            // SAFETY: the object, which is marked, keeps the loop's memory.
            Party::Fiber { looped, .. } => unsafe { (*looped).is_gone() },
            Party::Foreign { forks, .. } | Party::Thread { forks, .. } => forks != local::forks(),
        }
    }

    /// # Safety
    ///
    /// Called while Ruby marks.
    pub(crate) unsafe fn mark(&self) {
        // SAFETY: each is a live object.
        unsafe {
            match *self {
                Party::Fiber { object, fiber, .. } => {
                    rb_gc_mark(object);
                    rb_gc_mark(fiber);
                }
                Party::Foreign { scheduler, fiber, .. } => {
                    rb_gc_mark(scheduler);
                    rb_gc_mark(fiber);
                }
                Party::Thread { .. } => {}
            }
        }
    }
}

unsafe extern "C" fn wait(sleep: VALUE) -> VALUE {
    // SAFETY: it is the sleep above; may raise, under `rb_protect`.
    unsafe {
        let Sleep { party, until } = *(sleep as *const Sleep);
        let nanos = if until == 0 { None } else { Some(until.saturating_sub(Linux.now())) };
        match (party, nanos) {
            (_, Some(0)) => {}
            (Party::Foreign { scheduler, .. }, _) => {
                let seconds = nanos.map_or(QNIL, |nanos| rb_sys::rb_float_new(nanos as f64 / 1e9));
                rb_sys::rb_fiber_scheduler_block(scheduler, QNIL, seconds);
            }
            (Party::Thread { parker, .. }, _) => Parker::wait(parker, nanos),
            (Party::Fiber { .. }, _) => {}
        }
    }
    QNIL
}
