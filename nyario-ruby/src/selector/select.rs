//! One round of the host's loop, and what ends its sleep.

use super::{Selector, open, ready};
use crate::looped::{QFALSE, QNIL, QTRUE};
use crate::{api, raise, typed};
use nyario_core::sys::{Kernel, Linux};
use rb_sys::{RB_NOGVL_INTR_FAIL, RB_NOGVL_UBF_ASYNC_SAFE, VALUE, rb_jump_tag, rb_nogvl, rb_protect};
use std::ffi::{c_int, c_long, c_void};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

/// How many fibers may be told of their operations before the host has its timers looked at.
const ROUND: usize = 256;

/// `{ SignalException => :never }`, for `Thread.handle_interrupt`.
static NO_SIGNALS: OnceLock<VALUE> = OnceLock::new();

pub(super) fn define() {
    NO_SIGNALS.get_or_init(|| {
        // SAFETY: called when the extension is loaded; the hash is registered, so it stays.
        unsafe {
            let mask = rb_sys::rb_hash_new();
            let never = rb_sys::rb_id2sym(rb_sys::rb_intern(c"never".as_ptr()));
            let compare = rb_sys::rb_intern(c"compare_by_identity".as_ptr());
            rb_sys::rb_funcallv(mask, compare, 0, std::ptr::null());
            rb_sys::rb_hash_aset(mask, rb_sys::rb_eSignal, never);
            rb_sys::rb_gc_register_mark_object(rb_sys::rb_obj_freeze(mask));
            mask
        }
    });
}

/// A call that sleeps.
struct Sleep {
    selector: *mut Selector,
    /// The moment until which it does, if there is one.
    until: Option<u64>,
}

/// `select(duration = nil)`: runs those who are ready, then those whose operations have ended; where there is nobody of
/// either, sleeps for up to `duration` seconds. How many of the latter there were.
pub(super) unsafe extern "C" fn select(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments. Nothing here has a destructor, and no borrow lives where
    // Ruby runs; the object, on this stack, keeps the selector's memory.
    unsafe {
        let limit = match api::arguments(argc, argv) {
            [] => None,
            [duration] if *duration == QNIL => None,
            [duration] => Some(nanos(*duration)),
            _ => raise::argument("select takes a duration"),
        };
        let (selector, _) = open(this);
        if rb_sys::rb_fiber_current() != (*selector).host {
            raise::runtime("select is to be called on the selector's loop fiber");
        }
        ((*selector).idle, (*selector).round) = (0, 0);
        let flushed = ready::flush(selector);
        (*open(this).1).turn_within(Some(0), false);
        let mut count = hand_out(selector);
        if flushed == 0 && count == 0 && (*selector).ready.is_empty() && limit != Some(0) {
            sleep(this, selector, limit);
            count = hand_out(selector);
        }
        std::hint::black_box(this);
        rb_sys::LONG2NUM(count as c_long)
    }
}

/// A duration in nanoseconds; what has passed is none at all.
unsafe fn nanos(duration: VALUE) -> u64 {
    // SAFETY: called with the GVL held; raises for what is no number.
    unsafe {
        let seconds = rb_sys::NUM2DBL(duration);
        if seconds.is_nan() {
            raise::argument("the duration must be a number of seconds");
        }
        (seconds.max(0.0) * 1e9).ceil() as u64
    }
}

/// Gives control to those whose operations have ended.
unsafe fn hand_out(selector: *mut Selector) -> usize {
    // SAFETY: as in `select`.
    unsafe {
        (*selector).round = ROUND;
        while let Some(fiber) = (*selector).next_fiber() {
            ready::transfer_to(fiber, &[], 0);
        }
        ROUND - std::mem::replace(&mut (*selector).round, 0)
    }
}

/// Waits for the kernel without the GVL. Whatever interrupts the thread ends that.
unsafe fn sleep(this: VALUE, selector: *mut Selector, limit: Option<u64>) {
    // SAFETY: as in `select`. Nobody else touches the runtime while its thread is in here, with or without the GVL.
    unsafe {
        let begun = Linux.now();
        let sleep = Sleep { selector, until: limit.map(|limit| begun.saturating_add(limit)) };
        (*selector).woken.store(false, Ordering::Relaxed);
        (*selector).sleeps = true;
        let mut tag = 0;
        rb_protect(Some(with_signals_pending), (&raw const sleep) as VALUE, &mut tag);
        (*selector).sleeps = false;
        (*selector).idle = Linux.now().saturating_sub(begun);
        if tag != 0 {
            rb_jump_tag(tag);
        }
        open(this);
    }
}

/// A host that defers signals, as async does, may have one pending of which the thread's flag of interrupts says nothing
/// any more: Ruby would let it sleep. Deferring them once more sets the flag again.
unsafe extern "C" fn with_signals_pending(sleep: VALUE) -> VALUE {
    // SAFETY: called above, with the GVL held; may raise, under `rb_protect`.
    unsafe {
        let mask = NO_SIGNALS.get().expect("made when the extension was loaded");
        let defer = rb_sys::rb_intern(c"handle_interrupt".as_ptr());
        rb_sys::rb_block_call(rb_sys::rb_cThread, defer, 1, mask, Some(without_gvl), sleep)
    }
}

unsafe extern "C" fn without_gvl(_: VALUE, sleep: VALUE, _: c_int, _: *const VALUE, _: VALUE) -> VALUE {
    // SAFETY: it is the sleep above; the selector outlives the call, and so does its waker: nobody else can close it.
    unsafe {
        let selector = (*(sleep as *const Sleep)).selector;
        let flags = (RB_NOGVL_INTR_FAIL | RB_NOGVL_UBF_ASYNC_SAFE) as i32;
        rb_nogvl(Some(turn), sleep as *mut c_void, Some(interrupt), selector.cast(), flags);
    }
    QNIL
}

unsafe extern "C" fn turn(sleep: *mut c_void) -> *mut c_void {
    // SAFETY: it is the sleep above, whose thread is here.
    unsafe {
        let Sleep { selector, until } = *sleep.cast::<Sleep>();
        let runtime = (*selector).runtime;
        loop {
            let left = until.map(|until| until.saturating_sub(Linux.now()));
            // A turn that has kept house may not have waited to the end.
            let swept = (*runtime).turn_within(left, false);
            if !swept || left == Some(0) || (*runtime).has_news() || (*selector).woken.load(Ordering::Relaxed) {
                return std::ptr::null_mut();
            }
        }
    }
}

/// Ends the sleep, from any thread and from signal handlers.
unsafe extern "C" fn interrupt(selector: *mut c_void) {
    // SAFETY: the selector sleeps, so it is there and open. The runtime is its thread's, the waker anybody's.
    unsafe {
        let selector = selector.cast::<Selector>();
        (*selector).woken.store(true, Ordering::Relaxed);
        if let Some(waker) = &(*selector).waker {
            waker.wake_always();
        }
    }
}

/// `wakeup`, from any thread: whether it slept.
pub(super) unsafe extern "C" fn wakeup(this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held, so whether it sleeps does not change meanwhile.
    unsafe {
        let selector = typed::unwrap::<Selector>(this);
        if !(*selector).sleeps {
            return QFALSE;
        }
        interrupt(selector.cast());
    }
    QTRUE
}
