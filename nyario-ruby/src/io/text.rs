//! The String that a read fills: a new one, or the caller's.

use crate::looped::QNIL;
use crate::raise;
use rb_sys::VALUE;
use std::ffi::{c_char, c_long};

/// So many bytes at once are bulk data, of which the next read will bring more.
const MANY: usize = 16_384;

/// Insists that what a caller gave to be filled is a String, or nil.
///
/// # Safety
///
/// The GVL is held.
pub(super) unsafe fn checked(buffer: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        if buffer != QNIL && !rb_sys::RB_TYPE_P(buffer, rb_sys::ruby_value_type::RUBY_T_STRING) {
            raise::of_class(c"TypeError", "the buffer must be a String")
        }
    }
    buffer
}

/// Raises for a String that is frozen, or that somebody else is reading into or writing from.
///
/// # Safety
///
/// The GVL is held, and it is a String or nil.
#[inline]
pub(super) unsafe fn insist_on_a_place(buffer: VALUE) {
    if buffer != QNIL {
        // SAFETY: as above.
        unsafe { rb_sys::rb_str_modify(buffer) }
    }
}

/// Makes room for `max` bytes in a String that is the caller's: where they begin. Raises for one that is frozen, or that
/// somebody else is reading into or writing from. What it holds stays until bytes have come.
///
/// # Safety
///
/// The GVL is held, and it is a String.
pub(crate) unsafe fn room(buffer: VALUE, max: usize) -> *mut u8 {
    // SAFETY: as above.
    unsafe {
        if has_room(buffer, max) {
            rb_sys::rb_str_modify(buffer);
        } else {
            rb_sys::rb_str_modify_expand(buffer, (max - rb_sys::RSTRING_LEN(buffer) as usize) as c_long);
        }
        rb_sys::RSTRING_PTR(buffer).cast_mut().cast()
    }
}

/// Whether reads go straight into a String that is the caller's, as its last one brought much or as it was made large.
///
/// # Safety
///
/// The GVL is held, and it is a String.
#[inline]
pub(super) unsafe fn has_room(buffer: VALUE, max: usize) -> bool {
    // SAFETY: as above.
    unsafe { rb_sys::rb_str_capacity(buffer) as usize >= max }
}

/// The String of those bytes: `buffer` with them alone in it, or a new one. A buffer is made as large as they need, for many
/// connections may keep theirs; where they are many, as large as `max`, as more will come.
///
/// # Safety
///
/// The GVL is held, and the bytes are valid and not the buffer's own.
#[inline]
pub(super) unsafe fn copy(buffer: VALUE, bytes: *const u8, count: usize, max: usize) -> VALUE {
    // SAFETY: as above.
    unsafe {
        if buffer != QNIL {
            room(buffer, if count < MANY { count } else { max });
        }
        of(buffer, bytes, count)
    }
}

/// The String of those bytes: `buffer` with them alone in it, or a new one.
///
/// # Safety
///
/// The GVL is held, the bytes are valid, and a buffer has [`room`] for them.
#[inline]
pub(super) unsafe fn of(buffer: VALUE, bytes: *const u8, count: usize) -> VALUE {
    // SAFETY: as above.
    unsafe {
        if buffer == QNIL {
            return rb_sys::rb_str_new(bytes.cast::<c_char>(), count as c_long);
        }
        let place = rb_sys::RSTRING_PTR(buffer).cast_mut().cast::<u8>();
        if place.cast_const() != bytes {
            place.copy_from_nonoverlapping(bytes, count);
        }
        rb_sys::rb_str_set_len(buffer, count as c_long);
        buffer
    }
}

/// Nothing has come: nil, and an empty buffer.
///
/// # Safety
///
/// As [`room`], which was called.
pub(super) unsafe fn none(buffer: VALUE) -> VALUE {
    if buffer != QNIL {
        // SAFETY: as above.
        unsafe { rb_sys::rb_str_set_len(buffer, 0) }
    }
    QNIL
}
