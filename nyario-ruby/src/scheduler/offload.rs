//! What can only block: it runs on a thread of Ruby's, and the fiber waits for that.

use super::loop_of;
use crate::looped::{self, QNIL};
use nyario_core::driver::Op;
use nyario_core::sys::Fd;
use rb_sys::{VALUE, rb_funcallv, rb_intern};
use std::ffi::{c_long, c_void};

/// Runs `work(argument)` on a new thread, and waits for it on this fiber: its value, or what it raised.
unsafe fn on_thread(work: unsafe extern "C" fn(*mut c_void) -> VALUE, argument: VALUE) -> VALUE {
    // SAFETY: called with the GVL held; the argument lies on this stack until the thread has ended, or is ended with the
    // wait.
    unsafe {
        let thread = rb_sys::rb_thread_create(Some(work), argument as *mut c_void);
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

/// `process_wait(pid, flags)`: the status of a child that has ended.
pub(super) unsafe extern "C" fn process_wait(this: VALUE, pid: VALUE, flags: VALUE) -> VALUE {
    unsafe extern "C" fn poll(call: VALUE) -> VALUE {
        // SAFETY: it is the call below; a poll borrows nothing.
        unsafe {
            let (looped, fd) = *(call as *const (*mut looped::Looped, Fd));
            let op = Op::Poll { fd, events: libc::POLLIN as u32 };
            looped::perform(looped, op, 0, |_| {});
        }
        QNIL
    }
    unsafe extern "C" fn close(call: VALUE) -> VALUE {
        // SAFETY: as above; the loop may be gone, the descriptor is not.
        unsafe {
            let (looped, fd) = *(call as *const (*mut looped::Looped, Fd));
            if (*looped).is_gone() {
                libc::close(fd);
            } else {
                (*looped).runtime.close_now(fd);
            }
        }
        QNIL
    }
    unsafe extern "C" fn wait(both: *mut c_void) -> VALUE {
        // SAFETY: the thread runs it with the GVL held; it is the array below.
        unsafe {
            let both = both as VALUE;
            status(rb_sys::rb_ary_entry(both, 0), rb_sys::NUM2LONG(rb_sys::rb_ary_entry(both, 1)))
        }
    }
    // SAFETY: Ruby calls it with the GVL held; nothing here has a destructor.
    unsafe {
        let looped = loop_of(this);
        let number = rb_sys::NUM2LONG(pid);
        let fd = if number > 0 { libc::syscall(libc::SYS_pidfd_open, number, 0) as Fd } else { -1 };
        if fd < 0 {
            // A group, or any child; a kernel without such descriptors; or no such process, which the status tells.
            return on_thread(wait, rb_sys::rb_ary_new_from_args(2, pid, flags));
        }
        let call = (looped, fd);
        let call = (&raw const call) as VALUE;
        rb_sys::rb_ensure(Some(poll), call, Some(close), call);
        status(pid, rb_sys::NUM2LONG(flags) | c_long::from(libc::WNOHANG))
    }
}

/// `Process::Status.wait`, which asks the scheduler only when it would block.
unsafe fn status(pid: VALUE, flags: c_long) -> VALUE {
    // SAFETY: called with the GVL held; the class is Ruby's own.
    unsafe {
        let class = rb_sys::rb_path2class(c"Process::Status".as_ptr());
        let arguments = [pid, rb_sys::LONG2NUM(flags)];
        rb_funcallv(class, rb_intern(c"wait".as_ptr()), 2, arguments.as_ptr())
    }
}

/// `address_resolve(hostname)`: its addresses as texts; none when it has none.
pub(super) unsafe extern "C" fn address_resolve(_this: VALUE, hostname: VALUE) -> VALUE {
    unsafe extern "C" fn resolve(hostname: *mut c_void) -> VALUE {
        // SAFETY: the thread runs it with the GVL held, which getaddrinfo gives up; the classes are Ruby's own.
        unsafe {
            let class = rb_sys::rb_path2class(c"Addrinfo".as_ptr());
            let stream = rb_sys::LONG2NUM(c_long::from(libc::SOCK_STREAM));
            let arguments = [hostname as VALUE, QNIL, QNIL, stream];
            let all = arguments.as_ptr();
            let found = magnus::rb_sys::protect(|| rb_funcallv(class, rb_intern(c"getaddrinfo".as_ptr()), 4, all));
            let Ok(found) = found else {
                rb_sys::rb_set_errinfo(QNIL);
                return rb_sys::rb_ary_new();
            };
            let texts = rb_sys::rb_ary_new();
            for index in 0..rb_sys::RARRAY_LEN(found) {
                let address = rb_sys::rb_ary_entry(found, index as c_long);
                let text = rb_funcallv(address, rb_intern(c"ip_address".as_ptr()), 0, std::ptr::null());
                rb_sys::rb_ary_push(texts, text);
            }
            rb_funcallv(texts, rb_intern(c"uniq".as_ptr()), 0, std::ptr::null())
        }
    }
    // SAFETY: Ruby calls it with the GVL held.
    unsafe { on_thread(resolve, hostname) }
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
