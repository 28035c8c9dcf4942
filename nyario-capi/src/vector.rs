//! Several buffers at once.

use crate::boundary::on_loop;
use libc::{iovec, ssize_t};
use nyario_core::net;
use nyario_core::sys::Errno;
use std::ffi::c_int;

/// The buffers that C lends.
///
/// # Safety
///
/// `iov` must be NULL or lead to `count` buffers for the lifetime that the caller gives them.
unsafe fn buffers<'a>(iov: *const iovec, count: c_int) -> Result<&'a [iovec], Errno> {
    match (iov.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) | (_, ..0) => Err(Errno(libc::EINVAL)),
        // SAFETY: forwarded from the caller.
        (false, count) => Ok(unsafe { std::slice::from_raw_parts(iov, count as usize) }),
    }
}

/// Like nyario_read, into several buffers, each of which is filled before the next; at most 1024. They are borrowed
/// until the call returns. Suspends the fiber until there is something.
///
/// Returns the number of bytes, 0 at the end, or -EINVAL for NULL or another number of buffers, and what nyario_read
/// does. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_readv(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller lends the buffers for the call.
    on_loop(|looped| unsafe { net::readv(looped, fd, buffers(iov, count)?) }.map(|count| count as ssize_t))
}

/// Like nyario_write, from several buffers, at most 1024: writes all of them. They are borrowed until the call returns.
/// Suspends the fiber when the descriptor cannot take everything at once.
///
/// Returns the number of bytes in all of them; fewer when it failed or was cancelled after a part was written (the next
/// call tells why); or -EINVAL for NULL or another number of buffers, and what nyario_write does. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_writev(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller lends the buffers for the call.
    on_loop(|looped| unsafe { net::writev(looped, fd, buffers(iov, count)?) }.map(|count| count as ssize_t))
}
