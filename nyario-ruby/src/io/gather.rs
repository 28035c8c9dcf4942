//! Reading from an IO of Ruby's until there is enough: what is more than that goes back into the IO's own buffer, where
//! Ruby's methods and the next read find it.

use super::read::read_from;
use super::source::Source;
use crate::looped::QNIL;
use magnus::rb_sys::protect;
use rb_sys::{VALUE, rb_jump_tag, rb_protect};
use std::ffi::{c_char, c_int, c_long};

/// One read brings at most so much, as what is too much is copied back.
const PORTION: c_long = 4096;

struct Gathering<'a> {
    source: Source,
    text: VALUE,
    enough: &'a dyn Fn(&[u8]) -> Option<usize>,
    /// What `enough` has said; `None` at the end.
    count: Option<usize>,
}

/// Reads until `enough` says how many bytes of what has been read so far are to be taken: a String of those, and the rest is
/// given back. `None`, and everything is given back, when the end comes before; whether that was anything is told.
///
/// # Safety
///
/// Called from Ruby, with the GVL held; the source is an IO, and nothing with a destructor is alive in the caller, or in
/// `enough`, which calls nothing of Ruby's.
pub(super) unsafe fn gather(source: Source, enough: &dyn Fn(&[u8]) -> Option<usize>) -> Result<VALUE, bool> {
    unsafe extern "C" fn read(gathering: VALUE) -> VALUE {
        // SAFETY: it is the one below; may raise, under `rb_protect`.
        unsafe {
            let gathering = gathering as *mut Gathering;
            let text = (*gathering).text;
            loop {
                (*gathering).count = ((*gathering).enough)(bytes(text));
                if (*gathering).count.is_some() {
                    return QNIL;
                }
                match read_from((*gathering).source, &[rb_sys::LONG2NUM(PORTION)]) {
                    QNIL => return QNIL,
                    part => rb_sys::rb_str_buf_append(text, part),
                };
            }
        }
    }
    // SAFETY: as above; the String lies on this stack, and nobody else knows it.
    unsafe {
        let text = rb_sys::rb_str_buf_new(0);
        let mut gathering = Gathering { source, text, enough, count: None };
        let mut tag: c_int = 0;
        rb_protect(Some(read), (&raw mut gathering) as VALUE, &mut tag);
        let taken = if tag == 0 { gathering.count.unwrap_or(0) } else { 0 };
        unget(source, &bytes(text)[taken..]);
        if tag != 0 {
            rb_jump_tag(tag);
        }
        if gathering.count.is_none() {
            return Err(!bytes(text).is_empty());
        }
        Ok(rb_sys::rb_str_resize(text, taken as c_long))
    }
}

unsafe fn bytes<'a>(text: VALUE) -> &'a [u8] {
    // SAFETY: called above, for the String there, between its changes.
    unsafe { std::slice::from_raw_parts(rb_sys::RSTRING_PTR(text).cast(), rb_sys::RSTRING_LEN(text) as usize) }
}

/// Puts bytes back in front of what the IO has read ahead.
///
/// # Safety
///
/// The GVL is held, and the source is an IO. Ruby's refusal (it was closed meanwhile) is passed over.
pub(super) unsafe fn unget(source: Source, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    // SAFETY: as above; the String lies on this stack.
    unsafe {
        let before = rb_sys::rb_errinfo();
        let (ptr, len) = (bytes.as_ptr().cast::<c_char>(), bytes.len() as c_long);
        if protect(|| rb_sys::rb_io_ungetbyte(source.object, rb_sys::rb_str_new(ptr, len))).is_err() {
            rb_sys::rb_set_errinfo(before);
        }
    }
}
