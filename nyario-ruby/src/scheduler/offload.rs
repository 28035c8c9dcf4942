//! What can only block: it runs on a thread of Ruby's, and the fiber waits for that.

use rb_sys::{VALUE, rb_funcallv, rb_intern};
use std::ffi::c_void;

/// Runs `work(argument)` on a new thread, and waits for it on this fiber: its value, or what it raised. An exception in the
/// fiber ends the thread.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller.
pub(super) unsafe fn on_thread(work: unsafe extern "C" fn(*mut c_void) -> VALUE, argument: VALUE) -> VALUE {
    // SAFETY: as above. The thread keeps the argument: an exception may end the wait before it has begun.
    unsafe {
        let thread = rb_sys::rb_thread_create(Some(work), argument as *mut c_void);
        rb_sys::rb_ivar_set(thread, rb_intern(c"nyario".as_ptr()), argument);
        // Whoever waits hears of it.
        let quiet = rb_sys::special_consts::Qfalse as VALUE;
        rb_funcallv(thread, rb_intern(c"report_on_exception=".as_ptr()), 1, &quiet);
        let value = rb_sys::rb_ensure(Some(join), thread, Some(kill), thread);
        std::hint::black_box(argument);
        value
    }
}

unsafe extern "C" fn join(thread: VALUE) -> VALUE {
    // SAFETY: called above, with the GVL held.
    unsafe { rb_funcallv(thread, rb_intern(c"value".as_ptr()), 0, std::ptr::null()) }
}

unsafe extern "C" fn kill(thread: VALUE) -> VALUE {
    // SAFETY: as above; a thread that has ended is not harmed.
    unsafe { rb_sys::rb_thread_kill(thread) }
}

/// `blocking_operation_wait(work)`: calls it where it blocks nobody.
pub(super) unsafe extern "C" fn blocking_operation_wait(_this: VALUE, work: VALUE) -> VALUE {
    unsafe extern "C" fn call(work: *mut c_void) -> VALUE {
        // SAFETY: the thread runs it with the GVL held.
        unsafe { rb_funcallv(work as VALUE, rb_intern(c"call".as_ptr()), 0, std::ptr::null()) }
    }
    // SAFETY: Ruby calls it with the GVL held.
    unsafe { on_thread(call, work) }
}
