//! What every function that C calls has in common: no panic leaves it, and errors leave as negative errnos.

use nyario_core::fiber::Loop;
use nyario_core::local;
use nyario_core::sys::Errno;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of an exported function. A panic is a bug of ours; it has been reported by the panic hook, and the
/// caller is told `-ENOTRECOVERABLE`.
#[inline]
pub(crate) fn guard<R: From<i16>>(body: impl FnOnce() -> Result<R, Errno>) -> R {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => R::from(-(error.0 as i16)),
        Err(_) => R::from(-(libc::ENOTRECOVERABLE as i16)),
    }
}

/// Like [`guard`], for what needs the calling thread's loop.
#[inline]
pub(crate) fn on_loop<R: From<i16>>(body: impl FnOnce(&'static Loop) -> Result<R, Errno>) -> R {
    guard(|| body(local::current().map_or_else(make, Ok)?))
}

/// Makes the thread's loop. What std does on the way, waiting for another thread or telling of a denied backend, may
/// set errno.
#[cold]
fn make() -> Result<&'static Loop, Errno> {
    keeping_errno(local::get)
}

/// Works with what may set errno, such as std's locks or the C library, and leaves errno, which is the caller's, as it
/// was.
pub(crate) fn keeping_errno<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: the address of the thread's own errno; a fiber never moves to another thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    let result = work();
    // SAFETY: as above.
    unsafe { *errno = before };
    result
}

/// The text that a C string holds.
///
/// # Safety
///
/// `text` must be NULL or end with a NUL, and stay unchanged for the lifetime that the caller gives it.
pub(crate) unsafe fn text<'a>(text: *const std::ffi::c_char) -> Result<&'a str, Errno> {
    if text.is_null() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: forwarded from the caller.
    unsafe { std::ffi::CStr::from_ptr(text) }.to_str().map_err(|_| Errno(libc::EINVAL))
}

/// A buffer that C lends, empty where its length is zero, whatever its address.
///
/// # Safety
///
/// `buf` must be NULL or valid for reads of `len` bytes for the lifetime that the caller gives it.
pub(crate) unsafe fn bytes<'a>(buf: *const std::ffi::c_void, len: usize) -> Result<&'a [u8], Errno> {
    match (buf.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Errno(libc::EINVAL)),
        // SAFETY: forwarded from the caller.
        _ => Ok(unsafe { std::slice::from_raw_parts(buf.cast(), len) }),
    }
}

/// Like [`bytes`], to be written to.
///
/// # Safety
///
/// `buf` must be NULL or valid for writes of `len` bytes, and nobody else's, for the lifetime that the caller gives
/// it.
pub(crate) unsafe fn bytes_mut<'a>(buf: *mut std::ffi::c_void, len: usize) -> Result<&'a mut [u8], Errno> {
    match (buf.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(Errno(libc::EINVAL)),
        // SAFETY: forwarded from the caller.
        _ => Ok(unsafe { std::slice::from_raw_parts_mut(buf.cast(), len) }),
    }
}

/// Fills in a struct that begins with its size, which the caller has set, up to where the caller's or ours ends; what of
/// the caller's is beyond ours becomes 0. `value` needs no size.
///
/// # Safety
///
/// `T` must be plain data without padding and begin with a `usize`. `out` must be NULL or point to as many bytes as its
/// first word says, writable.
pub(crate) unsafe fn fill<T: Copy>(out: *mut T, value: T) -> Result<(), Errno> {
    if out.is_null() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: forwarded from the caller; a caller's struct need not be aligned as ours is.
    let size = unsafe { out.cast::<usize>().read_unaligned() };
    if size < size_of::<usize>() {
        return Err(Errno(libc::EINVAL));
    }
    let (head, known) = (size_of::<usize>(), size.min(size_of::<T>()));
    // SAFETY: both hold as much, and are not the same.
    unsafe {
        let (from, to) = ((&raw const value).cast::<u8>(), out.cast::<u8>());
        std::ptr::copy_nonoverlapping(from.add(head), to.add(head), known - head);
        to.add(known).write_bytes(0, size - known);
    }
    Ok(())
}

/// A struct of options, which begins with its size as the caller was compiled; NULL is all defaults. What the caller
/// does not know of keeps its default, 0, and what we do not know of must be 0.
///
/// # Safety
///
/// `T` must be plain data for which zeroes are a value, and begin with a `usize`. `options` must be NULL or point to as
/// many bytes as its first word says.
pub(crate) unsafe fn sized<T: Copy>(options: *const T) -> Result<T, Errno> {
    // SAFETY: the caller says that zeroes are a value.
    let mut known = unsafe { std::mem::zeroed::<T>() };
    if options.is_null() {
        return Ok(known);
    }
    // SAFETY: forwarded from the caller; a caller's struct need not be aligned as ours is.
    let size = unsafe { options.cast::<usize>().read_unaligned() };
    if size < size_of::<usize>() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: forwarded from the caller.
    let given = unsafe { std::slice::from_raw_parts(options.cast::<u8>(), size) };
    let (mine, rest) = given.split_at(size.min(size_of::<T>()));
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: both are at least as long, and the copy is ours.
    unsafe { std::ptr::copy_nonoverlapping(mine.as_ptr(), (&raw mut known).cast(), mine.len()) };
    Ok(known)
}

/// Writes a text and a NUL into a buffer that C lends, and says how long the text is.
///
/// # Safety
///
/// As [`bytes_mut`], for the call.
pub(crate) unsafe fn put_text(text: &[u8], buf: *mut std::ffi::c_char, size: usize) -> Result<i32, Errno> {
    if buf.is_null() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: forwarded from the caller.
    let buf = unsafe { bytes_mut(buf.cast(), size) }?;
    let (place, nul) = buf.split_at_mut_checked(text.len()).ok_or(Errno(libc::ENOSPC))?;
    *nul.first_mut().ok_or(Errno(libc::ENOSPC))? = 0;
    place.copy_from_slice(text);
    Ok(text.len() as i32)
}
