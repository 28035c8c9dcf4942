//! What the garbage collector is shown.

use super::Looped;
use super::waiter::Job;
use crate::typed::{DataType, Typed, follow, mark_movable};
use rb_sys::rb_gc_mark;
use std::ffi::CStr;
use std::sync::atomic::Ordering;

/// What keeps the loop's values alive for the garbage collector, and the loop itself for fibers that outlive it.
pub(super) struct Root(pub(super) *mut Looped);

impl Drop for Root {
    fn drop(&mut self) {
        // SAFETY: the box is the object's own. Ruby takes every object apart when the process ends, those included whose
        // thread has not come to its end.
        unsafe {
            if (*self.0).settled.load(Ordering::Acquire) {
                drop(Box::from_raw(self.0));
            }
        }
    }
}

impl Typed for Root {
    const NAME: &'static CStr = c"Nyario loop";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Root>();
        &TYPE
    };

    // A fiber stays where it is: it is found by its address.
    fn mark(&self) {
        // SAFETY: the box is the object's own; marking happens with the GVL held, so it does not change meanwhile.
        let looped = unsafe { &*self.0 };
        // SAFETY: each is nil or a live object.
        unsafe {
            looped.timers.mark();
            for waiter in &looped.waiters {
                rb_gc_mark(waiter.fiber);
                match waiter.job {
                    Job::None | Job::Scheduled => {}
                    Job::Serve { callable, .. } => mark_movable(callable),
                    Job::Run { block, task } => {
                        mark_movable(block);
                        mark_movable(task);
                    }
                    Job::Tick { timer } => rb_gc_mark(timer),
                    Job::Watch { fiber } => rb_gc_mark(fiber),
                    Job::Interrupt { target, exception } => {
                        rb_gc_mark(target);
                        rb_gc_mark(exception);
                    }
                    Job::Timeout { fiber, what } => {
                        rb_gc_mark(fiber);
                        mark_movable(what);
                    }
                }
            }
            for pending in &looped.pending {
                rb_gc_mark(pending.fiber);
                mark_movable(pending.what);
            }
            for &fiber in &looped.unblocked {
                rb_gc_mark(fiber);
            }
            for handler in &looped.handlers {
                mark_movable(handler.callable);
                mark_movable(handler.server);
            }
            for &(server, _) in &looped.unclaimed {
                rb_gc_mark(server);
            }
            for handed in looped.handed.values() {
                rb_gc_mark(handed.io);
            }
            rb_gc_mark(looped.root);
            mark_movable(looped.failure);
            mark_movable(looped.thread);
        }
    }

    fn compact(&mut self) {
        // SAFETY: the box is the object's own, and nothing else runs meanwhile.
        let looped = unsafe { &mut *self.0 };
        // SAFETY: what is followed was marked as movable.
        unsafe {
            for waiter in &mut looped.waiters {
                match &mut waiter.job {
                    Job::Serve { callable, .. } => follow(callable),
                    Job::Run { block, task } => {
                        follow(block);
                        follow(task);
                    }
                    Job::Timeout { what, .. } => follow(what),
                    _ => {}
                }
            }
            for pending in &mut looped.pending {
                follow(&mut pending.what);
            }
            for handler in &mut looped.handlers {
                follow(&mut handler.callable);
                follow(&mut handler.server);
            }
            follow(&mut looped.failure);
            follow(&mut looped.thread);
        }
    }
}
