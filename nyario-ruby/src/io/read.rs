//! Reading what there is.

use super::refuse_to_wait;
use crate::looped::{self, Looped, QNIL, READ_MAX};
use crate::{api, blocking, descriptor, raise};
use nyario_core::driver::Op;
use nyario_core::sys::Fd;
use rb_sys::VALUE;
use std::ffi::{c_char, c_int, c_long};

/// `Nyario.read`.
pub(super) unsafe extern "C" fn read(argc: c_int, argv: *const VALUE, _: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe {
        match api::arguments(argc, argv) {
            [source, rest @ ..] => read_from(*source, descriptor::of(*source), rest),
            [] => raise::argument("Nyario.read takes a connection, an IO or a descriptor, and perhaps a length"),
        }
    }
}

/// Reads once from a descriptor, which is `source`'s: a String of at least one byte, or nil at the end.
///
/// # Safety
///
/// Called from Ruby, with the GVL held.
#[inline]
pub(crate) unsafe fn read_from(source: VALUE, fd: Fd, arguments: &[VALUE]) -> VALUE {
    // SAFETY: as above; no borrow of the loop lives across the park or a call that makes a String.
    unsafe {
        let max = match arguments {
            [] => READ_MAX,
            [max] if *max == QNIL => READ_MAX,
            [max] => match usize::try_from(rb_sys::NUM2LONG(*max)) {
                Ok(max) if max > 0 => max.min(READ_MAX),
                _ => raise::argument("the length must be above 0"),
            },
            _ => raise::argument("one length at most"),
        };
        let looped = looped::running();
        if looped.is_null() {
            return blocking::read(source, fd, max);
        }
        for _ in 0..2 {
            let held = (*looped).runtime.driver().peek(fd);
            if !held.is_empty() {
                let (ptr, count) = (held.as_ptr(), held.len().min(max));
                let text = rb_sys::rb_str_new(ptr.cast::<c_char>(), count as c_long);
                (*looped).runtime.driver().consume(fd, count);
                return text;
            }
            let scratch = (&raw mut *(*looped).scratch).cast::<u8>();
            let count = (*looped).runtime.driver().try_read(fd, std::slice::from_raw_parts_mut(scratch, max));
            match count {
                0 => return QNIL,
                again if again == -libc::EAGAIN => {}
                error if error < 0 => descriptor::fail(source, error),
                count => return rb_sys::rb_str_new(scratch.cast::<c_char>(), count.into()),
            }
            match looped::perform(looped, Op::AtHand { fd }, 0, |_| {}) {
                Some(error) if error < 0 => descriptor::fail(source, error),
                Some(_) => {}
                None => refuse_to_wait(),
            }
        }
        read_directly(looped, source, fd, max)
    }
}

/// Reads into a String of the call's own: what is no socket may be at hand and yet not be read without waiting (a file
/// whose bytes lie on the disk), and of a socket another fiber may have taken what was at hand.
#[cold]
unsafe fn read_directly(looped: *mut Looped, source: VALUE, fd: Fd, max: usize) -> VALUE {
    // SAFETY: called with the GVL held; the String lies on this stack, and nobody else knows it.
    unsafe {
        let text = rb_sys::rb_str_buf_new(max as c_long);
        let op = Op::Read { fd, buf: rb_sys::RSTRING_PTR(text).cast_mut().cast(), len: max };
        match looped::perform(looped, op, 0, |_| {}) {
            Some(count) => blocking::finish_read(source, text, count),
            None => refuse_to_wait(),
        }
    }
}
