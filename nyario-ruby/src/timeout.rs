//! `Nyario.timeout` and `Nyario.deadline`: blocks that have to be left in time.
//!
//! Past the moment something is raised that only the call itself takes for its own, and turns into a TimeoutError: no
//! `rescue` within an inner block meets the error of an outer one.

use crate::fiber::RAISED;
use crate::looped::{self, Job, Looped, QNIL, QTRUE, Slot};
use crate::{api, errors, moment, raise};
use nyario_core::driver::{Op, Submitted};
use nyario_core::sys::{Kernel, Linux};
use rb_sys::{ID, VALUE, rb_errinfo, rb_funcallv, rb_intern, rb_jump_tag, rb_protect, rb_set_errinfo};
use std::ffi::{c_int, c_longlong};
use std::sync::atomic::{AtomicU64, Ordering};

/// `timeout(seconds) { }`.
unsafe extern "C" fn timeout(_: VALUE, seconds: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe {
        api::block();
        if seconds == QNIL {
            return rb_sys::rb_yield_values2(0, std::ptr::null());
        }
        within(moment::after(seconds))
    }
}

/// `deadline(moment) { }`, or `deadline` alone.
unsafe extern "C" fn deadline(argc: c_int, argv: *const VALUE, _: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe {
        match api::arguments(argc, argv) {
            [] if rb_sys::rb_block_given_p() == 0 => in_force(),
            [moment] => {
                api::block();
                within(moment::nanos(*moment).max(1))
            }
            _ => raise::argument("a deadline takes a moment and a block, or neither"),
        }
    }
}

/// Where a fiber keeps the moment that it has to respect: its nanoseconds.
unsafe fn key() -> ID {
    // SAFETY: called with the GVL held.
    unsafe { rb_intern(c"nyario deadline".as_ptr()) }
}

unsafe fn in_force() -> VALUE {
    // SAFETY: as above; nobody else writes there.
    unsafe {
        match rb_sys::rb_thread_local_aref(rb_sys::rb_thread_current(), key()) {
            QNIL => QNIL,
            nanos => rb_sys::rb_float_new(rb_sys::rb_num2ll(nanos) as f64 / 1e9),
        }
    }
}

/// Runs the caller's block until that moment.
unsafe fn within(until: u64) -> VALUE {
    // SAFETY: called by a method with a block, with the GVL held; nothing here has a destructor.
    unsafe {
        let thread = rb_sys::rb_thread_current();
        let before = rb_sys::rb_thread_local_aref(thread, key());
        let narrower = if before == QNIL { until } else { until.min(rb_sys::rb_num2ll(before) as u64) };
        let value = rb_sys::rb_ll2inum(narrower.min(i64::MAX as u64) as c_longlong);
        rb_sys::rb_thread_local_aset(thread, key(), value);
        let looped = looped::running();
        let fiber = rb_sys::rb_fiber_current();
        let off_loop = looped.is_null() || fiber == (*looped).root;
        let text = if off_loop { own_text() } else { rb_sys::rb_str_new_cstr(c"the time is up".as_ptr()) };
        let unwinding = errors::unwinding(text);
        let mut tag = 0;
        let value = if off_loop {
            on_thread(until, unwinding, &mut tag)
        } else {
            on_loop(looped, fiber, until, unwinding, &mut tag)
        };
        let raised = if tag == RAISED { rb_errinfo() } else { QNIL };
        rb_sys::rb_thread_local_aset(thread, key(), before);
        if tag == RAISED && (raised == unwinding || (off_loop && is_told(raised, unwinding))) {
            rb_set_errinfo(QNIL);
            let error = errors::timeout("the time is up");
            let backtrace = rb_funcallv(raised, rb_intern(c"backtrace".as_ptr()), 0, std::ptr::null());
            rb_funcallv(error, rb_intern(c"set_backtrace".as_ptr()), 1, &backtrace);
            rb_sys::rb_exc_raise(error);
        }
        if tag == RAISED {
            // Whatever rescues something meanwhile makes Ruby forget it.
            rb_set_errinfo(raised);
        }
        if tag != 0 {
            rb_jump_tag(tag);
        }
        std::hint::black_box((raised, unwinding));
        value
    }
}

/// On a fiber of a running loop.
unsafe fn on_loop(looped: *mut Looped, fiber: VALUE, until: u64, unwinding: VALUE, tag: &mut c_int) -> VALUE {
    // SAFETY: as in `within`; the loop's object, on this stack, keeps its memory, and a park borrows nothing.
    unsafe {
        let object = (*looped).object;
        let timer: Slot = (*looped).enter(QNIL);
        (&mut (*looped).waiters)[timer as usize].job = Job::Timeout { fiber, what: unwinding };
        if let Submitted::Done(result) = (*looped).submit(timer, Op::Park, until) {
            (*looped).leave(timer);
            raise::system_call(result);
        }
        let value = rb_protect(Some(yield_nothing), QNIL, tag);
        if !(*looped).is_gone() {
            (*looped).unraise(unwinding);
            (*looped).forget(timer);
            (*looped).leave(timer);
        }
        std::hint::black_box(object);
        value
    }
}

unsafe extern "C" fn yield_nothing(_: VALUE) -> VALUE {
    // SAFETY: called above, under `rb_protect`.
    unsafe { rb_sys::rb_yield_values2(0, std::ptr::null()) }
}

/// Elsewhere it is `Timeout.timeout` that raises, an exception of its own making, whose text names the call.
unsafe fn on_thread(until: u64, unwinding: VALUE, tag: &mut c_int) -> VALUE {
    unsafe extern "C" fn block(_: VALUE, _: VALUE, _: c_int, _: *const VALUE, _: VALUE) -> VALUE {
        // SAFETY: `Timeout.timeout` calls it, within the method whose block is meant.
        unsafe { rb_sys::rb_yield_values2(0, std::ptr::null()) }
    }
    unsafe extern "C" fn run(call: VALUE) -> VALUE {
        // SAFETY: it is the array below; may raise, under `rb_protect`.
        unsafe {
            let timeout = rb_sys::rb_path2class(c"Timeout".as_ptr());
            rb_sys::rb_block_call(timeout, rb_intern(c"timeout".as_ptr()), 3, call as *const VALUE, Some(block), QNIL)
        }
    }
    // SAFETY: as in `within`.
    unsafe {
        let seconds = until.saturating_sub(Linux.now()).max(1) as f64 / 1e9;
        let call = [rb_sys::rb_float_new(seconds), errors::unwinding_class(), message(unwinding)];
        rb_protect(Some(run), call.as_ptr() as VALUE, tag)
    }
}

/// A text that tells the call from all others.
unsafe fn own_text() -> VALUE {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    // SAFETY: called with the GVL held; the format fits what it is given.
    unsafe { rb_sys::rb_sprintf(c"the time is up (call %llu)".as_ptr(), CALLS.fetch_add(1, Ordering::Relaxed)) }
}

unsafe fn message(error: VALUE) -> VALUE {
    // SAFETY: called with the GVL held, and an exception.
    unsafe { rb_funcallv(error, rb_intern(c"message".as_ptr()), 0, std::ptr::null()) }
}

/// Whether `Timeout.timeout` has raised that for this call.
unsafe fn is_told(raised: VALUE, unwinding: VALUE) -> bool {
    // SAFETY: as above.
    unsafe { errors::is_unwinding(raised) && rb_sys::rb_str_equal(message(raised), message(unwinding)) == QTRUE }
}

/// # Safety
///
/// Called when the extension is loaded.
pub(crate) unsafe fn define(nyario: VALUE) {
    // SAFETY: as above; each function has the signature of its arity.
    unsafe {
        api::singleton_method(nyario, c"timeout", timeout as *const (), 1);
        api::singleton_method(nyario, c"deadline", deadline as *const (), -1);
    }
}
