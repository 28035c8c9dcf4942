//! Writing several strings at once.

use super::held::Held;
use super::refuse_to_wait;
use super::source::Source;
use super::write::string_of;
use crate::blocking;
use crate::looped::{self, Looped, QNIL, Waited};
use libc::iovec;
use nyario_core::driver::Op;
use rb_sys::{VALUE, rb_jump_tag};
use std::ptr::null_mut;

/// How many strings go together. They are named on the fiber's stack, which is small.
pub(super) const TOGETHER: usize = 64;

const NO_PART: iovec = iovec { iov_base: null_mut(), iov_len: 0 };

/// Where the strings' bytes are, and how many.
unsafe fn parts<'a>(strings: impl Iterator<Item = &'a VALUE>, parts: &mut [iovec; TOGETHER]) -> usize {
    let mut len = 0;
    for (part, &string) in parts.iter_mut().zip(strings) {
        // SAFETY: called with the GVL held; each is a String.
        unsafe {
            let iov_base = rb_sys::RSTRING_PTR(string).cast_mut().cast();
            *part = iovec { iov_base, iov_len: rb_sys::RSTRING_LEN(string) as usize };
        }
        len += part.iov_len;
    }
    len
}

/// Writes up to [`TOGETHER`] strings, whole, and returns how many bytes that was.
///
/// # Safety
///
/// Called from Ruby, with the GVL held, and nothing with a destructor is alive in the caller.
pub(super) unsafe fn write_together(source: Source, strings: &[VALUE]) -> usize {
    // SAFETY: the strings lie on this fiber's stack, so they stay where they are; their bytes are borrowed for the call.
    unsafe {
        let mut texts = [QNIL; TOGETHER];
        for (text, &string) in texts.iter_mut().zip(strings) {
            *text = string_of(source, string);
        }
        let texts = &texts[..strings.len()];
        let mut iov = [NO_PART; TOGETHER];
        let len = parts(texts.iter(), &mut iov);
        let looped = looped::running();
        let mut count = -libc::EAGAIN;
        if !looped.is_null() {
            count = (*looped).runtime.driver().try_writev(source.fd, &iov[..texts.len()]);
        }
        if count < 0 || count as usize != len {
            write_rest(looped, source, texts, count);
        }
        std::hint::black_box(texts);
        len
    }
}

/// Goes on where the strings could not be written at once: see [`write_string`](super::write::write_string)'s.
#[cold]
unsafe fn write_rest(looped: *mut Looped, source: Source, texts: &[VALUE], first: i32) {
    // SAFETY: as above; across the waits the bytes are held, so that they stay what and where they are, and the vectors lie
    // on this stack.
    unsafe {
        let mut held = [Held::NOTHING; TOGETHER];
        for (held, &text) in held.iter_mut().zip(texts) {
            *held = Held::new(text);
        }
        let held = &held[..texts.len()];
        let mut iov = [NO_PART; TOGETHER];
        let len = parts(held.iter().map(|held| &held.string), &mut iov);
        let mut rest = &mut iov[..texts.len()];
        let (mut written, mut result, mut tag, mut deadline) = (0, first, 0, 0);
        loop {
            match result {
                again if again == -libc::EAGAIN => {}
                error if error < 0 => break,
                count => {
                    written += count as usize;
                    rest = skip(rest, count as usize);
                }
            }
            if written >= len || tag != 0 {
                break;
            }
            if !source.is_same() {
                result = -libc::EBADF;
                break;
            }
            if deadline == 0 {
                deadline = source.deadline();
            }
            let op = Op::Writev { fd: source.fd, iov: rest.as_ptr(), count: rest.len() };
            let waited = if looped.is_null() {
                Some(blocking::wait(op, source))
            } else {
                looped::carry_out(looped, op, deadline, |_| {})
            };
            let Some(waited) = waited else {
                held.iter().for_each(|held| held.release());
                refuse_to_wait();
            };
            Waited { result, tag } = waited;
        }
        held.iter().for_each(|held| held.release());
        if tag != 0 {
            rb_jump_tag(tag);
        }
        if result < 0 {
            source.fail(result, deadline);
        }
    }
}

/// What is left behind the first so many bytes.
fn skip(mut parts: &mut [iovec], mut count: usize) -> &mut [iovec] {
    while let Some(first) = parts.first_mut() {
        if count < first.iov_len {
            first.iov_base = first.iov_base.cast::<u8>().wrapping_add(count).cast();
            first.iov_len -= count;
            break;
        }
        count -= first.iov_len;
        parts = &mut parts[1..];
    }
    parts
}
