//! Waiting for what a descriptor has to say.

use super::{deadline, loop_of};
use crate::looped::{self, QFALSE, QNIL, Waited};
use crate::{api, raise};
use nyario_core::driver::Op;
use nyario_core::sys::{Fd, Kernel, Linux};
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::{c_int, c_long};

/// Ruby's bits of events (`IO::READABLE`, `IO::PRIORITY`, `IO::WRITABLE`) are those of poll(2).
const EVENTS: i32 = (libc::POLLIN | libc::POLLPRI | libc::POLLOUT) as i32;

/// Both mean that whoever asked had better look.
const ENDINGS: i32 = (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) as i32;

/// `io_wait(io, events, timeout = nil)`: the events that hold, or false when the time is up.
pub(super) unsafe extern "C" fn io_wait(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments; a poll borrows nothing, and nothing here has a
    // destructor.
    unsafe {
        let (io, events, timeout) = match api::arguments(argc, argv) {
            [io, events] => (*io, *events, QNIL),
            [io, events, timeout, ..] => (*io, *events, *timeout),
            _ => raise::argument("io_wait takes an IO, events, and perhaps a time-out"),
        };
        let wanted = rb_sys::NUM2LONG(events) as i32 & EVENTS;
        let fd = rb_sys::rb_io_descriptor(io);
        let (timeout, own) = if timeout == QNIL { (timeout_of(io), true) } else { (timeout, false) };
        if timeout != QNIL && rb_sys::NUM2DBL(timeout) <= 0.0 {
            return told(wanted, look(fd, wanted));
        }
        let until = deadline(timeout);
        let op = |fd| Op::Poll { fd, events: wanted as u32 };
        match looped::carry_out_for(loop_of(this), io, fd, op, until) {
            None => raise::runtime("the loop's own fiber cannot wait"),
            Some(Waited { tag, .. }) if tag != 0 => rb_jump_tag(tag),
            Some(Waited { result, .. }) if result == -libc::ETIMEDOUT && own => timed_out(),
            Some(Waited { result, .. }) if result == -libc::ETIMEDOUT => QFALSE,
            Some(Waited { result, .. }) if result == -libc::EBADF => raise::io("stream closed in another thread"),
            Some(Waited { result, .. }) if result < 0 => raise::system_call(result),
            Some(Waited { result, .. }) => told(wanted, result),
        }
    }
}

/// What holds right now.
fn look(fd: Fd, wanted: i32) -> i32 {
    let mut fds = [libc::pollfd { fd, events: wanted as i16, revents: 0 }];
    match Linux.poll(&mut fds, Some(0)) {
        found if found <= 0 => 0,
        _ => i32::from(fds[0].revents),
    }
}

fn told(wanted: i32, held: i32) -> VALUE {
    let ended = if held & ENDINGS != 0 { wanted & !i32::from(libc::POLLPRI) } else { 0 };
    match held & wanted | ended {
        0 => QFALSE,
        events => rb_sys::LONG2NUM(c_long::from(events)),
    }
}

/// Tells of the IO's own time-out.
///
/// # Safety
///
/// The GVL is held, and Ruby has such time-outs.
pub(super) unsafe fn timed_out() -> ! {
    // SAFETY: as above.
    unsafe { raise::of_class(c"IO::TimeoutError", "Blocking operation timed out!") }
}

/// The IO's own time-out, which Ruby has since 3.2, or nil.
///
/// # Safety
///
/// The GVL is held, and it is an IO.
pub(super) unsafe fn timeout_of(io: VALUE) -> VALUE {
    // SAFETY: as above.
    #[cfg(ruby_gte_3_2)]
    return unsafe { rb_sys::rb_io_timeout(io) };
    #[cfg(not(ruby_gte_3_2))]
    {
        let _ = io;
        QNIL
    }
}
