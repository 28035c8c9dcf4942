//! Descriptors that go from one process to another over a unix socket.

use super::message::{recvmsg, sendmsg};
use crate::fiber::Loop;
use crate::sys::{Errno, Fd, Kernel, portable};

/// Control data with room for one descriptor, aligned as its header is.
#[repr(C, align(8))]
struct Control([u8; 32]);

// SAFETY: computed from the size alone.
const SPACE: usize = unsafe { libc::CMSG_SPACE(size_of::<Fd>() as u32) } as usize;

const _: () = assert!(SPACE <= size_of::<Control>());

/// A message of one byte, and control data.
fn message(part: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: a msghdr of zeroes is one without address, vectors and control data.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    (msg.msg_iov, msg.msg_iovlen) = (part, 1);
    (msg.msg_control, msg.msg_controllen) = (control.0.as_mut_ptr().cast(), SPACE as _);
    msg
}

/// Sockets of other families overlook descriptors without a word.
fn must_be_unix<K: Kernel>(looped: &Loop<K>, over: Fd) -> Result<(), Errno> {
    match looped.kernel().getsockopt(over, libc::SOL_SOCKET, portable::SO_DOMAIN)? {
        libc::AF_UNIX => Ok(()),
        _ => Err(Errno(libc::EOPNOTSUPP)),
    }
}

/// Sends a descriptor over a unix socket, with a byte of zero that it goes with. The peer gets one of its own, of the same
/// file; ours stays open. Suspends the fiber when there is no room.
///
/// # Errors
///
/// `EBADF` when either is not open, `ENOTSOCK`, `EOPNOTSUPP` for a socket of another family, `EPIPE`, `ETOOMANYREFS`,
/// `ECANCELED`, `ETIMEDOUT`.
pub fn send_fd<K: Kernel>(looped: &Loop<K>, over: Fd, passed: Fd) -> Result<(), Errno> {
    must_be_unix(looped, over)?;
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut control = Control([0; 32]);
    let msg = message(&mut part, &mut control);
    // SAFETY: the control data has room for a header and a descriptor, and everything outlives the call.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&msg);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<Fd>() as u32) as _;
        libc::CMSG_DATA(header).cast::<Fd>().write_unaligned(passed);
        sendmsg(looped, over, &msg, 0).map(drop)
    }
}

/// Receives a descriptor that came over a unix socket, and the byte that it came with. It is close-on-exec, and the
/// caller's to close. Suspends the fiber until there is something.
///
/// # Errors
///
/// `ENODATA` at the end of the stream, `ENOMSG` when the byte came with no descriptor; it is used up. `EMFILE` when the
/// process may have no more, so that it was lost. `EBADF`, `ENOTSOCK`, `EOPNOTSUPP`, `ECONNRESET`, `ECANCELED`, `ETIMEDOUT`.
pub fn recv_fd<K: Kernel>(looped: &Loop<K>, over: Fd) -> Result<Fd, Errno> {
    must_be_unix(looped, over)?;
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut control = Control([0; 32]);
    let mut msg = message(&mut part, &mut control);
    // SAFETY: everything outlives the call.
    let count = unsafe { recvmsg(looped, over, &mut msg, 0) }?;
    // SAFETY: the kernel has filled in as much of the control data as the message says.
    let passed = unsafe {
        let header = libc::CMSG_FIRSTHDR(&msg);
        let rights = |header: &libc::cmsghdr| {
            (header.cmsg_level, header.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS)
                && header.cmsg_len >= libc::CMSG_LEN(size_of::<Fd>() as u32) as _
        };
        header.as_ref().filter(|header| rights(header)).map(|_| libc::CMSG_DATA(header).cast::<Fd>().read_unaligned())
    };
    match passed {
        Some(fd) => Ok(fd),
        None if count == 0 => Err(Errno(portable::ENODATA)),
        None if msg.msg_flags & libc::MSG_CTRUNC != 0 => Err(Errno(libc::EMFILE)),
        None => Err(Errno(libc::ENOMSG)),
    }
}
