//! `Nyario.*`.

use crate::ensuring::ensuring;
use crate::looped::{self, QFALSE, QNIL};
use crate::{ending, fiber, raise, run, scheduler, server, sleep, task, wait};
use magnus::rb_sys::{AsRawValue, protect};
use magnus::{Error, RModule, Ruby, function};
use rb_sys::{VALUE, rb_thread_check_ints};
use std::cell::Cell;
use std::ffi::{CStr, c_int};

/// Defines a method without magnus's conversions, which the hot ones do without.
///
/// # Safety
///
/// `function` must have the C signature that Ruby expects for `arity`.
pub(crate) unsafe fn method(class: VALUE, name: &CStr, function: *const (), arity: c_int) {
    // SAFETY: as above.
    unsafe { rb_sys::rb_define_method(class, name.as_ptr(), Some(self::function(function)), arity) }
}

/// A function as Ruby itself declares the parameter: one of no known arguments.
///
/// # Safety
///
/// As [`method`].
pub(crate) unsafe fn function(function: *const ()) -> unsafe extern "C" fn() -> VALUE {
    // SAFETY: as above.
    unsafe { std::mem::transmute(function) }
}

/// The same for a method of the module itself.
///
/// # Safety
///
/// As [`method`].
pub(crate) unsafe fn singleton_method(module: VALUE, name: &CStr, function: *const (), arity: c_int) {
    // SAFETY: as above.
    unsafe { method(rb_sys::rb_singleton_class(module), name, function, arity) }
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

/// The block of the method that calls.
///
/// # Safety
///
/// Called by a method, with the GVL held; raises without a block.
pub(crate) unsafe fn block() -> VALUE {
    // SAFETY: as above.
    unsafe {
        if rb_sys::rb_block_given_p() == 0 {
            raise::argument("a block is to be given");
        }
        rb_sys::rb_block_proc()
    }
}

pub(crate) fn run_loop(ruby: &Ruby) -> Result<(), Error> {
    // SAFETY: magnus calls with the GVL held; no borrow outlives its statement, and everything that may raise runs
    // under `protect`.
    unsafe {
        let looped = looped::get().map_err(|errno| raise::error(ruby, errno, "Nyario.loop"))?;
        if (*looped).running {
            return Err(Error::new(ruby.exception_runtime_error(), "the loop of this thread runs already"));
        }
        (*looped).running = true;
        (*looped).root = rb_sys::rb_fiber_current();
        let (installed, mut over) = (Cell::new(false), false);
        let (mut ended, mut removed, mut closed, mut failure) = (Ok(()), Ok(()), Ok(()), QNIL);
        let ran = ensuring(
            || {
                installed.set(scheduler::install(looped));
                loop {
                    fiber::run_ready(looped);
                    if (*looped).is_gone() {
                        return QFALSE;
                    }
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
            },
            || {
                if (*looped).is_gone() {
                    return;
                }
                ended = ending::end(looped);
                if installed.get() {
                    removed = protect(|| remove_scheduler()).map(drop);
                }
                failure = (*looped).failure;
                closed = server::close_all(looped);
                looped::free(looped);
                over = true;
            },
        );
        if !over {
            // A forked child went on from a handler. There is nothing here that it could end.
            let failure = (*looped).failure;
            looped::disown();
            if failure != QNIL {
                protect(|| rb_sys::rb_exc_raise(failure))?;
            }
            ran?;
            return Err(Error::new(ruby.exception_runtime_error(), looped::PARENTS));
        }
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
    nyario.define_module_function("run", function!(run::run, 0))?;
    nyario.define_module_function("loop", function!(run_loop, 0))?;
    nyario.define_module_function("stop", function!(stop, 0))?;
    nyario.define_module_function("backend", function!(backend, 0))?;
    // SAFETY: each function has the signature of its arity.
    unsafe {
        let nyario = nyario.as_raw();
        singleton_method(nyario, c"spawn", task::spawn_one as *const (), -1);
        singleton_method(nyario, c"sleep", sleep::sleep as *const (), 1);
    }
    Ok(())
}
