//! Reading so many bytes.

use super::gather::gather;
use super::refuse_to_wait;
use super::source::Source;
use crate::looped::{self, Waited};
use crate::raise;
use nyario_core::driver::Op;
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::c_long;

/// Memory for more than that is taken as the bytes come: who is to send them may have named any number.
const ROOM_AT_FIRST: usize = 1 << 20;

const TOO_FEW: &str = "the end has come before so many bytes";

/// `Nyario.read_exactly`.
pub(super) unsafe extern "C" fn exactly(_: VALUE, source: VALUE, count: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe {
        let source = Source::of(source);
        source.insist_on_an_object();
        read_exactly(source, count)
    }
}

/// Reads `count` bytes, however many reads it takes. When the end or an exception comes before, those that have come are
/// left to the next read.
///
/// # Safety
///
/// Called from Ruby, with the GVL held; the source is a connection or an IO.
pub(crate) unsafe fn read_exactly(source: Source, count: VALUE) -> VALUE {
    // SAFETY: as above; the String lies on this stack, and nobody else knows it. No borrow of the loop lives across a wait.
    unsafe {
        let Ok(wanted) = usize::try_from(rb_sys::NUM2LONG(count)) else {
            raise::argument("the number of bytes must be 0 or more");
        };
        if !source.is_connection() {
            return match gather(source, &|bytes| (bytes.len() >= wanted).then_some(wanted)) {
                Ok(text) => text,
                Err(_) => raise::of_class(c"EOFError", TOO_FEW),
            };
        }
        let mut room = wanted.min(ROOM_AT_FIRST);
        let text = rb_sys::rb_str_buf_new(room as c_long);
        let mut place = rb_sys::RSTRING_PTR(text).cast_mut().cast::<u8>();
        let looped = looped::running();
        let (mut filled, mut deadline) = (0, 0);
        while filled < wanted {
            if filled == room {
                let more = room.min(wanted - room);
                rb_sys::rb_str_set_len(text, filled as c_long);
                rb_sys::rb_str_modify_expand(text, more as c_long);
                (place, room) = (rb_sys::RSTRING_PTR(text).cast_mut().cast(), room + more);
            }
            let (rest, left) = (place.add(filled), room - filled);
            if let Some(ahead) = source.ahead() {
                let count = ahead.as_slice().len().min(left);
                rest.copy_from_nonoverlapping(ahead.as_slice().as_ptr(), count);
                ahead.consume(count);
                filled += count;
                continue;
            }
            let held = (*looped).runtime.driver().peek(source.fd);
            if !held.is_empty() {
                let count = held.len().min(left);
                rest.copy_from_nonoverlapping(held.as_ptr(), count);
                (*looped).runtime.driver().consume(source.fd, count);
                filled += count;
                continue;
            }
            let result = (*looped).runtime.driver().try_read(source.fd, std::slice::from_raw_parts_mut(rest, left));
            if result > 0 {
                filled += result as usize;
                continue;
            }
            let give_back = || source.give_back(std::slice::from_raw_parts(place, filled));
            if result == 0 {
                give_back();
                raise::of_class(c"EOFError", TOO_FEW);
            }
            if result != -libc::EAGAIN {
                give_back();
                source.fail(result, 0);
            }
            if deadline == 0 {
                deadline = source.deadline();
            }
            match looped::carry_out(looped, Op::AtHand { fd: source.fd }, deadline, |_| {}) {
                Some(Waited { result, tag: 0 }) if result >= 0 && source.is_same() => {}
                waited => {
                    give_back();
                    match waited {
                        None => refuse_to_wait(),
                        Some(Waited { tag, .. }) if tag != 0 => rb_jump_tag(tag),
                        Some(Waited { result, .. }) if result < 0 => source.fail(result, deadline),
                        Some(_) => source.insist(),
                    }
                }
            }
        }
        rb_sys::rb_str_set_len(text, wanted as c_long);
        text
    }
}
