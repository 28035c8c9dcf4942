//! Descriptors that go from one process to another.

use crate::boundary::on_loop;
use nyario_core::net;
use std::ffi::c_int;

/// Sends the descriptor `passed` over the unix socket `fd`, with a byte of zero that it goes with. The peer gets a descriptor
/// of its own, of the same file; `passed` stays open here. Suspends the fiber when there is no room.
///
/// Returns 0, or -EBADF when either is not open (also when `fd` is closed meanwhile), -ENOTSOCK, -EOPNOTSUPP for a socket of
/// another family, -EPIPE, -ECONNRESET, -ETOOMANYREFS, -ECANCELED, -ETIMEDOUT past the fiber's deadline. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_send_fd(fd: c_int, passed: c_int) -> c_int {
    on_loop(|looped| net::send_fd(looped, fd, passed).map(|()| 0))
}

/// Receives a descriptor that comes over the unix socket `fd`, and the byte that it goes with. It is close-on-exec, and the
/// caller's to close. Suspends the fiber until there is something.
///
/// Returns the descriptor, or -ENODATA at the end of the stream, -ENOMSG when the next byte came without a descriptor (it is
/// used up), -EMFILE when the process may have no more (the descriptor is lost), -EBADF (also when `fd` is closed
/// meanwhile), -ENOTSOCK, -EOPNOTSUPP, -ECONNRESET, -ECANCELED, -ETIMEDOUT past the fiber's deadline. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_recv_fd(fd: c_int) -> c_int {
    on_loop(|looped| net::recv_fd(looped, fd))
}
