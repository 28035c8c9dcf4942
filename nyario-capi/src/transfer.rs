//! Bytes that go from one descriptor to another without passing through the program's memory.

use crate::boundary::on_loop;
use libc::ssize_t;
use nyario_core::net;
use nyario_core::sys::Errno;
use std::ffi::{c_int, c_uint};

/// Sends `len` bytes of the file `from` on `to`, like a blocking descriptor would: from the place that `*offset` names, which
/// moves along, or with NULL from the file's own position, which then moves. `*offset` is borrowed until the call returns.
/// The file's bytes do not pass through the program's memory. Raises no SIGPIPE. Suspends the fiber when there is no room;
/// reading the file may block the thread while it waits for the disk.
///
/// Returns how many bytes were sent: fewer than `len` at the end of the file, or when it failed or was cancelled after a part
/// was sent (the next call tells why); or -EINVAL for a negative offset or a `from` that is no file, -EPIPE, -EBADF (also
/// when `to` is closed meanwhile), -ECONNRESET, -ECANCELED, -ETIMEDOUT past the fiber's deadline, or another error of
/// sendfile(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_sendfile(to: c_int, from: c_int, offset: *mut i64, len: usize) -> ssize_t {
    on_loop(|looped| {
        // SAFETY: the caller lends the offset's place for the call.
        unsafe {
            if offset.as_ref().is_some_and(|&offset| offset < 0) {
                return Err(Errno(libc::EINVAL));
            }
            net::sendfile(looped, to, (from, offset), len).map(|count| count as ssize_t)
        }
    })
}

/// Moves up to `len` bytes from one descriptor to another, one of which is a pipe, as splice(2) does: at least one unless the
/// end is reached. A place for an offset may be given for a file that has one, and NULL stands for its own position; both
/// are borrowed until the call returns. `flags` are those of splice(2); with SPLICE_F_NONBLOCK it does not suspend. Raises
/// no SIGPIPE. Suspends the fiber until there is something to move, and room for it.
///
/// Returns the number of bytes, 0 at the end, or -EAGAIN under SPLICE_F_NONBLOCK, -EINVAL when neither is a pipe, -ESPIPE for
/// an offset of a pipe, -EPIPE, -EBADF (also when one of them is closed meanwhile), -ECONNRESET, -ECANCELED, -ETIMEDOUT past
/// the fiber's deadline, or another error of splice(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_splice(
    from: c_int,
    from_offset: *mut i64,
    to: c_int,
    to_offset: *mut i64,
    len: usize,
    flags: c_uint,
) -> ssize_t {
    // SAFETY: the caller lends the offsets' places for the call.
    let splice = |looped| unsafe { net::splice(looped, (from, from_offset), (to, to_offset), len, flags) };
    on_loop(|looped| splice(looped).map(|count| count as ssize_t))
}
