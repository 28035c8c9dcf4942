//! Reading and writing.

use super::loop_of;
use crate::looped::{self, Waited};
use crate::{api, raise};
use nyario_core::driver::Op;
use nyario_core::sys::Fd;
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::{c_int, c_long, c_void};

/// What a hook was asked to transfer.
struct Request {
    io: VALUE,
    fd: Fd,
    /// The bytes from the offset on.
    base: *mut u8,
    room: usize,
    /// At least so many; 0 means that one try is enough.
    least: usize,
}

/// The arguments up to 4.0: `(io, buffer, length)` in 3.1, `(io, buffer, length, offset)` after it. The answer is given at
/// once where there is nothing to transfer.
unsafe fn request(arguments: &[VALUE], size: impl FnOnce(VALUE) -> (*mut u8, usize)) -> Result<Request, i32> {
    // SAFETY: called with the GVL held.
    unsafe {
        let (io, buffer, length, offset) = match arguments {
            [io, buffer, length] => (*io, *buffer, *length, 0),
            [io, buffer, length, offset] => (*io, *buffer, *length, rb_sys::NUM2LONG(*offset)),
            _ => raise::argument("an IO, a buffer, a length, and perhaps an offset"),
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
        Ok(Request { io, fd, base: base.add(offset), room, least: least.min(room) })
    }
}

fn answer(result: i64) -> VALUE {
    rb_sys::LONG2NUM(result as c_long)
}

/// Transfers at least what was asked for, unless there is an end or an error before. A socket is waited for even when one
/// try would do: Ruby would only ask again. What else is read or written without waiting has to be told that.
unsafe fn transfer(this: VALUE, request: &Request, op: impl Fn(Fd, *mut u8, usize) -> Op, reads: bool) -> VALUE {
    // SAFETY: called with the GVL held. The buffer is locked by Ruby for as long as the hook runs, and it runs until the
    // operation has ended; nothing here has a destructor.
    unsafe {
        let looped = loop_of(this);
        let mut done = 0;
        loop {
            let (at, left) = (request.base.add(done), request.room - done);
            let driver = (*looped).runtime.driver();
            let mut result = if reads {
                driver.try_read(request.fd, std::slice::from_raw_parts_mut(at, left))
            } else {
                driver.try_write(request.fd, std::slice::from_raw_parts(at, left))
            };
            if result == -libc::EAGAIN {
                if done > 0 && done >= request.least {
                    return answer(done as i64);
                }
                if request.least == 0 && !driver.is_socket(request.fd) {
                    return answer((-libc::EAGAIN).into());
                }
                match looped::carry_out_for(looped, request.io, |fd| op(fd, at, left), 0) {
                    None => return answer((-libc::EAGAIN).into()),
                    Some(Waited { tag, .. }) if tag != 0 => rb_jump_tag(tag),
                    Some(waited) => result = waited.result,
                }
            }
            match result {
                0 => return answer(done as i64),
                error if error < 0 => return answer(if done > 0 { done as i64 } else { error.into() }),
                count => done += count as usize,
            }
            if done >= request.least || done == request.room {
                return answer(done as i64);
            }
        }
    }
}

/// `io_read(io, buffer, length, offset)`: how many bytes were read, 0 at the end, or a negative errno.
pub(super) unsafe extern "C" fn io_read(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe {
        let bytes = |buffer| {
            let (mut base, mut size): (*mut c_void, rb_sys::size_t) = (std::ptr::null_mut(), 0);
            rb_sys::rb_io_buffer_get_bytes_for_writing(buffer, &mut base, &mut size);
            (base.cast::<u8>(), size as usize)
        };
        match request(api::arguments(argc, argv), bytes) {
            Ok(request) => transfer(this, &request, |fd, buf, len| Op::Read { fd, buf, len }, true),
            Err(result) => answer(result.into()),
        }
    }
}

/// `io_write(io, buffer, length, offset)`: how many bytes were written, or a negative errno.
#[cfg(ruby_gte_3_3)]
pub(super) unsafe extern "C" fn io_write(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let bytes = |buffer| {
            let (mut base, mut size): (*const c_void, rb_sys::size_t) = (std::ptr::null(), 0);
            rb_sys::rb_io_buffer_get_bytes_for_reading(buffer, &mut base, &mut size);
            (base.cast_mut().cast::<u8>(), size as usize)
        };
        match request(api::arguments(argc, argv), bytes) {
            Ok(request) => transfer(this, &request, |fd, buf, len| Op::Write { fd, buf, len }, false),
            Err(result) => answer(result.into()),
        }
    }
}

/// `io_close(fd)`: closes the descriptor.
#[cfg(ruby_gte_4_0)]
pub(super) unsafe extern "C" fn io_close(this: VALUE, fd: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let result = looped::close(loop_of(this), rb_sys::NUM2LONG(fd) as Fd);
        if result < 0 {
            raise::system_call(result);
        }
    }
    looped::QTRUE
}
