//! Waiting for a child.

use super::open;
use super::park::{self, Woken};
use crate::looped::QFALSE;
use nyario_core::driver::Op;
use nyario_core::sys::Fd;
use rb_sys::{VALUE, rb_funcallv, rb_intern, rb_jump_tag};
use std::ffi::{c_long, c_void};

/// `process_wait(fiber, pid, flags)`: the status of a child that has ended; false when somebody transferred to the fiber
/// before that.
pub(super) unsafe extern "C" fn process_wait(this: VALUE, fiber: VALUE, pid: VALUE, flags: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; a poll borrows nothing, and nothing here has a destructor.
    unsafe {
        let (selector, _) = open(this);
        let number = rb_sys::NUM2LONG(pid);
        let bits = rb_sys::NUM2LONG(flags);
        let fd = if number > 0 { libc::syscall(libc::SYS_pidfd_open, number, 0) as Fd } else { -1 };
        if fd < 0 {
            // A group, or any child; a kernel without such descriptors; or no such process, which the status tells.
            return on_thread(pid, flags);
        }
        let woken = park::wait(this, selector, fiber, Op::Poll { fd, events: libc::POLLIN as u32 });
        match (*selector).runtime() {
            Some(runtime) => runtime.close_now(fd),
            None => libc::close(fd),
        };
        match woken {
            Woken::Raised(tag) => rb_jump_tag(tag),
            Woken::Early => QFALSE,
            Woken::With(_) => status(pid, rb_sys::LONG2NUM(bits | c_long::from(libc::WNOHANG))),
        }
    }
}

/// `Process::Status.wait`, which tells that there is no such child instead of raising.
unsafe fn status(pid: VALUE, flags: VALUE) -> VALUE {
    // SAFETY: called with the GVL held; the class is Ruby's own.
    unsafe {
        let class = rb_sys::rb_path2class(c"Process::Status".as_ptr());
        rb_funcallv(class, rb_intern(c"wait".as_ptr()), 2, [pid, flags].as_ptr())
    }
}

/// The same on a thread, whose value the fiber waits for by whatever scheduler it has.
unsafe fn on_thread(pid: VALUE, flags: VALUE) -> VALUE {
    unsafe extern "C" fn work(call: *mut c_void) -> VALUE {
        // SAFETY: the thread runs it with the GVL held; it is the array below.
        unsafe { status(rb_sys::rb_ary_entry(call as VALUE, 0), rb_sys::rb_ary_entry(call as VALUE, 1)) }
    }
    unsafe extern "C" fn value(thread: VALUE) -> VALUE {
        // SAFETY: called below, with the GVL held.
        unsafe { rb_funcallv(thread, rb_intern(c"value".as_ptr()), 0, std::ptr::null()) }
    }
    unsafe extern "C" fn kill(thread: VALUE) -> VALUE {
        // SAFETY: as above; a thread that has ended is not harmed.
        unsafe { rb_sys::rb_thread_kill(thread) }
    }
    // SAFETY: called with the GVL held; the array lies on this stack until the thread has ended, or is ended with the wait.
    unsafe {
        let call = rb_sys::rb_ary_new_from_args(2, pid, flags);
        let thread = rb_sys::rb_thread_create(Some(work), call as *mut c_void);
        rb_funcallv(thread, rb_intern(c"report_on_exception=".as_ptr()), 1, &QFALSE);
        let value = rb_sys::rb_ensure(Some(value), thread, Some(kill), thread);
        std::hint::black_box(call);
        value
    }
}
