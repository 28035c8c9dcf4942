//! What the calls do where there is no fiber to suspend: the thread waits, without the GVL, and other threads run.

use crate::descriptor;
use crate::looped::{QNIL, Waited};
use nyario_core::driver::{Blocking, Op};
use nyario_core::sys::{Fd, Linux};
use rb_sys::{VALUE, rb_protect};
use std::ffi::c_long;

/// Reads once from a descriptor, which is `source`'s, up to `max` bytes: a String, or nil at the end.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller.
pub(crate) unsafe fn read(source: VALUE, fd: Fd, max: usize) -> VALUE {
    // SAFETY: as above; the String lies on this stack, and nobody else knows it.
    unsafe {
        let text = rb_sys::rb_str_buf_new(max as c_long);
        let op = Op::Read { fd, buf: rb_sys::RSTRING_PTR(text).cast_mut().cast(), len: max };
        let count = loop {
            match attempt(op) {
                again if again == -libc::EAGAIN => {
                    rb_sys::rb_thread_wait_fd(fd);
                }
                result => break result,
            }
        };
        finish_read(source, text, count)
    }
}

/// Makes the String of what was read into it: nil at the end.
///
/// # Safety
///
/// As [`read`]; `count` is what the read came to.
pub(crate) unsafe fn finish_read(source: VALUE, text: VALUE, count: i32) -> VALUE {
    // SAFETY: as above.
    unsafe {
        match count {
            0 => QNIL,
            error if error < 0 => descriptor::fail(source, error),
            count => {
                rb_sys::rb_str_set_len(text, count.into());
                // What it does not need of its buffer goes back.
                rb_sys::rb_str_resize(text, count.into())
            }
        }
    }
}

/// Carries out a write that waits.
///
/// # Safety
///
/// The GVL is held. What the operation borrows stays as it is until the call returns.
pub(crate) unsafe fn wait(op: Op, fd: Fd) -> Waited {
    unsafe extern "C" fn wait(fd: VALUE) -> VALUE {
        // SAFETY: called below, with the GVL held; may raise, under `rb_protect`.
        unsafe { rb_sys::rb_thread_fd_writable(fd as Fd) };
        QNIL
    }
    // SAFETY: as above.
    unsafe {
        loop {
            let result = attempt(op);
            if result != -libc::EAGAIN {
                return Waited { result, tag: 0 };
            }
            let mut tag = 0;
            rb_protect(Some(wait), fd as VALUE, &mut tag);
            if tag != 0 {
                return Waited { result, tag };
            }
        }
    }
}

unsafe fn attempt(op: Op) -> i32 {
    match Blocking::new(&Linux, op) {
        // SAFETY: forwarded from the caller.
        Ok(blocking) => unsafe { blocking.attempt(&Linux) },
        Err(error) => error.result(),
    }
}

/// # Safety
///
/// As [`read`].
pub(crate) unsafe fn sleep(nanos: u64) {
    let (tv_sec, tv_usec) = ((nanos / 1_000_000_000) as i64, (nanos % 1_000_000_000).div_ceil(1000) as i64);
    // SAFETY: as above.
    unsafe { rb_sys::rb_thread_wait_for(rb_sys::timeval { tv_sec, tv_usec }) }
}
