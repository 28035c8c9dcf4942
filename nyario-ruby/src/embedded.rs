//! Bytes in the collector's own heap.
//!
//! Short Strings keep their bytes in their slot of it. While the collector compacts it closes pages to everybody, and opens
//! one again when it is told by SIGSEGV that somebody wants to read there. The kernel tells nobody: an operation that it
//! carries out meanwhile fails with EFAULT (seen on Ruby 3.1, whose compaction goes on between the steps of a program). So
//! what waits is lent other memory.

use crate::looped::Waited;
use rb_sys::VALUE;
use std::ffi::c_long;
use std::mem::MaybeUninit;

/// More bytes than any Ruby keeps in a slot, of which the largest have 640.
pub(crate) const OUTSIDE: usize = 1024;

/// A copy of a String of up to [`OUTSIDE`] bytes, which may be in a slot, its own or that of one that it shares them with:
/// the copy's are in none.
///
/// # Safety
///
/// The GVL is held, and it is such a String; raises where there is no memory.
pub(crate) unsafe fn outside(string: VALUE) -> VALUE {
    // SAFETY: as above. It lies on the caller's stack, so making the new one does not move it.
    unsafe {
        let copy = rb_sys::rb_str_buf_new(OUTSIDE as c_long);
        rb_sys::rb_str_cat(copy, rb_sys::RSTRING_PTR(string), rb_sys::RSTRING_LEN(string));
        std::hint::black_box(string);
        copy
    }
}

/// Has `wait` use memory on this stack in the place of up to [`OUTSIDE`] bytes of which nobody knows where they are. It is
/// filled with them first where they are to be `written`, and what `wait` has brought is copied back where they are not.
///
/// # Safety
///
/// The GVL is held, `at` is valid for `len` bytes for as long as this runs, and `wait` brings at most `len`.
#[inline(never)]
pub(crate) unsafe fn aside(
    at: *mut u8,
    len: usize,
    written: bool,
    wait: impl FnOnce(*mut u8) -> Option<Waited>,
) -> Option<Waited> {
    assert!(len <= OUTSIDE);
    let mut place = [const { MaybeUninit::<u8>::uninit() }; OUTSIDE];
    let place = place.as_mut_ptr().cast::<u8>();
    // SAFETY: as above; a wait for what borrows memory is over when it returns, so this stack has what has come.
    unsafe {
        if written {
            place.copy_from_nonoverlapping(at, len);
        }
        let waited = wait(place);
        if !written && let Some(Waited { result: count @ 1.., .. }) = waited {
            at.copy_from_nonoverlapping(place, count as usize);
        }
        waited
    }
}
