//! Reading what there is.

use super::held::Held;
use super::more::wait;
use super::refuse_to_wait;
use super::source::Source;
use super::text;
use crate::embedded::OUTSIDE;
use crate::looped::{self, Looped, QNIL, READ_MAX, Waited};
use crate::{api, blocking, raise};
use nyario_core::driver::Op;
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::{c_int, c_long};

/// How often something may be at hand that is gone when it is read, before it is read with waiting.
const ROUNDS: u32 = 2;

/// `Nyario.read`.
pub(super) unsafe extern "C" fn read(argc: c_int, argv: *const VALUE, _: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe {
        match api::arguments(argc, argv) {
            [source, rest @ ..] => read_from(Source::of(*source), rest),
            [] => raise::argument(
                "Nyario.read takes a connection, an IO or a descriptor, and perhaps a length and a String",
            ),
        }
    }
}

/// Reads once: a String of at least one byte, or nil at the end. The arguments are the most to be read, and the String
/// to be filled.
///
/// # Safety
///
/// Called from Ruby, with the GVL held.
#[inline]
pub(crate) unsafe fn read_from(source: Source, arguments: &[VALUE]) -> VALUE {
    // SAFETY: as above; no borrow of the loop lives across the park or a call that makes a String.
    unsafe {
        let (max, buffer) = match arguments {
            [] => (READ_MAX, QNIL),
            [max] => (length(*max), QNIL),
            [max, buffer] => (length(*max), text::checked(*buffer)),
            _ => raise::argument("a length and a String at most"),
        };
        if source.is_read_ahead() {
            return read_from_ruby(source, max, buffer);
        }
        let looped = looped::running();
        if looped.is_null() {
            return blocking::read(source, max, buffer);
        }
        let (mut round, mut deadline) = (0, 0);
        loop {
            if !source.is_connection() && (round == ROUNDS || (*looped).runtime.driver().is_file(source.fd)) {
                return read_directly(looped, source, max, buffer);
            }
            if let Some(ahead) = source.ahead() {
                let count = ahead.as_slice().len().min(max);
                let text = text::copy(buffer, ahead.as_slice().as_ptr(), count, max);
                ahead.consume(count);
                return text;
            }
            let held = (*looped).runtime.driver().peek(source.fd);
            if !held.is_empty() {
                let (bytes, count) = (held.as_ptr(), held.len().min(max));
                let text = text::copy(buffer, bytes, count, max);
                (*looped).runtime.driver().consume(source.fd, count);
                return text;
            }
            text::insist_on_a_place(buffer);
            if !(*looped).runtime.driver().would_wait(source.fd) {
                let straight = buffer != QNIL && text::has_room(buffer, max);
                let place = match straight {
                    true => rb_sys::RSTRING_PTR(buffer).cast_mut().cast(),
                    false => (&raw mut *(*looped).scratch).cast::<u8>(),
                };
                match (*looped).runtime.driver().try_read(source.fd, std::slice::from_raw_parts_mut(place, max)) {
                    0 => return text::none(buffer),
                    again if again == -libc::EAGAIN => {}
                    error if error < 0 => source.fail(error, 0),
                    count if straight => return text::of(buffer, place, count as usize),
                    count => return text::copy(buffer, place, count as usize, max),
                }
            }
            round += 1;
            wait(looped, source, &mut deadline);
        }
    }
}

/// The most that is to be read, as its caller says it.
unsafe fn length(max: VALUE) -> usize {
    if max == QNIL {
        return READ_MAX;
    }
    // SAFETY: called with the GVL held.
    match usize::try_from(unsafe { rb_sys::NUM2LONG(max) }) {
        Ok(max) if max > 0 => max.min(READ_MAX),
        // SAFETY: as above.
        _ => unsafe { raise::argument("the length must be above 0") },
    }
}

/// Takes what an IO has read ahead itself: no wait, and at least a byte.
#[cold]
unsafe fn read_from_ruby(source: Source, max: usize, buffer: VALUE) -> VALUE {
    // SAFETY: called with the GVL held.
    unsafe {
        let arguments = [rb_sys::LONG2NUM(max as c_long), buffer];
        let count = if buffer == QNIL { 1 } else { 2 };
        rb_sys::rb_funcallv(source.object, rb_sys::rb_intern(c"readpartial".as_ptr()), count, arguments.as_ptr())
    }
}

/// Reads into the String itself, which the kernel may fill until the read has ended: nobody else touches it meanwhile, and
/// it is too large for its bytes to lie among the collector's objects. So a file is read, whose bytes may lie on the disk, and
/// what is no connection when others keep taking what was at hand.
#[cold]
unsafe fn read_directly(looped: *mut Looped, source: Source, max: usize, buffer: VALUE) -> VALUE {
    // SAFETY: called with the GVL held. A new String lies on this stack, where nobody else knows it; the caller's has room.
    unsafe {
        let room = max.max(OUTSIDE);
        if buffer != QNIL {
            text::room(buffer, room);
        }
        let text = if buffer == QNIL { rb_sys::rb_str_buf_new(room as c_long) } else { buffer };
        let held = Held::to_be_filled(text);
        let op = Op::Read { fd: source.fd, buf: rb_sys::RSTRING_PTR(text).cast_mut().cast(), len: max };
        let waited = looped::carry_out(looped, op, 0, |_| {});
        held.release();
        let Some(Waited { result, tag }) = waited else { refuse_to_wait() };
        if tag != 0 {
            let read = std::slice::from_raw_parts(rb_sys::RSTRING_PTR(text).cast::<u8>(), result.max(0) as usize);
            source.give_back(read);
            rb_jump_tag(tag);
        }
        finish(source, text, result, buffer)
    }
}

/// Makes the String of what was read into it: nil at the end.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller; `count` is what the read came to.
pub(crate) unsafe fn finish(source: Source, text: VALUE, count: i32, buffer: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        match count {
            0 => text::none(buffer),
            error if error < 0 => source.fail(error, 0),
            count => {
                rb_sys::rb_str_set_len(text, count.into());
                if buffer == QNIL {
                    // What it does not need of its memory goes back.
                    rb_sys::rb_str_resize(text, count.into());
                }
                text
            }
        }
    }
}
