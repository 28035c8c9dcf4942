//! Reading and writing.

use super::open;
use super::park::{self, Woken};
use crate::scheduler::{Length, Memory, Span, answer, is_socket, readable, writable};
use crate::{api, raise};
use nyario_core::driver::{Blocking, Op};
use nyario_core::sys::{Fd, Linux};
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::c_int;

/// Which way the bytes go.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

impl Way {
    fn events(self) -> u32 {
        match self {
            Way::In => libc::POLLIN as u32,
            Way::Out => libc::POLLOUT as u32,
        }
    }

    fn op(self, fd: Fd, buf: *mut u8, len: usize) -> Op {
        match self {
            Way::In => Op::Read { fd, buf, len },
            Way::Out => Op::Write { fd, buf, len },
        }
    }
}

/// Transfers at least what was asked for, unless there is an end or an error before. A socket is waited for even when one
/// try would do: Ruby would only ask again. What else is read or written without waiting has to be told that. The kernel
/// has the buffer for moments only, and where it lies is asked anew after each wait: somebody may have resized it.
unsafe fn transfer(this: VALUE, (fiber, io): (VALUE, VALUE), way: Way, span: impl Fn() -> Result<Span, i32>) -> VALUE {
    // SAFETY: called with the GVL held; no borrow lives across the wait, and nothing here has a destructor.
    unsafe {
        let (selector, _) = open(this);
        let mut done = 0;
        loop {
            let span = match span() {
                Ok(span) => span,
                Err(result) => return ended(done, result),
            };
            if done > 0 && (done >= span.least || done >= span.room) {
                return answer(done as i64);
            }
            let fd = rb_sys::rb_io_descriptor(io);
            let (at, left) = (span.base.add(done), span.room - done);
            let Some(runtime) = (*selector).runtime() else { return ended(done, -libc::ECANCELED) };
            let driver = runtime.driver();
            let result = match way {
                Way::In => driver.try_read(fd, std::slice::from_raw_parts_mut(at, left)),
                Way::Out => driver.try_write(fd, std::slice::from_raw_parts(at, left)),
            };
            match result {
                again if again == -libc::EAGAIN => {
                    if span.least == 0 && !is_socket(io) {
                        return answer(try_once(way.op(fd, at, left)).into());
                    }
                    match park::wait(this, selector, fiber, Op::Poll { fd, events: way.events() }) {
                        Woken::Raised(tag) => rb_jump_tag(tag),
                        Woken::Early if span.least == 0 => return answer((-libc::EAGAIN).into()),
                        Woken::With(error) if error < 0 => return ended(done, error),
                        _ => {}
                    }
                }
                0 => return answer(done as i64),
                error if error < 0 => return ended(done, error),
                count => done += count as usize,
            }
        }
    }
}

/// Asks the kernel itself: the driver believes that there is nothing until it is told otherwise, which takes a turn, or
/// somebody who waits.
#[cold]
unsafe fn try_once(op: Op) -> i32 {
    match Blocking::new(&Linux, op) {
        // SAFETY: the buffer is there for as long as the call is.
        Ok(blocking) => unsafe { blocking.attempt(&Linux) },
        Err(error) => error.result(),
    }
}

/// An error counts only when nothing came before it; who asks again is told.
fn ended(done: usize, error: i32) -> VALUE {
    answer(if done > 0 { done as i64 } else { error.into() })
}

unsafe fn up_to_4_0(this: VALUE, arguments: &[VALUE], way: Way) -> VALUE {
    // SAFETY: called with the GVL held.
    unsafe {
        let (fiber, io, buffer, length, offset) = match *arguments {
            [fiber, io, buffer, length] => (fiber, io, buffer, length, rb_sys::LONG2NUM(0)),
            [fiber, io, buffer, length, offset] => (fiber, io, buffer, length, offset),
            _ => raise::argument("a fiber, an IO, a buffer, a length, and perhaps an offset"),
        };
        transfer(this, (fiber, io), way, || Span::of(bytes(way, buffer), offset, Length::AtLeast(length)))
    }
}

unsafe fn bytes(way: Way, buffer: VALUE) -> Memory {
    // SAFETY: called with the GVL held; raises for what is no buffer.
    unsafe {
        match way {
            Way::In => writable(buffer),
            Way::Out => readable(buffer),
        }
    }
}

/// `io_read(fiber, io, buffer, length, offset = 0)`: how many bytes were read, 0 at the end, or a negative errno.
pub(super) unsafe extern "C" fn io_read(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe { up_to_4_0(this, api::arguments(argc, argv), Way::In) }
}

/// `io_write(fiber, io, buffer, length, offset = 0)`: how many bytes were written, or a negative errno.
pub(super) unsafe extern "C" fn io_write(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe { up_to_4_0(this, api::arguments(argc, argv), Way::Out) }
}

/// `io_read(fiber, io, buffer, offset, length)`.
pub(super) unsafe extern "C" fn io_read_4_1(
    this: VALUE,
    fiber: VALUE,
    io: VALUE,
    buffer: VALUE,
    offset: VALUE,
    length: VALUE,
) -> VALUE {
    // SAFETY: as above.
    unsafe { transfer(this, (fiber, io), Way::In, || Span::of(writable(buffer), offset, Length::AtMost(length))) }
}

/// `io_write(fiber, io, buffer, offset, length)`.
pub(super) unsafe extern "C" fn io_write_4_1(
    this: VALUE,
    fiber: VALUE,
    io: VALUE,
    buffer: VALUE,
    offset: VALUE,
    length: VALUE,
) -> VALUE {
    // SAFETY: as above.
    unsafe { transfer(this, (fiber, io), Way::Out, || Span::of(readable(buffer), offset, Length::AtMost(length))) }
}
