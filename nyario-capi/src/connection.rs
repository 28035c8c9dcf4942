//! Connections.

use crate::boundary::{bytes, bytes_mut, guard, keeping_errno, on_loop, text};
use libc::ssize_t;
use nyario_core::net::{self, Address};
use nyario_core::sys::{Errno, Linux};
use std::ffi::{c_char, c_int, c_void};
use std::io::Write;

/// Opens a connection to `address` (see nyario_listen; there is no `*` to connect to). A host that goes by a name is
/// looked up as nyario_getaddrinfo does, and its addresses are tried in turn until one answers. The descriptor is
/// close-on-exec and non-blocking; nyario_close ends it, and once nyario_read has been called on it, only nyario
/// must read it. Suspends the fiber.
///
/// Returns the descriptor, or -EINVAL, -ENAMETOOLONG, -ECONNREFUSED, -ENOENT, -ENETUNREACH, -EHOSTUNREACH,
/// -ETIMEDOUT, -EMFILE, -ENFILE, -ENOMEM, -ECANCELED, and for a name NYARIO_EAI_NONAME and the other NYARIO_EAI_*. Since
/// 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_dial(address: *const c_char) -> c_int {
    // SAFETY: the caller lends a C string for the call.
    keeping_errno(|| on_loop(|looped| net::dial(looped, unsafe { text(address) }?)))
}

/// Reads up to `len` bytes into `buf` from a socket, pipe, terminal or file: at least one unless the end is reached
/// or `len` is 0. The buffer is borrowed until the call returns. Suspends the fiber until there is something.
///
/// Returns the number of bytes, 0 at the end, or -EBADF (also when the descriptor is closed meanwhile), -EINVAL,
/// -ECONNRESET, -ECANCELED, -ETIMEDOUT past the fiber's deadline, or another error of read(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_read(fd: c_int, buf: *mut c_void, len: usize) -> ssize_t {
    // SAFETY: the caller lends the buffer for the call.
    on_loop(|looped| net::read(looped, fd, unsafe { bytes_mut(buf, len) }?).map(|count| count as ssize_t))
}

/// Writes all of `len` bytes, like a blocking descriptor would. The buffer is borrowed until the call returns. Raises
/// no SIGPIPE on sockets. Suspends the fiber when the descriptor cannot take everything at once.
///
/// Returns `len`; fewer when it failed or was cancelled after a part was written (the next call tells why); or -EPIPE,
/// -EBADF (also when the descriptor is closed meanwhile), -EINVAL, -ECONNRESET, -ECANCELED, -ETIMEDOUT past the fiber's
/// deadline, or another error of write(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_write(fd: c_int, buf: *const c_void, len: usize) -> ssize_t {
    // SAFETY: the caller lends the buffer for the call.
    on_loop(|looped| net::write(looped, fd, unsafe { bytes(buf, len) }?).map(|count| count as ssize_t))
}

/// Closes a descriptor. Every fiber that waits on it is woken with -EBADF, and the number becomes free when the last
/// of them has let go; until then the call suspends.
///
/// Returns 0, or -EBADF, -EIO. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_close(fd: c_int) -> c_int {
    on_loop(|looped| net::close(looped, fd).map(|()| 0))
}

/// Writes the address that a socket is bound to into `buf`, in the form that nyario_listen takes and with a NUL
/// behind it: how to learn the port when the kernel chose it. Does not suspend.
///
/// Returns the length without the NUL, or -EINVAL for NULL, -ENOSPC when `size` bytes do not hold it, -EBADF,
/// -ENOTSOCK, -EAFNOSUPPORT. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_address(fd: c_int, buf: *mut c_char, size: usize) -> c_int {
    // SAFETY: the caller lends the buffer for the call.
    guard(|| unsafe { tell(Address::of_socket(&Linux, fd), buf, size) })
}

/// Writes the address of the peer that a socket is connected to into `buf`, in the form of nyario_address; it is empty for a
/// unix socket that has none, as most clients have. Does not suspend.
///
/// Returns the length without the NUL, or -EINVAL for NULL, -ENOSPC when `size` bytes do not hold it, -EBADF,
/// -ENOTSOCK, -ENOTCONN, -EAFNOSUPPORT. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_peer(fd: c_int, buf: *mut c_char, size: usize) -> c_int {
    // SAFETY: the caller lends the buffer for the call.
    guard(|| unsafe { tell(Address::of_peer(&Linux, fd), buf, size) })
}

/// Writes an address as text.
///
/// # Safety
///
/// `buf` must be NULL or valid for writes of `size` bytes.
unsafe fn tell(address: Result<Address, Errno>, buf: *mut c_char, size: usize) -> Result<c_int, Errno> {
    if buf.is_null() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: forwarded from the caller.
    let mut buf = unsafe { bytes_mut(buf.cast(), size) }?;
    let address = address?.to_string();
    write!(buf, "{address}\0").map_err(|_| Errno(libc::ENOSPC))?;
    Ok(address.len() as c_int)
}
