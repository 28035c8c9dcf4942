//! `Nyario.*`.

use crate::looped::{self, Job, Looped, QFALSE, QNIL, READ_MAX, Waited};
use crate::{blocking, descriptor, ending, fiber, raise, scheduler, server, task, wait};
use magnus::rb_sys::{AsRawValue, protect};
use magnus::{Error, RModule, Ruby, Value, function, prelude::*};
use nyario_core::driver::Op;
use nyario_core::sys::{Errno, Fd, Kernel, Linux};
use rb_sys::{VALUE, rb_jump_tag, rb_protect, rb_thread_check_ints};
use std::ffi::{CStr, c_char, c_int, c_long};

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

/// Reads once from a descriptor, which is `source`'s: a String of at least one byte, or nil at the end.
///
/// # Safety
///
/// Called from Ruby, with the GVL held.
#[inline]
pub(crate) unsafe fn read_from(source: VALUE, fd: Fd, arguments: &[VALUE]) -> VALUE {
    // SAFETY: as above; no borrow of the loop lives across the park or a call that makes a String.
    unsafe {
        let max = match arguments {
            [] => READ_MAX,
            [max] if *max == QNIL => READ_MAX,
            [max] => match usize::try_from(rb_sys::NUM2LONG(*max)) {
                Ok(max) if max > 0 => max.min(READ_MAX),
                _ => raise::argument("the length must be above 0"),
            },
            _ => raise::argument("one length at most"),
        };
        let looped = looped::running();
        if looped.is_null() {
            return blocking::read(source, fd, max);
        }
        for _ in 0..2 {
            let held = (*looped).runtime.driver().peek(fd);
            if !held.is_empty() {
                let (ptr, count) = (held.as_ptr(), held.len().min(max));
                let text = rb_sys::rb_str_new(ptr.cast::<c_char>(), count as c_long);
                (*looped).runtime.driver().consume(fd, count);
                return text;
            }
            let scratch = (&raw mut *(*looped).scratch).cast::<u8>();
            let count = (*looped).runtime.driver().try_read(fd, std::slice::from_raw_parts_mut(scratch, max));
            match count {
                0 => return QNIL,
                again if again == -libc::EAGAIN => {}
                error if error < 0 => descriptor::fail(source, error),
                count => return rb_sys::rb_str_new(scratch.cast::<c_char>(), count.into()),
            }
            match looped::perform(looped, Op::AtHand { fd }, 0, |_| {}) {
                Some(error) if error < 0 => descriptor::fail(source, error),
                Some(_) => {}
                None => refuse_to_wait(),
            }
        }
        read_directly(looped, source, fd, max)
    }
}

/// Reads into a String of the call's own: what is no socket may be at hand and yet not be read without waiting (a file
/// whose bytes lie on the disk), and of a socket another fiber may have taken what was at hand.
#[cold]
unsafe fn read_directly(looped: *mut Looped, source: VALUE, fd: Fd, max: usize) -> VALUE {
    // SAFETY: called with the GVL held; the String lies on this stack, and nobody else knows it.
    unsafe {
        let text = rb_sys::rb_str_buf_new(max as c_long);
        let op = Op::Read { fd, buf: rb_sys::RSTRING_PTR(text).cast_mut().cast(), len: max };
        match looped::perform(looped, op, 0, |_| {}) {
            Some(count) => blocking::finish_read(source, text, count),
            None => refuse_to_wait(),
        }
    }
}

/// A signal handler that runs on the loop's own fiber would wait for the loop, and the loop for it.
unsafe fn refuse_to_wait() -> ! {
    // SAFETY: called with the GVL held.
    unsafe { raise::runtime("the loop's own fiber cannot wait") }
}

/// Writes every string, whole, to a descriptor, which is `target`'s, and returns how many bytes that was.
///
/// # Safety
///
/// Called from Ruby, with the GVL held.
#[inline]
pub(crate) unsafe fn write_to(target: VALUE, fd: Fd, strings: &[VALUE]) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let mut total = 0;
        for &string in strings {
            total += write_string(target, fd, string);
        }
        rb_sys::LONG2NUM(total as c_long)
    }
}

#[inline]
unsafe fn write_string(target: VALUE, fd: Fd, string: VALUE) -> usize {
    // SAFETY: the string lies on this fiber's stack, so it stays where it is; its bytes are borrowed for the call.
    unsafe {
        let string = if rb_sys::RB_TYPE_P(string, rb_sys::ruby_value_type::RUBY_T_STRING) {
            string
        } else {
            rb_sys::rb_obj_as_string(string)
        };
        let len = rb_sys::RSTRING_LEN(string) as usize;
        let looped = looped::running();
        let mut count = -libc::EAGAIN;
        if !looped.is_null() {
            let bytes = std::slice::from_raw_parts(rb_sys::RSTRING_PTR(string).cast::<u8>(), len);
            count = (*looped).runtime.driver().try_write(fd, bytes);
        }
        if count < 0 || count as usize != len {
            write_rest(looped, target, fd, string, count);
        }
        std::hint::black_box(string);
        len
    }
}

/// Goes on with a write that could not be made at once. The kernel may read the bytes until the write has ended,
/// whatever is raised in the fiber meanwhile: an exception cancels it, waits for the end, and goes on its way then.
#[cold]
unsafe fn write_rest(looped: *mut Looped, target: VALUE, fd: Fd, string: VALUE, first: i32) {
    // SAFETY: as in `write_string`; across the waits the bytes are held, so that they stay what and where they are.
    unsafe {
        let held = Held::new(string);
        let len = rb_sys::RSTRING_LEN(held.string) as usize;
        let (mut written, mut result, mut tag) = (0, first, 0);
        loop {
            match result {
                again if again == -libc::EAGAIN => {}
                error if error < 0 => break,
                count => written += count as usize,
            }
            if written >= len || tag != 0 {
                break;
            }
            let buf = rb_sys::RSTRING_PTR(held.string).cast::<u8>().add(written);
            let op = Op::Write { fd, buf, len: len - written };
            let waited =
                if looped.is_null() { Some(blocking::wait(op, fd)) } else { looped::carry_out(looped, op, 0, |_| {}) };
            let Some(waited) = waited else {
                held.release();
                refuse_to_wait();
            };
            Waited { result, tag } = waited;
        }
        held.release();
        if tag != 0 {
            rb_jump_tag(tag);
        }
        if result < 0 {
            descriptor::fail(target, result);
        }
    }
}

/// A string whose bytes nobody can change, on the holder's stack.
struct Held {
    string: VALUE,
    locked: bool,
}

impl Held {
    /// Locks the string: whoever tries to modify it is told so. One that is being written already, by another fiber or
    /// thread, is locked by that one; a copy (which shares the bytes unless they are few) stands in for it.
    unsafe fn new(string: VALUE) -> Held {
        unsafe extern "C" fn lock(string: VALUE) -> VALUE {
            // SAFETY: called below, with the GVL held.
            unsafe { rb_sys::rb_str_locktmp(string) }
        }
        // SAFETY: called with the GVL held; it is a String.
        unsafe {
            if rb_sys::rb_obj_frozen_p(string) == looped::QTRUE {
                return Held { string, locked: false };
            }
            let mut state = 0;
            rb_protect(Some(lock), string, &mut state);
            if state == 0 {
                return Held { string, locked: true };
            }
            rb_sys::rb_set_errinfo(QNIL);
            Held { string: rb_sys::rb_str_new_frozen(string), locked: false }
        }
    }

    unsafe fn release(&self) {
        // SAFETY: as above. Unlocking what is locked raises nothing.
        unsafe {
            if self.locked {
                rb_sys::rb_str_unlocktmp(self.string);
            }
        }
        std::hint::black_box(self.string);
    }
}

/// Closes a descriptor; whatever waits on it fails with EBADF.
///
/// # Safety
///
/// Called from Ruby, with the GVL held; the descriptor is a connection of the thread's loop, which runs.
pub(crate) unsafe fn close(looped: *mut Looped, fd: Fd) {
    // SAFETY: as above; a close borrows nothing.
    unsafe {
        let result = looped::close(looped, fd);
        if result < 0 {
            raise::system_call(result);
        }
    }
}

unsafe extern "C" fn read(argc: c_int, argv: *const VALUE, _: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe {
        match arguments(argc, argv) {
            [source, rest @ ..] => read_from(*source, descriptor::of(*source), rest),
            [] => raise::argument("Nyario.read takes a connection, an IO or a descriptor, and perhaps a length"),
        }
    }
}

unsafe extern "C" fn write(argc: c_int, argv: *const VALUE, _: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        match arguments(argc, argv) {
            [target, strings @ ..] => write_to(*target, descriptor::of(*target), strings),
            [] => raise::argument("Nyario.write takes a connection, an IO or a descriptor, and strings"),
        }
    }
}

unsafe extern "C" fn sleep(_: VALUE, seconds: VALUE) -> VALUE {
    // SAFETY: as above; a park borrows nothing.
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
        method(singleton, c"read", read as *const (), -1);
        method(singleton, c"write", write as *const (), -1);
        method(singleton, c"sleep", sleep as *const (), 1);
    }
    Ok(())
}
