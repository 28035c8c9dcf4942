//! Waiting for what a descriptor has to say.

use super::open;
use super::park::{self, Woken};
use crate::looped::QFALSE;
use crate::raise;
use nyario_core::driver::Op;
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::c_long;

/// Ruby's bits of events (`IO::READABLE`, `IO::PRIORITY`, `IO::WRITABLE`) are those of poll(2).
const EVENTS: i32 = (libc::POLLIN | libc::POLLPRI | libc::POLLOUT) as i32;

/// Each means that whoever asked had better look.
const ENDINGS: i32 = (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) as i32;

/// `io_wait(fiber, io, events)`: the events that hold; false when somebody transferred to the fiber before any did.
pub(super) unsafe extern "C" fn io_wait(this: VALUE, fiber: VALUE, io: VALUE, events: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; a poll borrows nothing, and nothing here has a destructor.
    unsafe {
        let wanted = rb_sys::NUM2LONG(events) as i32 & EVENTS;
        let fd = rb_sys::rb_io_descriptor(io);
        let (selector, _) = open(this);
        match park::wait(this, selector, fiber, Op::Poll { fd, events: wanted as u32 }) {
            Woken::Raised(tag) => rb_jump_tag(tag),
            Woken::Early => QFALSE,
            Woken::With(result) if result == -libc::EBADF => closed(io),
            Woken::With(result) if result < 0 => raise::system_call(result),
            Woken::With(result) => told(wanted, result),
        }
    }
}

/// Raises what it means that the descriptor is gone: as a rule that the IO has been closed.
#[cold]
unsafe fn closed(io: VALUE) -> ! {
    // SAFETY: called with the GVL held.
    unsafe {
        let asked = rb_sys::rb_intern(c"closed?".as_ptr());
        if rb_sys::rb_funcallv(io, asked, 0, std::ptr::null()) == QFALSE {
            raise::system_call(-libc::EBADF);
        }
        raise::io("the stream was closed while it was waited for")
    }
}

fn told(wanted: i32, held: i32) -> VALUE {
    let ended = if held & ENDINGS != 0 { wanted & !i32::from(libc::POLLPRI) } else { 0 };
    match held & wanted | ended {
        0 => QFALSE,
        events => rb_sys::LONG2NUM(c_long::from(events)),
    }
}
