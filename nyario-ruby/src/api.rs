//! `Nyario.*`.

use crate::looped::{self, Job, QFALSE, QNIL};
use crate::{blocking, ending, fiber, raise, scheduler, server, task, wait};
use magnus::rb_sys::{AsRawValue, protect};
use magnus::{Error, RModule, Ruby, Value, function, prelude::*};
use nyario_core::driver::Op;
use nyario_core::sys::{Errno, Kernel, Linux};
use rb_sys::{VALUE, rb_thread_check_ints};
use std::ffi::{CStr, c_int};

/// Defines a method without magnus's conversions, which the hot ones do without.
///
/// # Safety
///
/// `function` must have the C signature that Ruby expects for `arity`.
pub(crate) unsafe fn method(class: VALUE, name: &CStr, function: *const (), arity: c_int) {
    // SAFETY: as above; Ruby itself declares the parameter as a function of no known arguments.
    unsafe {
        let function = std::mem::transmute::<*const (), unsafe extern "C" fn() -> VALUE>(function);
        rb_sys::rb_define_method(class, name.as_ptr(), Some(function), arity);
    }
}

/// The arguments of a method of arity -1.
///
/// # Safety
///
/// `argv` must hold `argc` values for as long as the slice is used.
#[inline]
pub(crate) unsafe fn arguments<'a>(argc: c_int, argv: *const VALUE) -> &'a [VALUE] {
    if argc == 0 {
        return &[];
    }
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(argv, argc as usize) }
}

unsafe extern "C" fn sleep(_: VALUE, seconds: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; a park borrows nothing.
    unsafe {
        let seconds = rb_sys::NUM2DBL(seconds);
        if seconds.is_nan() || seconds < 0.0 {
            raise::argument("the time must be 0 or more seconds");
        }
        let nanos = (seconds * 1e9).ceil() as u64;
        let looped = looped::running();
        let until = Linux.now().saturating_add(nanos);
        if looped.is_null() {
            blocking::sleep(nanos);
            return QNIL;
        }
        match looped::perform(looped, Op::Park, until, |_| {}) {
            Some(error) if error < 0 => raise::system_call(error),
            Some(_) => {}
            None => blocking::sleep(nanos),
        }
        QNIL
    }
}

fn spawn(ruby: &Ruby) -> Result<Value, Error> {
    let block = ruby.block_proc()?.as_raw();
    // SAFETY: magnus calls with the GVL held; no borrow outlives its statement.
    unsafe {
        let looped = looped::get().map_err(|errno| raise::error(ruby, errno, "Nyario.spawn"))?;
        if (*looped).ending {
            return Err(raise::error(ruby, Errno(libc::ECANCELED), "Nyario.spawn: the loop is ending"));
        }
        let mut task = QNIL;
        protect(|| {
            task = task::create((*looped).id);
            task
        })?;
        match fiber::start(looped, Job::Run { block, task }) {
            Some(slot) => (*looped).ready.push_back(slot),
            None => return Err(Error::new(ruby.exception_runtime_error(), "no fiber can be made for the task")),
        }
        Ok(magnus::rb_sys::FromRawValue::from_raw(task))
    }
}

fn run_loop(ruby: &Ruby) -> Result<(), Error> {
    // SAFETY: magnus calls with the GVL held; no borrow outlives its statement, and everything that may raise runs
    // under `protect`.
    unsafe {
        let looped = looped::get().map_err(|errno| raise::error(ruby, errno, "Nyario.loop"))?;
        if (*looped).running {
            return Err(Error::new(ruby.exception_runtime_error(), "the loop of this thread runs already"));
        }
        (*looped).running = true;
        (*looped).root = rb_sys::rb_fiber_current();
        let mut installed = false;
        let ran = protect(|| {
            installed = scheduler::install(looped);
            loop {
                fiber::run_ready(looped);
                server::forget_closed(looped);
                if (*looped).failure != QNIL || (*looped).runtime.stopping() || !(*looped).has_work() {
                    return QFALSE;
                }
                wait::turn(looped);
                rb_thread_check_ints();
                if (*looped).is_gone() {
                    return QFALSE;
                }
            }
        });
        if (*looped).is_gone() {
            // A forked child went on from a handler. There is nothing here that it could end.
            let failure = (*looped).failure;
            looped::disown();
            if failure != QNIL {
                protect(|| rb_sys::rb_exc_raise(failure))?;
            }
            ran?;
            return Err(Error::new(ruby.exception_runtime_error(), looped::PARENTS));
        }
        let ended = ending::end(looped);
        let removed = if installed { protect(|| remove_scheduler()).map(drop) } else { Ok(()) };
        let failure = (*looped).failure;
        let closed = server::close_all(looped);
        looped::free(looped);
        ran?;
        ended?;
        removed?;
        closed?;
        if failure != QNIL {
            protect(|| rb_sys::rb_exc_raise(failure))?;
        }
        Ok(())
    }
}

unsafe fn remove_scheduler() -> VALUE {
    // SAFETY: called in `run_loop`, under `protect`.
    unsafe { scheduler::remove() };
    QNIL
}

/// Ends the loop that the calling thread runs, or else every loop of the process, one that has not begun included.
fn stop() {
    let looped = looped::running();
    if looped.is_null() {
        looped::stop_all();
    } else {
        // SAFETY: it is the thread's own loop.
        unsafe { (*looped).runtime.stopper() }.stop();
    }
}

fn backend(ruby: &Ruby) -> Result<&'static str, Error> {
    // SAFETY: magnus calls with the GVL held.
    unsafe {
        let looped = looped::get().map_err(|errno| raise::error(ruby, errno, "Nyario.backend"))?;
        Ok((*looped).runtime.backend().name())
    }
}

pub(crate) fn define(_ruby: &Ruby, nyario: RModule) -> Result<(), Error> {
    nyario.define_module_function("register", function!(server::register, -1))?;
    nyario.define_module_function("spawn", function!(spawn, 0))?;
    nyario.define_module_function("loop", function!(run_loop, 0))?;
    nyario.define_module_function("stop", function!(stop, 0))?;
    nyario.define_module_function("backend", function!(backend, 0))?;
    // SAFETY: each function has the signature of its arity.
    unsafe {
        let singleton = nyario.singleton_class()?.as_raw();
        method(singleton, c"sleep", sleep as *const (), 1);
    }
    Ok(())
}
