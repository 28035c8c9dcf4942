//! What the garbage collector is shown.

use super::Looped;
use super::waiter::Job;
use crate::typed::{DataType, Typed};
use rb_sys::rb_gc_mark;
use std::ffi::CStr;

/// What keeps the loop's values alive for the garbage collector, and the loop itself for fibers that outlive it.
pub(super) struct Root(pub(super) *mut Looped);

impl Drop for Root {
    fn drop(&mut self) {
        // SAFETY: the box is the object's own; its runtime was dropped by `free`.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl Typed for Root {
    const NAME: &'static CStr = c"Nyario loop";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Root>();
        &TYPE
    };

    fn mark(&self) {
        // SAFETY: the box is the object's own; marking happens with the GVL held, so it does not change meanwhile.
        let looped = unsafe { &*self.0 };
        // SAFETY: each is nil or a live object.
        unsafe {
            for waiter in &looped.waiters {
                rb_gc_mark(waiter.fiber);
                match waiter.job {
                    Job::None => {}
                    Job::Serve { callable, .. } => rb_gc_mark(callable),
                    Job::Run { block, task } => {
                        rb_gc_mark(block);
                        rb_gc_mark(task);
                    }
                    Job::Scheduled => {}
                    Job::Tick { timer } => rb_gc_mark(timer),
                    Job::Watch { fiber } => rb_gc_mark(fiber),
                    Job::Interrupt { target, exception } => {
                        rb_gc_mark(target);
                        rb_gc_mark(exception);
                    }
                    Job::Timeout { fiber, what } => {
                        rb_gc_mark(fiber);
                        rb_gc_mark(what);
                    }
                }
            }
            for pending in &looped.pending {
                rb_gc_mark(pending.fiber);
                rb_gc_mark(pending.what);
            }
            for handler in &looped.handlers {
                rb_gc_mark(handler.callable);
                rb_gc_mark(handler.server);
            }
            looped.timers.mark();
            rb_gc_mark(looped.root);
            rb_gc_mark(looped.failure);
        }
    }
}
