//! Waiting for a child.

use super::open;
use super::park::{self, Woken};
use crate::looped::{QFALSE, QNIL};
use crate::scheduler::{status, wait_on_thread};
use nyario_core::driver::Op;
use nyario_core::sys::Fd;
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::c_long;

/// `process_wait(fiber, pid, flags)`: the status of a child that has ended, which carries the error when there is none;
/// false when somebody transferred to the fiber before that.
pub(super) unsafe extern "C" fn process_wait(this: VALUE, fiber: VALUE, pid: VALUE, flags: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; a poll borrows nothing, and nothing here has a destructor.
    unsafe {
        let (selector, _) = open(this);
        let (number, bits) = (rb_sys::NUM2LONG(pid), rb_sys::NUM2LONG(flags));
        let no_hang = c_long::from(libc::WNOHANG);
        let at_once = status(pid, bits | no_hang);
        if at_once != QNIL || bits & no_hang != 0 {
            return at_once;
        }
        let ends = bits == 0 && number > 0;
        let fd = if ends { libc::syscall(libc::SYS_pidfd_open, number, 0) as Fd } else { -1 };
        if fd < 0 {
            // A group, any child, or one that only stops; or a kernel without such descriptors.
            return wait_on_thread(pid, flags);
        }
        let woken = park::wait(this, selector, fiber, Op::Poll { fd, events: libc::POLLIN as u32 });
        match (*selector).runtime() {
            Some(runtime) => runtime.close_now(fd),
            None => libc::close(fd),
        };
        match woken {
            Woken::Raised(tag) => rb_jump_tag(tag),
            Woken::Early => QFALSE,
            Woken::With(_) => status(pid, bits | no_hang),
        }
    }
}
