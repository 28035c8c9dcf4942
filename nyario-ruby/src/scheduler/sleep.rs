//! Sleeping, blocking, and being unblocked.

use super::{Scheduler, deadline, loop_of};
use crate::looped::{self, QFALSE, QNIL, QTRUE, UNBLOCKED, Waited};
use crate::{api, blocking, raise, typed};
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::c_int;

/// `kernel_sleep(duration = nil)`: without a duration somebody has to unblock it, as a condition variable does.
pub(super) unsafe extern "C" fn kernel_sleep(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments; nothing here has a destructor.
    unsafe {
        let duration = match api::arguments(argc, argv) {
            [] => QNIL,
            [duration, ..] => *duration,
        };
        let until = deadline(duration);
        if duration != QNIL && rb_sys::NUM2DBL(duration) < 0.0 {
            raise::argument("time interval must not be negative");
        }
        let looped = loop_of(this);
        let zero = duration != QNIL && rb_sys::NUM2DBL(duration) == 0.0;
        let waited = match zero {
            true => looped::yield_to(looped, None),
            false if (*looped).was_unblocked() => return QTRUE,
            false => looped::block(looped, until),
        };
        match waited {
            None if duration == QNIL => raise::runtime("the loop's own fiber cannot sleep for ever"),
            None => blocking::sleep((rb_sys::NUM2DBL(duration).max(0.0) * 1e9).ceil() as u64),
            Some(waited) => drop(end(waited)),
        }
        QTRUE
    }
}

/// `block(blocker, timeout = nil)`: true when it was unblocked, false when the time was up.
pub(super) unsafe extern "C" fn block(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let timeout = match api::arguments(argc, argv) {
            [_, timeout] => *timeout,
            _ => QNIL,
        };
        let until = deadline(timeout);
        let looped = loop_of(this);
        if (*looped).was_unblocked() {
            return QTRUE;
        }
        match looped::block(looped, until) {
            None => raise::runtime("the loop's own fiber cannot block"),
            Some(waited) => end(waited),
        }
    }
}

/// `unblock(blocker, fiber)`, from any thread.
pub(super) unsafe extern "C" fn unblock(this: VALUE, _blocker: VALUE, fiber: VALUE) -> VALUE {
    // SAFETY: as above. Whoever holds the GVL may touch what the loop knows of its fibers: while the loop's thread waits
    // without the GVL, it touches its runtime alone. A loop that is gone has no fibers to unblock.
    unsafe {
        let looped = (*typed::unwrap::<Scheduler>(this)).looped;
        if looped.is_null() || (*looped).is_gone() {
            return QNIL;
        }
        let other = looped != looped::running();
        match (*looped).unblock(fiber) {
            true if other => (*looped).wake(),
            false if other => (*looped).unblock_early(fiber),
            _ => {}
        }
    }
    QNIL
}

/// `yield`: lets the others go first.
pub(super) unsafe extern "C" fn yield_now(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        if let Some(waited) = looped::yield_to(loop_of(this), None) {
            end(waited);
        }
    }
    QNIL
}

/// Whether the wait was ended by somebody; what was raised goes on its way.
unsafe fn end(waited: Waited) -> VALUE {
    // SAFETY: called with the GVL held.
    unsafe {
        match waited {
            Waited { result: UNBLOCKED, tag: 0 } => QTRUE,
            Waited { result, tag: 0 } if result < 0 => raise::system_call(result),
            Waited { tag: 0, .. } => QFALSE,
            Waited { tag, .. } => rb_jump_tag(tag),
        }
    }
}
