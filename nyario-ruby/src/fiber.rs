//! The fibers that serve connections and run tasks.
//!
//! Ruby frees the stack of a fiber that has ended after a transfer only when it collects it, so ours do not end: they
//! take one job after the other, and rest in a pool between two.

use crate::connection;
use crate::looped::{self, DROPPED, Job, Looped, NO_SLOT, QNIL, Slot};
use crate::task::{self, Task};
use crate::{errors, timer, typed};
use rb_sys::{VALUE, rb_errinfo, rb_fiber_transfer, rb_jump_tag, rb_protect, rb_set_errinfo};
use std::ffi::{c_char, c_int, c_long};

/// Ruby's tag of an exception.
pub(crate) const RAISED: c_int = 6;

/// Ruby's tag of a thread that is being killed: no exception, and nobody may stop it.
pub(crate) const KILLED: c_int = 8;

/// Finds a fiber for a job. Without one (Ruby has no stack left) that is reported, and the job is not begun.
///
/// # Safety
///
/// The GVL is held, and `looped` is the thread's own.
pub(crate) unsafe fn start(looped: *mut Looped, job: Job) -> Option<Slot> {
    // SAFETY: as above; no borrow is held while Ruby runs.
    unsafe {
        let slot = match looped::rested(&mut *looped) {
            Some(slot) => slot,
            None => {
                let mut state = 0;
                let fiber = rb_protect(Some(create), (*looped).object, &mut state);
                if state != 0 {
                    report("nyario: no fiber for a job: ", take_error());
                    return None;
                }
                (*looped).enter(fiber)
            }
        };
        (&mut (*looped).waiters)[slot as usize].job = job;
        (*looped).jobs += 1;
        Some(slot)
    }
}

/// Makes a Ruby Fiber, by `Fiber.new`: what the C API makes is a blocking one. It keeps the loop's object alive.
unsafe extern "C" fn create(object: VALUE) -> VALUE {
    // SAFETY: called with the GVL held; may raise, under `rb_protect`.
    unsafe {
        let class = rb_sys::rb_path2class(c"Fiber".as_ptr());
        let body = rb_sys::rb_proc_new(Some(body), object);
        let new = rb_sys::rb_intern(c"new".as_ptr());
        rb_sys::rb_funcall_with_block(class, new, 0, std::ptr::null(), body)
    }
}

/// What every fiber of ours runs.
unsafe extern "C" fn body(_: VALUE, object: VALUE, _: c_int, _: *const VALUE, _: VALUE) -> VALUE {
    let looped = looped::current();
    // SAFETY: Ruby runs it on a fiber that this loop has just transferred to; no borrow is held across a job or a
    // transfer, and nothing here has a destructor. The object keeps the loop's memory for as long as the fiber lives.
    unsafe {
        let slot = (*looped).current;
        (*looped).arrive(slot);
        let (mut me, mut state) = (slot, 0);
        loop {
            if me != DROPPED && (*looped).has_job(slot) {
                // What is raised on the way here is for whoever called the loop.
                let early = state != 0;
                if !early {
                    rb_protect(Some(run), slot as VALUE, &mut state);
                }
                if (*looped).is_gone() {
                    std::hint::black_box(object);
                    return give_up(looped, state);
                }
                let error = if state == 0 || state == KILLED { QNIL } else { take_error() };
                end(looped, slot, error, early);
                if state == KILLED {
                    // Ending with the tag hands it to the root fiber; there is no other way to.
                    (*looped).leave(slot);
                    rb_jump_tag(state);
                }
                me = if (*looped).rest(slot) { slot } else { DROPPED };
            } else if state == KILLED {
                rb_jump_tag(state);
            } else if state != 0 {
                // Somebody raised in a fiber that rests.
                take_error();
            }
            state = looped::give_way(looped, me);
            if (*looped).is_gone() {
                rb_jump_tag(state);
            }
        }
    }
}

/// Ends a job that a forked child took out of its parent's loop, or one that its loop has left behind.
unsafe fn give_up(looped: *mut Looped, state: c_int) -> VALUE {
    // SAFETY: as in `body`; of the loop nothing is touched but this process's memory.
    unsafe {
        if state == KILLED || (*looped).is_over() {
            return if state == 0 { QNIL } else { rb_jump_tag(state) };
        }
        (*looped).failure = if state == 0 { QNIL } else { take_error() };
        rb_fiber_transfer((*looped).root, 0, std::ptr::null())
    }
}

unsafe extern "C" fn run(slot: VALUE) -> VALUE {
    let looped = looped::current();
    // SAFETY: as in `body`; may raise, under `rb_protect`. The task lies on this stack meanwhile.
    unsafe {
        match (&(*looped).waiters)[slot as usize].job {
            Job::Serve { conn, callable } => {
                let connection = connection::wrap(conn, (*looped).id);
                let call = rb_sys::rb_intern(c"call".as_ptr());
                rb_sys::rb_funcallv(callable, call, 1, &connection);
            }
            Job::Run { block, task } => {
                let it = typed::unwrap::<Task>(task);
                // It may have been cancelled before it began.
                if !(*it).has_ended() {
                    (*it).begin();
                    let value = rb_sys::rb_proc_call(block, rb_sys::rb_ary_new());
                    (*it).finish(value);
                }
            }
            Job::Tick { timer } => timer::run(timer),
            Job::Interrupt { target, exception } => crate::scheduler::interrupt(target, exception),
            // A fiber of `Fiber.schedule` runs its own block, and the others are no fibers.
            _ => {}
        }
    }
    QNIL
}

/// Sees a job off: its connection ends, whoever joins its task is told, and an exception is reported. One that came
/// `early` has not to do with the job.
pub(crate) unsafe fn end(looped: *mut Looped, slot: Slot, error: VALUE, early: bool) {
    // SAFETY: as in `body`.
    unsafe {
        let job = (&(*looped).waiters)[slot as usize].job;
        (*looped).unraise_all(slot);
        let told = error != QNIL && !early && !is_ordinary(looped, error);
        match job {
            Job::Serve { conn, .. } => {
                if !connection::handing::take_back(looped, conn) {
                    (*looped).runtime.finish(conn);
                }
                if told {
                    report("nyario: a handler failed, its connection is closed: ", error);
                }
            }
            Job::Run { task, .. } => {
                let is_main = (*typed::unwrap::<Task>(task)).is_main();
                let ended = (*typed::unwrap::<Task>(task)).has_ended();
                if !ended && !task::end(task, error) && told {
                    report("nyario: a task failed: ", error);
                }
                if is_main && error != QNIL && !(*looped).ending && (*looped).failure == QNIL {
                    (*looped).failure = error;
                }
            }
            Job::Tick { timer } => {
                if told {
                    report("nyario: a timer failed: ", error);
                }
                timer::ended(timer);
            }
            Job::Scheduled if told => report("nyario: a fiber failed: ", error),
            _ => {}
        }
        // Only now, as a report may wait: for room on `$stderr`, or for the source that Ruby quotes from.
        (*looped).jobs -= 1;
        if error != QNIL && (early || !is_the_jobs(error)) && (*looped).failure == QNIL {
            (*looped).failure = error;
        }
    }
}

/// Whether an exception is the job's own affair. An interrupt, an exit, or no memory is for whoever called the loop.
unsafe fn is_the_jobs(error: VALUE) -> bool {
    // SAFETY: the GVL is held.
    unsafe {
        is_a(error, rb_sys::rb_eStandardError)
            || is_a(error, rb_sys::rb_eScriptError)
            || is_a(error, rb_sys::rb_eSysStackError)
            || errors::is_ours(error)
    }
}

/// Whether an exception is the ordinary end of a handler: its peer has gone, or the loop ends.
unsafe fn is_ordinary(looped: *mut Looped, error: VALUE) -> bool {
    // SAFETY: the GVL is held.
    unsafe {
        match errno(error) {
            None => !is_the_jobs(error),
            Some(libc::ECONNRESET | libc::EPIPE) => true,
            Some(libc::ECANCELED) => (*looped).ending,
            Some(_) => false,
        }
    }
}

/// The number of a SystemCallError.
///
/// # Safety
///
/// The GVL is held, and `error` is an exception.
pub(crate) unsafe fn errno(error: VALUE) -> Option<i32> {
    // SAFETY: as above.
    unsafe {
        if !is_a(error, rb_sys::rb_eSystemCallError) {
            return None;
        }
        let errno = rb_sys::rb_intern(c"errno".as_ptr());
        Some(rb_sys::NUM2LONG(rb_sys::rb_funcallv(error, errno, 0, std::ptr::null())) as i32)
    }
}

unsafe fn is_a(error: VALUE, class: VALUE) -> bool {
    // SAFETY: both are live objects.
    unsafe { rb_sys::rb_obj_is_kind_of(error, class) == looped::QTRUE }
}

/// The exception that `rb_protect` caught. What is thrown without one (`throw`, `break`) becomes a text.
///
/// # Safety
///
/// The GVL is held, and `rb_protect` has just said that something was raised.
pub(crate) unsafe fn take_error() -> VALUE {
    // SAFETY: the GVL is held.
    unsafe {
        let error = rb_errinfo();
        rb_set_errinfo(QNIL);
        if is_a(error, rb_sys::rb_eException) {
            return error;
        }
        let text = "a handler or task was left by throw or break";
        let text = rb_sys::rb_str_new(text.as_ptr().cast::<c_char>(), text.len() as c_long);
        rb_sys::rb_exc_new_str(rb_sys::rb_eRuntimeError, text)
    }
}

/// Writes an exception with its backtrace to `$stderr`.
///
/// # Safety
///
/// The GVL is held, and `error` is an exception.
pub(crate) unsafe fn report(what: &'static str, error: VALUE) {
    struct Report {
        what: &'static str,
        error: VALUE,
    }
    unsafe extern "C" fn write(report: VALUE) -> VALUE {
        // SAFETY: it is the report below.
        unsafe {
            let Report { what, error } = *(report as *const Report);
            let message = rb_sys::rb_intern(c"full_message".as_ptr());
            let text = rb_sys::rb_str_new(what.as_ptr().cast::<c_char>(), what.len() as c_long);
            rb_sys::rb_str_append(text, rb_sys::rb_funcallv(error, message, 0, std::ptr::null()));
            let write = rb_sys::rb_intern(c"write".as_ptr());
            rb_sys::rb_funcallv(rb_sys::rb_gv_get(c"$stderr".as_ptr()), write, 1, &text)
        }
    }
    let report = Report { what, error };
    let mut state = 0;
    // SAFETY: as above; `report` outlives the call. If even that raises, there is nowhere left to say so.
    unsafe {
        rb_protect(Some(write), (&raw const report) as VALUE, &mut state);
        if state != 0 {
            rb_set_errinfo(QNIL);
        }
    }
}

/// Runs whoever is to run, from the root fiber, until a turn is due.
///
/// # Safety
///
/// The GVL is held, and the caller is the loop's root fiber. May leave by longjmp when an exception is raised in it.
pub(crate) unsafe fn run_ready(looped: *mut Looped) {
    // SAFETY: as above.
    unsafe {
        (*looped).refill_chain();
        let state = looped::give_way(looped, NO_SLOT);
        if state != 0 {
            rb_jump_tag(state);
        }
    }
}
