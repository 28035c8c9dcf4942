//! Socket calls with flags, addresses and control data.

use super::vector::{BUFFERS_MAX, Rest, total};
use super::{RETRY_NANOS, whole};
use crate::driver::Op;
use crate::fiber::Loop;
use crate::sys::{Errno, Fd, Kernel, check, portable};
use std::ffi::c_void;

/// What the kernel keeps apart from the bytes, and answers at once whether or not the socket blocks.
const APART: i32 = libc::MSG_OOB | portable::MSG_ERRQUEUE;

/// Receives once from a socket: a part of a stream, or one message, of which what does not fit is lost.
///
/// `flags` are those of `recv(2)`. With `MSG_DONTWAIT` it does not suspend, and says `EAGAIN`. With `MSG_WAITALL` it
/// goes on, on a stream, until the buffer is full; `MSG_PEEK` beside it waits for the first byte alone.
///
/// # Errors
///
/// `ENOTSOCK`, the kernel's own, `ECANCELED`, `ETIMEDOUT`, and `EBADF` when the descriptor is closed meanwhile.
pub fn recv<K: Kernel>(looped: &Loop<K>, fd: Fd, buf: &mut [u8], flags: i32) -> Result<usize, Errno> {
    let base = buf.as_mut_ptr();
    let once = |at: usize, flags: i32| {
        let (buf, len) = (base.wrapping_add(at), buf.len() - at);
        // SAFETY: the buffer is borrowed until the call returns.
        unsafe {
            match flags {
                0 => looped.perform(Op::Recv { fd, buf, len }),
                apart if apart & APART != 0 => looped.kernel().recv(fd, buf, len, apart | libc::MSG_DONTWAIT) as i32,
                now if now & libc::MSG_DONTWAIT != 0 => looped.attempt(Op::RecvWith { fd, buf, len, flags }),
                flags => looped.perform(Op::RecvWith { fd, buf, len, flags }),
            }
        }
    };
    if waits_for_all(looped, fd, flags) {
        return whole(looped, fd, buf.len(), |have| once(have, flags & !libc::MSG_WAITALL));
    }
    check(once(0, flags & !libc::MSG_WAITALL)).map(|count| count as usize)
}

/// Whether the call is to go on until everything is there: a message is never more than it is.
fn waits_for_all<K: Kernel>(looped: &Loop<K>, fd: Fd, flags: i32) -> bool {
    const ONCE: i32 = libc::MSG_PEEK | libc::MSG_DONTWAIT | APART;
    flags & libc::MSG_WAITALL != 0
        && flags & ONCE == 0
        && looped.kernel().getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE) == Ok(libc::SOCK_STREAM)
}

/// Sends everything on a socket, as a blocking one would: a part of a stream, or one message. Raises no SIGPIPE.
///
/// `flags` are those of `send(2)`. With `MSG_DONTWAIT` it does not suspend: it sends what finds room, or says `EAGAIN`.
///
/// # Errors
///
/// As [`recv`], and `EPIPE`, `EMSGSIZE`. When a part was sent before the failure, its length is returned instead, and the
/// next call fails.
pub fn send<K: Kernel>(looped: &Loop<K>, fd: Fd, bytes: &[u8], flags: i32) -> Result<usize, Errno> {
    let once = |at: usize| {
        let (buf, len) = (bytes[at..].as_ptr(), bytes.len() - at);
        // SAFETY: the buffer is borrowed until the call returns.
        unsafe {
            match flags {
                0 => looped.perform(Op::Send { fd, buf, len }),
                now if now & libc::MSG_DONTWAIT != 0 => looped.attempt(Op::SendWith { fd, buf, len, flags }),
                flags => looped.perform(Op::SendWith { fd, buf, len, flags }),
            }
        }
    };
    if flags & libc::MSG_DONTWAIT != 0 {
        return check(once(0)).map(|count| count as usize);
    }
    whole(looped, fd, bytes.len(), once)
}

/// Like [`recv`], and writes the sender's address to the first place of `from`, which has as much room as the second
/// says, and its length to the second: 0 where messages have no sender of their own, as on a connected stream.
///
/// # Errors
///
/// As [`recv`].
///
/// # Safety
///
/// Both places of `from` must be valid for that.
pub unsafe fn recvfrom<K: Kernel>(
    looped: &Loop<K>,
    fd: Fd,
    buf: &mut [u8],
    flags: i32,
    from: (*mut c_void, *mut u32),
) -> Result<usize, Errno> {
    let mut part = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    let (addr, len) = from;
    // SAFETY: the buffer is borrowed until the call returns, and the rest is forwarded from the caller.
    unsafe {
        let mut msg = header(&mut part, addr, *len);
        let count = recvmsg(looped, fd, &mut msg, flags)?;
        *len = msg.msg_namelen;
        Ok(count)
    }
}

/// Like [`send`], to an address in the kernel's form.
///
/// # Errors
///
/// As [`send`], and what the network has to say of the address.
///
/// # Safety
///
/// `addr` must lead to `len` bytes.
pub unsafe fn sendto<K: Kernel>(
    looped: &Loop<K>,
    fd: Fd,
    bytes: &[u8],
    flags: i32,
    to: (*const c_void, u32),
) -> Result<usize, Errno> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let msg = header(&mut part, to.0.cast_mut(), to.1);
    // SAFETY: the buffer is borrowed until the call returns, and the rest is forwarded from the caller.
    unsafe { sendmsg(looped, fd, &msg, flags) }
}

/// A message of one buffer, without control data.
fn header(part: &mut libc::iovec, addr: *mut c_void, len: u32) -> libc::msghdr {
    // SAFETY: a msghdr of zeroes is one without address, vectors and control data.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_name = addr;
    msg.msg_namelen = len;
    msg.msg_iov = part;
    msg.msg_iovlen = 1;
    msg
}

/// Like [`recv`], into several buffers, with the sender's address and control data, all of it filled in as by
/// `recvmsg(2)`. Descriptors that come with it are close-on-exec.
///
/// # Errors
///
/// As [`recv`], and `EMSGSIZE` for more than 1024 buffers.
///
/// # Safety
///
/// The message and what it leads to must be valid until the call returns.
pub unsafe fn recvmsg<K: Kernel>(looped: &Loop<K>, fd: Fd, msg: *mut libc::msghdr, flags: i32) -> Result<usize, Errno> {
    // SAFETY: forwarded from the caller, as are all uses of the message below.
    let (iov, control) = unsafe { (buffers(msg)?, ((*msg).msg_control, (*msg).msg_controllen)) };
    let flags = flags | portable::MSG_CMSG_CLOEXEC;
    let once = |msg: *mut libc::msghdr| {
        let flags = flags & !libc::MSG_WAITALL;
        // SAFETY: as above.
        unsafe {
            match flags {
                apart if apart & APART != 0 => looped.kernel().recvmsg(fd, msg, apart | libc::MSG_DONTWAIT) as i32,
                now if now & libc::MSG_DONTWAIT != 0 => looped.attempt(Op::RecvMsg { fd, msg, flags }),
                flags => looped.perform(Op::RecvMsg { fd, msg, flags }),
            }
        }
    };
    let wanted = if waits_for_all(looped, fd, flags) { total(iov) } else { 0 };
    whole(looped, fd, wanted, |have| {
        if have == 0 {
            return once(msg);
        }
        // SAFETY: as above.
        let header = unsafe { &mut *msg };
        if header.msg_controllen > 0 {
            // Control data belongs to the bytes that it came with, so they end here.
            return 0;
        }
        let rest = Rest::of(iov, have);
        let mut next = *header;
        (next.msg_name, next.msg_namelen) = (std::ptr::null_mut(), 0);
        next.msg_iov = rest.as_slice().as_ptr().cast_mut();
        next.msg_iovlen = rest.as_slice().len() as _;
        (next.msg_control, next.msg_controllen) = control;
        let result = once(&mut next);
        if result >= 0 {
            (header.msg_controllen, header.msg_flags) = (next.msg_controllen, next.msg_flags);
        }
        result
    })
}

/// Like [`send`], from several buffers, to the address and with the control data that the message names. The control
/// data goes with the first byte.
///
/// # Errors
///
/// As [`sendto`], and `EMSGSIZE` for more than 1024 buffers.
///
/// # Safety
///
/// The message and what it leads to must be valid until the call returns.
pub unsafe fn sendmsg<K: Kernel>(
    looped: &Loop<K>,
    fd: Fd,
    msg: *const libc::msghdr,
    flags: i32,
) -> Result<usize, Errno> {
    // SAFETY: forwarded from the caller.
    let (iov, named_unix) = unsafe { (buffers(msg)?, names_unix(&*msg)) };
    let once = |msg: *const libc::msghdr| {
        let op = Op::SendMsg { fd, msg, flags };
        // SAFETY: as above.
        unsafe { if named_unix || flags & libc::MSG_DONTWAIT != 0 { looped.attempt(op) } else { looped.perform(op) } }
    };
    if flags & libc::MSG_DONTWAIT != 0 {
        return check(once(msg)).map(|count| count as usize);
    }
    if named_unix {
        // A full inbox of somebody whom it is not connected to: the kernel has no event for it.
        let life = looped.life(fd);
        loop {
            let result = once(msg);
            if result != -libc::EAGAIN {
                return check(result).map(|count| count as usize);
            }
            looped.sleep(RETRY_NANOS)?;
            if looped.life(fd) != life {
                return Err(Errno(libc::EBADF));
            }
        }
    }
    whole(looped, fd, total(iov), |sent| {
        if sent == 0 {
            return once(msg);
        }
        let rest = Rest::of(iov, sent);
        // SAFETY: a msghdr of zeroes is one without address, vectors and control data.
        let mut next: libc::msghdr = unsafe { std::mem::zeroed() };
        next.msg_iov = rest.as_slice().as_ptr().cast_mut();
        next.msg_iovlen = rest.as_slice().len() as _;
        once(&next)
    })
}

/// The buffers of a message.
///
/// # Safety
///
/// The message and what it leads to must be valid for the lifetime that the caller gives them.
unsafe fn buffers<'a>(msg: *const libc::msghdr) -> Result<&'a [libc::iovec], Errno> {
    // SAFETY: forwarded from the caller.
    unsafe {
        let count: usize = (*msg).msg_iovlen as _;
        match (*msg).msg_iov {
            _ if count == 0 => Ok(&[]),
            _ if count > BUFFERS_MAX => Err(Errno(libc::EMSGSIZE)),
            iov if iov.is_null() => Err(Errno(libc::EINVAL)),
            iov => Ok(std::slice::from_raw_parts(iov, count)),
        }
    }
}

/// Whether a message names a unix socket that it is to go to.
///
/// # Safety
///
/// As [`buffers`].
unsafe fn names_unix(msg: &libc::msghdr) -> bool {
    let named = !msg.msg_name.is_null() && msg.msg_namelen as usize >= size_of::<libc::sa_family_t>();
    // SAFETY: every address begins with its family.
    named && unsafe { msg.msg_name.cast::<libc::sa_family_t>().read_unaligned() } == libc::AF_UNIX as libc::sa_family_t
}
