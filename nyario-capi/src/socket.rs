//! Sockets.

use crate::boundary::{bytes, bytes_mut, guard, on_loop};
use libc::{msghdr, sockaddr, ssize_t};
use nyario_core::net;
use nyario_core::sys::{Errno, Kernel, Linux, check};
use std::ffi::{c_int, c_void};

/// Accepts a connection from a listening socket that is not registered. Its peer's address goes to `addr`, which has
/// room for `*len` bytes (a socklen_t), and its length to `*len`; both may be NULL. The descriptor is close-on-exec;
/// nyario_close ends it, and once nyario_read has been called on it, only nyario must read it. Suspends the fiber.
///
/// Returns the descriptor, or -EBADF (also when the descriptor is closed meanwhile), -ENOTSOCK, -EINVAL for a socket that
/// does not listen, -ECONNABORTED, -EMFILE, -ENFILE, -ENOMEM, -ECANCELED, -ETIMEDOUT. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_accept(server: c_int, addr: *mut sockaddr, len: *mut u32) -> c_int {
    on_loop(|looped| {
        let peer = match (addr.is_null(), len.is_null()) {
            (true, _) => None,
            (false, true) => return Err(Errno(libc::EINVAL)),
            (false, false) => Some((addr.cast(), len)),
        };
        // SAFETY: the caller lends both places for the call.
        unsafe { net::accept(looped, server, peer) }
    })
}

/// Connects a socket to an address in the kernel's form; nyario_dial does it by text. The address is borrowed until the
/// call returns. Suspends the fiber until the peer has accepted or refused.
///
/// Returns 0, or -EINVAL, -EBADF (also when the descriptor is closed meanwhile), -ENOTSOCK, -ECONNREFUSED, -EISCONN,
/// -EALREADY, -ENOENT, -ENETUNREACH, -EHOSTUNREACH, -EAFNOSUPPORT, -ETIMEDOUT, -ECANCELED. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_connect(fd: c_int, addr: *const sockaddr, len: u32) -> c_int {
    // SAFETY: the caller lends the address for the call.
    on_loop(|looped| unsafe { net::connect(looped, fd, addr.cast(), len) }.map(|()| 0))
}

/// Receives once from a socket: a part of a stream, or one message, of which what does not fit is lost. `flags` are
/// those of recv(2). With MSG_DONTWAIT it does not suspend; with MSG_WAITALL, on a stream, it goes on until the buffer
/// is full, the end or an error (MSG_PEEK beside it waits for the first byte only). The buffer is borrowed until the call
/// returns. Suspends the fiber until there is something.
///
/// Returns the number of bytes, 0 at the end of a stream, or -EAGAIN under MSG_DONTWAIT, -ENOTSOCK, -EBADF (also when
/// the descriptor is closed meanwhile), -EINVAL, -ENOTCONN, -ECONNRESET, -ECANCELED, -ETIMEDOUT past the fiber's
/// deadline, or another error of recv(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_recv(fd: c_int, buf: *mut c_void, len: usize, flags: c_int) -> ssize_t {
    on_loop(|looped| {
        // SAFETY: the caller lends the buffer for the call.
        let buf = unsafe { bytes_mut(buf, len) }?;
        net::recv(looped, fd, buf, flags).map(|count| count as ssize_t)
    })
}

/// Sends all of `len` bytes on a socket, like a blocking one would: on a stream, or as one message. `flags` are those of
/// send(2); with MSG_DONTWAIT it does not suspend and sends what finds room. The buffer is borrowed until the call
/// returns. Raises no SIGPIPE. Suspends the fiber when the socket cannot take everything at once.
///
/// Returns `len`; fewer when it failed or was cancelled after a part was sent (the next call tells why), or under
/// MSG_DONTWAIT; or -EAGAIN under MSG_DONTWAIT, -ENOTSOCK, -EPIPE, -EMSGSIZE, -EBADF (also when the descriptor is closed
/// meanwhile), -EINVAL, -ENOTCONN, -ECONNRESET, -ECANCELED, -ETIMEDOUT past the fiber's deadline, or another error of
/// send(2). Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_send(fd: c_int, buf: *const c_void, len: usize, flags: c_int) -> ssize_t {
    on_loop(|looped| {
        // SAFETY: the caller lends the buffer for the call.
        let buf = unsafe { bytes(buf, len) }?;
        net::send(looped, fd, buf, flags).map(|count| count as ssize_t)
    })
}

/// Like nyario_recv, and tells who sent it: the sender's address goes to `addr`, which has room for `*addr_len` bytes (a
/// socklen_t), and its length to `*addr_len` (0 on a connected stream). `addr` may be NULL. Suspends the fiber.
///
/// Returns what nyario_recv does, and -EINVAL for an `addr` without its length. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_recvfrom(
    fd: c_int,
    buf: *mut c_void,
    len: usize,
    flags: c_int,
    addr: *mut sockaddr,
    addr_len: *mut u32,
) -> ssize_t {
    on_loop(|looped| {
        // SAFETY: the caller lends the buffer for the call.
        let buf = unsafe { bytes_mut(buf, len) }?;
        let count = match (addr.is_null(), addr_len.is_null()) {
            (true, _) => net::recv(looped, fd, buf, flags),
            (false, true) => Err(Errno(libc::EINVAL)),
            // SAFETY: the caller lends both places for the call.
            (false, false) => unsafe { net::recvfrom(looped, fd, buf, flags, (addr.cast(), addr_len)) },
        };
        count.map(|count| count as ssize_t)
    })
}

/// Like nyario_send, to an address in the kernel's form, which is borrowed until the call returns; NULL for the peer
/// that the socket is connected to. Suspends the fiber when there is no room, also for as long as the inbox of a unix
/// datagram socket is full.
///
/// Returns what nyario_send does, and -EDESTADDRREQ, -ENETUNREACH, -EHOSTUNREACH, -ENOENT, -ECONNREFUSED, -EACCES,
/// -EISCONN. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_sendto(
    fd: c_int,
    buf: *const c_void,
    len: usize,
    flags: c_int,
    addr: *const sockaddr,
    addr_len: u32,
) -> ssize_t {
    on_loop(|looped| {
        // SAFETY: the caller lends the buffer and the address for the call.
        let buf = unsafe { bytes(buf, len) }?;
        let count = match addr.is_null() {
            true => net::send(looped, fd, buf, flags),
            // SAFETY: as above.
            false => unsafe { net::sendto(looped, fd, buf, flags, (addr.cast(), addr_len)) },
        };
        count.map(|count| count as ssize_t)
    })
}

/// Like nyario_recv, into several buffers, with the sender's address and control data, as recvmsg(2) fills them in.
/// Descriptors that come with a message are close-on-exec. The message and what it leads to are borrowed until the
/// call returns. Suspends the fiber until there is something.
///
/// Returns what nyario_recv does, and -EINVAL for NULL, -EMSGSIZE for more than 1024 buffers. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_recvmsg(fd: c_int, msg: *mut msghdr, flags: c_int) -> ssize_t {
    on_loop(|looped| {
        if msg.is_null() {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: the caller lends the message and what it leads to for the call.
        unsafe { net::recvmsg(looped, fd, msg, flags) }.map(|count| count as ssize_t)
    })
}

/// Like nyario_send, from several buffers, to the address and with the control data that the message names; the control
/// data goes with the first byte. The message and what it leads to are borrowed until the call returns. Suspends the
/// fiber like nyario_sendto.
///
/// Returns what nyario_sendto does, and -EINVAL for NULL, -EMSGSIZE for more than 1024 buffers. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_sendmsg(fd: c_int, msg: *const msghdr, flags: c_int) -> ssize_t {
    on_loop(|looped| {
        if msg.is_null() {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: the caller lends the message and what it leads to for the call.
        unsafe { net::sendmsg(looped, fd, msg, flags) }.map(|count| count as ssize_t)
    })
}

/// Ends one direction of a connection, or both: `how` is SHUT_RD, SHUT_WR or SHUT_RDWR. Fibers that wait on it see what
/// comes of that: the end, or -EPIPE. Does not suspend.
///
/// Returns 0, or -EBADF, -ENOTSOCK, -ENOTCONN, -EINVAL. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_shutdown(fd: c_int, how: c_int) -> c_int {
    guard(|| check(Linux.shutdown(fd, how)))
}
