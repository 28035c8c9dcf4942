//! Children.

use super::loop_of;
use super::offload::on_thread;
use crate::looped::{self, QNIL};
use nyario_core::driver::Op;
use nyario_core::sys::Fd;
use rb_sys::{VALUE, rb_funcallv, rb_intern};
use std::ffi::{c_long, c_void};

/// `process_wait(pid, flags)`: the status of a child that has ended. It carries the error when there is no such child.
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
    // SAFETY: Ruby calls it with the GVL held; nothing here has a destructor.
    unsafe {
        let looped = loop_of(this);
        let number = rb_sys::NUM2LONG(pid);
        let at_once = status(pid, rb_sys::NUM2LONG(flags) | c_long::from(libc::WNOHANG));
        if at_once != QNIL || rb_sys::NUM2LONG(flags) & c_long::from(libc::WNOHANG) != 0 {
            return at_once;
        }
        let ends = rb_sys::NUM2LONG(flags) == 0 && number > 0;
        let fd = if ends { libc::syscall(libc::SYS_pidfd_open, number, 0) as Fd } else { -1 };
        if fd < 0 {
            // A group, any child, or one that only stops; or a kernel without such descriptors.
            return wait_on_thread(pid, flags);
        }
        let call = (looped, fd);
        let call = (&raw const call) as VALUE;
        rb_sys::rb_ensure(Some(poll), call, Some(close), call);
        status(pid, rb_sys::NUM2LONG(flags) | c_long::from(libc::WNOHANG))
    }
}

/// Waits for a child, or any, on a thread.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller.
pub(crate) unsafe fn wait_on_thread(pid: VALUE, flags: VALUE) -> VALUE {
    unsafe extern "C" fn wait(both: *mut c_void) -> VALUE {
        // SAFETY: the thread runs it with the GVL held; it is the array below.
        unsafe {
            let both = both as VALUE;
            status(rb_sys::rb_ary_entry(both, 0), rb_sys::NUM2LONG(rb_sys::rb_ary_entry(both, 1)))
        }
    }
    // SAFETY: as above.
    unsafe { on_thread(wait, rb_sys::rb_ary_new_from_args(2, pid, flags)) }
}

/// `Process::Status.wait`, which asks the scheduler only when it would block.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn status(pid: VALUE, flags: c_long) -> VALUE {
    // SAFETY: as above; the class is Ruby's own.
    unsafe {
        let class = rb_sys::rb_path2class(c"Process::Status".as_ptr());
        let arguments = [pid, rb_sys::LONG2NUM(flags)];
        rb_funcallv(class, rb_intern(c"wait".as_ptr()), 2, arguments.as_ptr())
    }
}
