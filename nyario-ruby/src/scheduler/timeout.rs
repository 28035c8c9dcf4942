//! `Timeout.timeout`.

use super::{deadline, loop_of};
use crate::looped::{Job, Looped, QNIL, Slot};
use crate::{api, raise};
use nyario_core::driver::{Op, Submitted};
use rb_sys::VALUE;
use std::ffi::{c_int, c_long};

/// A call of [`timeout_after`] that is under way.
struct Call {
    looped: *mut Looped,
    timer: Slot,
    duration: VALUE,
    what: VALUE,
}

/// `timeout_after(duration, class, *arguments) { |duration| ... }`: the block's value; past the duration the exception is
/// raised wherever the block waits, or would wait next.
pub(super) unsafe extern "C" fn timeout_after(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    unsafe extern "C" fn run(call: VALUE) -> VALUE {
        // SAFETY: it is the call below.
        unsafe { rb_sys::rb_yield((*(call as *const Call)).duration) }
    }
    unsafe extern "C" fn disarm(call: VALUE) -> VALUE {
        // SAFETY: as above; the loop's object lies on the stack below.
        unsafe {
            let Call { looped, timer, what, .. } = *(call as *const Call);
            if !(*looped).is_gone() {
                (*looped).unraise(what);
                (*looped).forget(timer);
                (*looped).leave(timer);
            }
        }
        QNIL
    }
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments; a park borrows nothing, nothing here has a destructor,
    // and the loop's object is on this stack for as long as the call is.
    unsafe {
        let [duration, what @ ..] = api::arguments(argc, argv) else {
            raise::argument("timeout_after takes a duration and an exception");
        };
        let until = deadline(*duration);
        let what = rb_sys::rb_ary_new_from_values(what.len() as c_long, what.as_ptr());
        let looped = loop_of(this);
        let object = (*looped).object;
        let timer = (*looped).enter(QNIL);
        (&mut (*looped).waiters)[timer as usize].job = Job::Timeout { fiber: rb_sys::rb_fiber_current(), what };
        if let Submitted::Done(result) = (*looped).submit(timer, Op::Park, until) {
            (*looped).leave(timer);
            raise::system_call(result);
        }
        let call = Call { looped, timer, duration: *duration, what };
        let call = (&raw const call) as VALUE;
        let value = rb_sys::rb_ensure(Some(run), call, Some(disarm), call);
        std::hint::black_box(object);
        value
    }
}
