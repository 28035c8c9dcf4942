//! `Nyario::Scheduler`: Ruby's own blocking calls on the loop.
//!
//! ```text
//!   Fiber.schedule { socket.readpartial(4096) }
//!        | Ruby calls scheduler.fiber          -> a Fiber of its own, entered in the loop, transferred to
//!        |            scheduler.io_read(...)   -> tried at once; else an operation, and the fiber parks
//!        |            scheduler.close          -> the loop runs until nobody is left
//! ```
//!
//! A scheduler belongs to the loop of the thread that first calls one of its hooks. Which hooks there are, and what they
//! are given, depends on the Ruby: `contract` has the table.

mod contract;
mod errand;
mod fiber;
mod interrupt;
mod names;
mod offload;
mod positional;
mod process;
mod select;
mod sleep;
mod timeout;
mod transfer;
mod wait;

pub(crate) use contract::{SINGLE_TRANSFERS, Version, of_this_ruby, parse};
pub(crate) use process::{status, wait_on_thread};
pub(crate) use transfer::{Length, Memory, Span, answer, is_socket, readable, writable};

pub(crate) use interrupt::interrupt;

use crate::ensuring::ensuring;
use crate::looped::{self, Looped, QNIL};
use crate::typed::{self, DataType, Typed};
use crate::{api, ending, raise, wait as turning};
use magnus::rb_sys::{protect, resume_error};
use magnus::{Error, RModule};
use nyario_core::sys::{Kernel, Linux};
use rb_sys::VALUE;
use std::ffi::CStr;
use std::sync::OnceLock;

const OTHERS: &str = "the scheduler belongs to another thread: each needs one of its own";

/// What a fiber is told that would run the loop that runs it.
const ITS_OWN: &str = "a scheduler is run by its thread, not by a fiber that it schedules";

/// What the Ruby object carries.
struct Scheduler {
    /// The loop that it drives, or null before its first hook. Its object keeps it.
    looped: *mut Looped,
    object: VALUE,
    /// The loop is another's to run and to end: `Nyario.loop`'s.
    lent: bool,
}

impl Typed for Scheduler {
    const NAME: &'static CStr = c"Nyario::Scheduler";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Scheduler>();
        &TYPE
    };

    fn mark(&self) {
        // SAFETY: nil or a live object.
        unsafe { typed::mark_movable(self.object) };
    }

    fn compact(&mut self) {
        // SAFETY: marked as movable.
        unsafe { typed::follow(&mut self.object) };
    }
}

unsafe extern "C" fn allocate(class: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe { typed::wrap(class, Scheduler { looped: std::ptr::null_mut(), object: QNIL, lent: false }) }
}

/// The scheduler's loop: the calling thread's. A forked child finds that its parent's is gone, and gets one of its own.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller.
unsafe fn loop_of(this: VALUE) -> *mut Looped {
    // SAFETY: as above.
    unsafe {
        let scheduler = typed::unwrap::<Scheduler>(this);
        let looped = (*scheduler).looped;
        if !looped.is_null() && looped == looped::running() {
            return looped;
        }
        bind(scheduler)
    }
}

#[cold]
unsafe fn bind(scheduler: *mut Scheduler) -> *mut Looped {
    // SAFETY: as in `loop_of`.
    unsafe {
        if !(*scheduler).looped.is_null() && !(*(*scheduler).looped).is_gone() {
            raise::runtime(OTHERS);
        }
        let looped = match looped::get() {
            Ok(looped) => looped,
            Err(error) => raise::system_call(error.result()),
        };
        (*scheduler).lent = (*looped).running;
        if !(*looped).running {
            (*looped).running = true;
            (*looped).root = rb_sys::rb_fiber_current();
        }
        ((*scheduler).looped, (*scheduler).object) = (looped, (*looped).object);
        looped
    }
}

/// The moment so many seconds from now, for a deadline; 0 for nil, which is none.
///
/// # Safety
///
/// The GVL is held; raises for what is no number.
unsafe fn deadline(seconds: VALUE) -> u64 {
    if seconds == QNIL {
        return 0;
    }
    // SAFETY: as above.
    let seconds = unsafe { rb_sys::NUM2DBL(seconds) };
    if seconds.is_nan() {
        // SAFETY: as above.
        unsafe { raise::argument("the time must be a number of seconds") }
    }
    Linux.now().saturating_add((seconds.max(0.0) * 1e9).ceil() as u64).max(1)
}

/// Runs until no fiber is left that waits or is ready.
unsafe extern "C" fn run(this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; no borrow outlives its statement.
    unsafe {
        if (*typed::unwrap::<Scheduler>(this)).looped.is_null() {
            // Nobody has ever waited.
            return QNIL;
        }
        let looped = loop_of(this);
        let fiber = rb_sys::rb_fiber_current();
        if (*looped).knows(fiber) {
            raise::runtime(ITS_OWN);
        }
        (*looped).root = fiber;
        loop {
            crate::fiber::run_ready(looped);
            if (*looped).is_gone() {
                return QNIL;
            }
            if (*looped).failure != QNIL {
                let failure = std::mem::replace(&mut (*looped).failure, QNIL);
                rb_sys::rb_exc_raise(failure);
            }
            if !(*looped).is_awaited() {
                return QNIL;
            }
            turning::turn(looped);
            rb_sys::rb_thread_check_ints();
            if (*looped).is_gone() {
                return QNIL;
            }
        }
    }
}

/// The thread ends, or its scheduler is taken away: whatever is left runs to its end. Nothing is waited for when an
/// exception ends the process (`exit` and interrupts included), or comes meanwhile, or the thread is killed.
unsafe extern "C" fn close(this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; an error has nothing left to drop when it is raised.
    unsafe {
        match end(this) {
            Ok(()) => QNIL,
            Err(error) => resume_error(error),
        }
    }
}

unsafe fn end(this: VALUE) -> Result<(), Error> {
    // SAFETY: called with the GVL held; no borrow outlives its statement, and what may raise runs under `protect`.
    unsafe {
        let scheduler = typed::unwrap::<Scheduler>(this);
        let looped = (*scheduler).looped;
        if looped.is_null() || (*looped).is_gone() || (*scheduler).lent {
            return Ok(());
        }
        if looped != looped::current() {
            protect(|| raise::runtime(OTHERS))?;
        }
        if (*looped).knows(rb_sys::rb_fiber_current()) {
            protect(|| raise::runtime(ITS_OWN))?;
        }
        let (mut ended, mut failure) = (Ok(()), QNIL);
        let ran = ensuring(
            || if rb_sys::rb_errinfo() == QNIL { run(this) } else { QNIL },
            || {
                if (*looped).is_gone() {
                    return;
                }
                (*looped).root = rb_sys::rb_fiber_current();
                ended = ending::end(looped);
                if (*looped).is_gone() {
                    return;
                }
                failure = (*looped).failure;
                (*scheduler).looped = std::ptr::null_mut();
                looped::free(looped);
            },
        );
        ran?;
        ended?;
        if failure != QNIL {
            protect(|| rb_sys::rb_exc_raise(failure))?;
        }
        Ok(())
    }
}

static CLASS: OnceLock<VALUE> = OnceLock::new();

/// Gives the calling thread a scheduler of the loop that it is about to run, unless it has one: `true` when it did.
///
/// # Safety
///
/// The GVL is held, the loop is the thread's own, and nothing with a destructor is alive in the caller; may raise.
pub(crate) unsafe fn install(looped: *mut Looped) -> bool {
    // SAFETY: as above; the class is a constant, so it stays.
    unsafe {
        if rb_sys::rb_fiber_scheduler_get() != QNIL {
            return false;
        }
        let class = *CLASS.get().expect("defined when the extension was loaded");
        let scheduler = typed::wrap(class, Scheduler { looped, object: (*looped).object, lent: true });
        rb_sys::rb_fiber_scheduler_set(scheduler);
        true
    }
}

/// Takes it away again.
///
/// # Safety
///
/// As [`install`].
pub(crate) unsafe fn remove() {
    // SAFETY: as above.
    unsafe { rb_sys::rb_fiber_scheduler_set(QNIL) };
}

/// Takes the scheduler of its parent from a forked child, if it is one of ours.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller; may raise.
#[cfg(not(ruby_gte_4_0))]
pub(crate) unsafe fn detach() {
    // SAFETY: as above. Closing a scheduler whose loop is the parent's touches nothing of that.
    unsafe {
        let scheduler = rb_sys::rb_fiber_scheduler_get();
        if scheduler != QNIL && typed::is::<Scheduler>(scheduler) {
            rb_sys::rb_fiber_scheduler_set(QNIL);
        }
    }
}

pub(crate) fn define(nyario: RModule) {
    use magnus::rb_sys::AsRawValue;
    // SAFETY: called when the extension is loaded; each function has the signature of its arity.
    unsafe {
        let class = rb_sys::rb_define_class_under(nyario.as_raw(), c"Scheduler".as_ptr(), rb_sys::rb_cObject);
        CLASS.get_or_init(|| class);
        furnish(class, contract::of_this_ruby());
        api::method(rb_sys::rb_singleton_class(class), c"of_ruby", of_ruby as *const (), 1);
        let name = rb_sys::rb_id2sym(rb_sys::rb_intern(c"of_ruby".as_ptr()));
        rb_sys::rb_funcallv(class, rb_sys::rb_intern(c"private_class_method".as_ptr()), 1, &name);
    }
}

/// Makes a class one of schedulers for that Ruby.
unsafe fn furnish(class: VALUE, version: contract::Version) {
    // SAFETY: called with the GVL held; each function has the signature of its arity.
    unsafe {
        rb_sys::rb_define_alloc_func(class, Some(allocate));
        for (name, function) in [(c"run", run as *const ()), (c"scheduler_close", close as _), (c"close", close as _)] {
            api::method(class, name, function, 0);
        }
        contract::define(class, version);
    }
}

/// A class of schedulers as another Ruby would have it. Private: it is how the hooks are tested that no Ruby at hand calls.
unsafe extern "C" fn of_ruby(_: VALUE, version: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe {
        let class = rb_sys::rb_class_new(rb_sys::rb_cObject);
        furnish(class, contract::parse(version));
        class
    }
}
