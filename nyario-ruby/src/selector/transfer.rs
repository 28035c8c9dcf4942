//! Reading and writing.

use super::open;
use super::park::{self, Woken};
use crate::{api, raise};
use nyario_core::driver::{Blocking, Op};
use nyario_core::sys::{Fd, Linux};
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::{c_int, c_long, c_void};

/// What a call was asked to transfer.
struct Request {
    fd: Fd,
    /// The bytes from the offset on. Ruby keeps the buffer where it is for as long as the call is under way, and the
    /// kernel only has it for moments of that.
    base: *mut u8,
    room: usize,
    /// At least so many; 0 means that one try is enough.
    least: usize,
}

/// The arguments after the fiber, up to Ruby 4.0: `(io, buffer, length, offset = 0)`. The answer is given at once where
/// there is nothing to transfer.
unsafe fn request(arguments: &[VALUE], size: impl FnOnce(VALUE) -> (*mut u8, usize)) -> Result<Request, i32> {
    // SAFETY: called with the GVL held.
    unsafe {
        let (io, buffer, length, offset) = match arguments {
            [io, buffer, length] => (*io, *buffer, *length, 0),
            [io, buffer, length, offset] => (*io, *buffer, *length, rb_sys::NUM2LONG(*offset)),
            _ => raise::argument("a fiber, an IO, a buffer, a length, and perhaps an offset"),
        };
        let (base, size) = size(buffer);
        let least = rb_sys::NUM2LONG(length);
        let (Ok(offset), Ok(least)) = (usize::try_from(offset), usize::try_from(least)) else {
            return Err(-libc::EINVAL);
        };
        let Some(room) = size.checked_sub(offset) else { return Err(-libc::EINVAL) };
        if room == 0 {
            return Err(0);
        }
        let fd = rb_sys::rb_io_descriptor(io);
        Ok(Request { fd, base: base.add(offset), room, least: least.min(room) })
    }
}

fn answer(result: i64) -> VALUE {
    rb_sys::LONG2NUM(result as c_long)
}

/// Transfers at least what was asked for, unless there is an end or an error before. A socket is waited for even when one
/// try would do: Ruby would only ask again. What else is read or written without waiting has to be told that.
unsafe fn transfer(this: VALUE, fiber: VALUE, request: &Request, reads: bool) -> VALUE {
    // SAFETY: called with the GVL held; no borrow lives across the wait, and nothing here has a destructor.
    unsafe {
        let (selector, _) = open(this);
        let mut done = 0;
        loop {
            let (at, left) = (request.base.add(done), request.room - done);
            let Some(runtime) = (*selector).runtime() else { return answer((-libc::ECANCELED).into()) };
            let driver = runtime.driver();
            let result = if reads {
                driver.try_read(request.fd, std::slice::from_raw_parts_mut(at, left))
            } else {
                driver.try_write(request.fd, std::slice::from_raw_parts(at, left))
            };
            match result {
                again if again == -libc::EAGAIN => {
                    if request.least == 0 && !driver.is_socket(request.fd) {
                        return answer(try_once(request, reads).into());
                    }
                    let events = if reads { libc::POLLIN } else { libc::POLLOUT } as u32;
                    match park::wait(this, selector, fiber, Op::Poll { fd: request.fd, events }) {
                        Woken::Raised(tag) => rb_jump_tag(tag),
                        Woken::Early if request.least == 0 => return answer((-libc::EAGAIN).into()),
                        Woken::With(error) if error < 0 => return ended(done, error),
                        _ => continue,
                    }
                }
                0 => return answer(done as i64),
                error if error < 0 => return ended(done, error),
                count => done += count as usize,
            }
            if done >= request.least || done == request.room {
                return answer(done as i64);
            }
        }
    }
}

/// Asks the kernel itself: the driver believes that there is nothing until it is told otherwise, which takes a turn, or
/// somebody who waits.
#[cold]
unsafe fn try_once(request: &Request, reads: bool) -> i32 {
    let Request { fd, base, room, .. } = *request;
    let op = if reads { Op::Read { fd, buf: base, len: room } } else { Op::Write { fd, buf: base, len: room } };
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

/// `io_read(fiber, io, buffer, length, offset = 0)`: how many bytes were read, 0 at the end, or a negative errno.
pub(super) unsafe extern "C" fn io_read(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe {
        let bytes = |buffer| {
            let (mut base, mut size): (*mut c_void, rb_sys::size_t) = (std::ptr::null_mut(), 0);
            rb_sys::rb_io_buffer_get_bytes_for_writing(buffer, &mut base, &mut size);
            (base.cast::<u8>(), size as usize)
        };
        let [fiber, rest @ ..] = api::arguments(argc, argv) else { raise::argument("a fiber comes first") };
        match request(rest, bytes) {
            Ok(request) => transfer(this, *fiber, &request, true),
            Err(result) => answer(result.into()),
        }
    }
}

/// `io_write(fiber, io, buffer, length, offset = 0)`: how many bytes were written, or a negative errno.
pub(super) unsafe extern "C" fn io_write(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let bytes = |buffer| {
            let (mut base, mut size): (*const c_void, rb_sys::size_t) = (std::ptr::null(), 0);
            rb_sys::rb_io_buffer_get_bytes_for_reading(buffer, &mut base, &mut size);
            (base.cast_mut().cast::<u8>(), size as usize)
        };
        let [fiber, rest @ ..] = api::arguments(argc, argv) else { raise::argument("a fiber comes first") };
        match request(rest, bytes) {
            Ok(request) => transfer(this, *fiber, &request, false),
            Err(result) => answer(result.into()),
        }
    }
}
