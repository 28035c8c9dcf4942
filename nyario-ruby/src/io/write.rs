//! Writing everything.

use super::held::Held;
use super::refuse_to_wait;
use super::several::{TOGETHER, write_together};
use super::source::Source;
use crate::looped::{self, Looped, Waited};
use crate::{api, blocking, raise};
use nyario_core::driver::Op;
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::{c_int, c_long};

/// `Nyario.write`.
pub(super) unsafe extern "C" fn write(argc: c_int, argv: *const VALUE, _: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe {
        match api::arguments(argc, argv) {
            [target, strings @ ..] => write_to(Source::of(*target), strings),
            [] => raise::argument("Nyario.write takes a connection, an IO or a descriptor, and strings"),
        }
    }
}

/// Writes every string, whole, and returns how many bytes that was.
///
/// # Safety
///
/// Called from Ruby, with the GVL held.
#[inline]
pub(crate) unsafe fn write_to(target: Source, strings: &[VALUE]) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let total = match strings {
            [string] => write_string(target, *string),
            strings => strings.chunks(TOGETHER).map(|strings| write_together(target, strings)).sum(),
        };
        rb_sys::LONG2NUM(total as c_long)
    }
}

/// The String that is to be written. What is none is converted, by Ruby code that may wait.
///
/// # Safety
///
/// As [`write_to`].
#[inline]
pub(super) unsafe fn string_of(target: Source, string: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        if rb_sys::RB_TYPE_P(string, rb_sys::ruby_value_type::RUBY_T_STRING) {
            return string;
        }
        let string = rb_sys::rb_obj_as_string(string);
        target.insist();
        string
    }
}

#[inline]
unsafe fn write_string(target: Source, string: VALUE) -> usize {
    // SAFETY: the string lies on this fiber's stack, so it stays where it is; its bytes are borrowed for the call.
    unsafe {
        let string = string_of(target, string);
        let len = rb_sys::RSTRING_LEN(string) as usize;
        let looped = looped::running();
        let mut count = -libc::EAGAIN;
        if !looped.is_null() {
            let bytes = std::slice::from_raw_parts(rb_sys::RSTRING_PTR(string).cast::<u8>(), len);
            count = (*looped).runtime.driver().try_write(target.fd, bytes);
        }
        if count < 0 || count as usize != len {
            write_rest(looped, target, string, count);
        }
        std::hint::black_box(string);
        len
    }
}

/// Goes on with a write that could not be made at once. The kernel may read the bytes until the write has ended,
/// whatever is raised in the fiber meanwhile: an exception cancels it, waits for the end, and goes on its way then.
#[cold]
unsafe fn write_rest(looped: *mut Looped, target: Source, string: VALUE, first: i32) {
    // SAFETY: as in `write_string`; across the waits the bytes are held, so that they stay what and where they are.
    unsafe {
        let held = Held::new(string);
        let len = rb_sys::RSTRING_LEN(held.string) as usize;
        let (mut written, mut result, mut tag, mut deadline) = (0, first, 0, 0);
        loop {
            match result {
                again if again == -libc::EAGAIN => {}
                error if error < 0 => break,
                count => written += count as usize,
            }
            if written >= len || tag != 0 {
                break;
            }
            if !target.is_same() {
                result = -libc::EBADF;
                break;
            }
            if deadline == 0 {
                deadline = target.deadline();
            }
            let buf = rb_sys::RSTRING_PTR(held.string).cast::<u8>().add(written);
            let op = Op::Write { fd: target.fd, buf, len: len - written };
            let waited = if looped.is_null() {
                Some(blocking::wait(op, target))
            } else {
                looped::carry_out(looped, op, deadline, |_| {})
            };
            let Some(waited) = waited else {
                held.release();
                refuse_to_wait();
            };
            Waited { result, tag } = waited;
        }
        held.release();
        if tag != 0 {
            rb_jump_tag(tag);
        }
        if result < 0 {
            target.fail(result, deadline);
        }
    }
}
