//! What the calls do where there is no fiber to suspend: the thread waits, without the GVL, and other threads run.

use crate::io::{self, Source};
use crate::looped::{QNIL, Waited};
use nyario_core::driver::{Blocking, Op};
use nyario_core::sys::Linux;
use rb_sys::{VALUE, rb_protect};
use std::ffi::c_long;

/// Reads once, up to `max` bytes, into `buffer` or a new String: nil at the end.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller.
pub(crate) unsafe fn read(source: Source, max: usize, buffer: VALUE) -> VALUE {
    // SAFETY: as above; a new String lies on this stack, and nobody else knows it. Another thread may have had its way with
    // the caller's while this one waited.
    unsafe {
        let text = if buffer == QNIL { rb_sys::rb_str_buf_new(max as c_long) } else { buffer };
        let count = loop {
            let place =
                if buffer == QNIL { rb_sys::RSTRING_PTR(text).cast_mut().cast() } else { io::room(buffer, max) };
            match attempt(Op::Read { fd: source.fd, buf: place, len: max }) {
                again if again == -libc::EAGAIN => until(source, libc::POLLIN),
                result => break result,
            }
        };
        io::finish(source, text, count, buffer)
    }
}

/// Carries out a write that waits.
///
/// # Safety
///
/// The GVL is held. What the operation borrows stays as it is until the call returns.
pub(crate) unsafe fn wait(op: Op, target: Source) -> Waited {
    unsafe extern "C" fn wait(target: VALUE) -> VALUE {
        // SAFETY: called below with what lies on that stack, and the GVL held; may raise, under `rb_protect`.
        unsafe { until(*(target as *const Source), libc::POLLOUT) };
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
            rb_protect(Some(wait), (&raw const target) as VALUE, &mut tag);
            if tag != 0 {
                return Waited { result, tag };
            }
        }
    }
}

/// Waits until it can be read, or written; Ruby's bits of events are those of poll(2). Since Ruby 4.0 an IO that is closed
/// wakes those that wait for the IO, and no longer those that wait for its number.
///
/// # Safety
///
/// As [`read`]; raises where the IO is closed meanwhile.
unsafe fn until(source: Source, events: i16) {
    // SAFETY: as above.
    unsafe {
        if source.is_io() {
            rb_sys::rb_io_wait(source.object, rb_sys::LONG2NUM(events.into()), QNIL);
        } else if events == libc::POLLIN {
            rb_sys::rb_thread_wait_fd(source.fd);
        } else {
            rb_sys::rb_thread_fd_writable(source.fd);
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
