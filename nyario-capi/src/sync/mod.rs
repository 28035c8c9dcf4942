//! What fibers synchronise with, by value: C sees words, and the core's types lie in them.

mod mutex;

mod rwlock;

mod condition;

mod group;

mod semaphore;

mod channel;

mod choose;

use nyario_core::sys::Errno;

/// The core's type that lies in the words at that address.
///
/// # Safety
///
/// `words` must be NULL or, for as long as the caller has the result, valid words that are all zeroes or were made into
/// a `T`, which all zeroes are as well.
unsafe fn within<'a, W, T>(words: *mut W) -> Result<&'a T, Errno> {
    const { assert!(size_of::<T>() <= size_of::<W>() && align_of::<T>() <= align_of::<W>()) };
    // SAFETY: forwarded from the caller; the sizes are compared above, and everything that changes is in cells.
    unsafe { words.cast::<T>().as_ref() }.filter(|_| words.is_aligned()).ok_or(Errno(libc::EINVAL))
}
