//! Sockets: listening and dialling by address, accepting and connecting, whole reads and writes, messages.

mod address;
mod datagram;
mod message;
mod names;
mod pairs;
mod passing;
mod poll;
mod transfer;
mod vector;

pub use address::Address;
pub use datagram::datagram;
pub use message::{recv, recvfrom, recvmsg, send, sendmsg, sendto};
pub use names::{Found, Hints, dial, getaddrinfo, getnameinfo, is_name, look_up, look_up_text, resolve};
pub use pairs::{pipe, socketpair};
pub use passing::{recv_fd, send_fd};
pub use poll::{Set, poll, select};
pub use transfer::{sendfile, splice};
pub use vector::{readv, writev};

use crate::driver::{Carries, Op};
use crate::fiber::Loop;
use crate::sys::{Errno, Fd, Kernel, check, portable};
use std::ffi::c_void;

/// The longest queue of connections that wait to be accepted; the kernel caps it (`net.core.somaxconn`).
const BACKLOG: i32 = 65_535;

/// How long to wait before another try at a unix socket whose backlog or inbox is full: the kernel has no event for it.
const RETRY_NANOS: u64 = 1_000_000;

/// Opens a listening socket, close-on-exec. A TCP one reuses its address and sends without delay (its connections
/// inherit that); a unix one takes the place of a dead server's leftover, but not of a living server.
///
/// # Errors
///
/// `EINVAL` for text that is no address, and the kernel's own: `EADDRINUSE`, `EACCES`, `EMFILE`, ...
pub fn listen<K: Kernel>(kernel: &K, address: &str) -> Result<Fd, Errno> {
    listen_at(kernel, &Address::parse(address)?, false)
}

/// Like [`listen`]. With `shared`, other sockets that are shared may listen at the same address, and the kernel spreads the
/// connections over them all.
///
/// # Errors
///
/// As [`listen`], and `EOPNOTSUPP` for a unix address that is to be shared.
pub fn listen_at<K: Kernel>(kernel: &K, address: &Address, shared: bool) -> Result<Fd, Errno> {
    if shared && !address.is_inet() {
        return Err(Errno(libc::EOPNOTSUPP));
    }
    let fd = open(kernel, address, libc::SOCK_STREAM)?;
    let listening = || {
        if address.is_inet() {
            check(kernel.setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1))?;
            check(kernel.setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1))?;
        }
        if shared {
            check(kernel.setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1))?;
        }
        take(kernel, fd, address, libc::SOCK_STREAM)?;
        check(kernel.listen(fd, BACKLOG))
    };
    match listening() {
        Ok(_) => Ok(fd),
        Err(error) => {
            kernel.close(fd);
            Err(error)
        }
    }
}

/// Opens a socket of that kind, with those flags, for that address.
fn open<K: Kernel>(kernel: &K, address: &Address, kind: i32) -> Result<Fd, Errno> {
    check(kernel.socket(address.family(), kind | portable::SOCK_CLOEXEC, 0))
}

/// Binds a socket of that kind, in the place of a dead one's leftover if there is one.
fn take<K: Kernel>(kernel: &K, fd: Fd, address: &Address, kind: i32) -> Result<(), Errno> {
    let bound = bind(kernel, fd, address);
    if bound != Err(Errno(libc::EADDRINUSE)) || !is_leftover(kernel, address, kind) {
        return bound;
    }
    address.with_path(|path| {
        // SAFETY: the path ends with a NUL.
        unsafe { kernel.unlink(path.as_ptr()) };
    });
    bind(kernel, fd, address)
}

fn bind<K: Kernel>(kernel: &K, fd: Fd, address: &Address) -> Result<(), Errno> {
    // SAFETY: the address outlives the call.
    address.with_raw(|addr, len| check(unsafe { kernel.bind(fd, addr, len) }).map(drop))
}

/// Whether nobody answers at a unix address that is taken.
fn is_leftover<K: Kernel>(kernel: &K, address: &Address, kind: i32) -> bool {
    if address.is_inet() {
        return false;
    }
    // A file that is no socket refuses connections too.
    let mut socket = false;
    address.with_path(|path| {
        // SAFETY: the path ends with a NUL.
        let status = unsafe { kernel.status_of_path(path.as_ptr()) };
        socket = status.is_ok_and(|status| status.kind == libc::S_IFSOCK);
    });
    if !socket {
        return false;
    }
    let Ok(fd) = open(kernel, address, kind | portable::SOCK_NONBLOCK) else { return false };
    // SAFETY: the address outlives the call.
    let refused = address.with_raw(|addr, len| unsafe { kernel.connect(fd, addr, len) }) == -libc::ECONNREFUSED;
    kernel.close(fd);
    refused
}

/// Opens a connection. Suspends the fiber until the peer has accepted or refused.
///
/// # Errors
///
/// `ECONNREFUSED` and the network's other answers, `ECANCELED`, `ETIMEDOUT`.
pub fn dial_at<K: Kernel>(looped: &Loop<K>, address: &Address) -> Result<Fd, Errno> {
    let kernel = looped.kernel();
    let fd = open(kernel, address, libc::SOCK_STREAM | portable::SOCK_NONBLOCK)?;
    let connected = || {
        if address.is_inet() {
            check(kernel.setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1))?;
        }
        let carries = if address.is_inet() { Carries::Bytes } else { Carries::BytesAndDescriptors };
        looped.opened_as(fd, true, carries)?;
        // SAFETY: the address lives until the call returns.
        address.with_raw(|addr, len| unsafe { connect(looped, fd, addr, len) })
    };
    match connected() {
        Ok(_) => Ok(fd),
        Err(error) => {
            close(looped, fd).ok();
            Err(error)
        }
    }
}

/// Connects a socket to an address in the kernel's form. Suspends the fiber until the peer has accepted or refused.
///
/// # Errors
///
/// `EINVAL` for an address without a family, `ENOTSOCK`, `ECONNREFUSED` and the network's other answers, `ECANCELED`,
/// `ETIMEDOUT`, and `EBADF` when the descriptor is closed meanwhile.
///
/// # Safety
///
/// `addr` must lead to `len` bytes, or be null.
pub unsafe fn connect<K: Kernel>(looped: &Loop<K>, fd: Fd, addr: *const c_void, len: u32) -> Result<(), Errno> {
    if addr.is_null() || (len as usize) < size_of::<libc::sa_family_t>() {
        return Err(Errno(libc::EINVAL));
    }
    loop {
        // SAFETY: forwarded from the caller.
        let result = unsafe { looped.perform(Op::Connect { fd, addr, len }) };
        if result != -libc::EAGAIN {
            return check(result).map(drop);
        }
        looped.sleep(RETRY_NANOS)?;
    }
}

/// Accepts a connection, close-on-exec; from then on it is the loop's like one that was dialled. With `peer`, writes
/// the peer's address to the first place, which has as much room as the second says, and its length to the second.
/// Suspends the fiber until there is one.
///
/// # Errors
///
/// `ENOTSOCK`, `EINVAL` for a socket that does not listen, `EMFILE`, `ENFILE`, `ECONNABORTED`, `ECANCELED`, `ETIMEDOUT`,
/// and `EBADF` when the descriptor is closed meanwhile.
///
/// # Safety
///
/// Both places of `peer` must be valid for that.
pub unsafe fn accept<K: Kernel>(
    looped: &Loop<K>,
    listener: Fd,
    peer: Option<(*mut c_void, *mut u32)>,
) -> Result<Fd, Errno> {
    let op = match peer {
        None => Op::Accept { fd: listener, multi: false },
        Some((addr, len)) => Op::AcceptFrom { fd: listener, addr, len },
    };
    // SAFETY: forwarded from the caller.
    let fd = check(unsafe { looped.perform(op) })?;
    let entered = Carries::of(looped.kernel(), fd).and_then(|carries| looped.opened_as(fd, false, carries));
    match entered {
        Ok(()) => Ok(fd),
        Err(error) => {
            close(looped, fd).ok();
            Err(error)
        }
    }
}

/// Ends one direction of a connection, or both: `how` is `SHUT_RD`, `SHUT_WR` or `SHUT_RDWR`. Does not suspend.
///
/// # Errors
///
/// `EBADF`, `ENOTSOCK`, `ENOTCONN`, `EINVAL` for another `how`.
pub fn shutdown<K: Kernel>(looped: &Loop<K>, fd: Fd, how: i32) -> Result<(), Errno> {
    check(looped.kernel().shutdown(fd, how)).map(drop)
}

/// Reads once: at least one byte, or 0 at the end.
///
/// # Errors
///
/// The kernel's own, `ECANCELED`, `ETIMEDOUT`, and `EBADF` when the descriptor is closed meanwhile.
#[inline]
pub fn read<K: Kernel>(looped: &Loop<K>, fd: Fd, buf: &mut [u8]) -> Result<usize, Errno> {
    if buf.is_empty() {
        // Nothing can be waited for; only the descriptor is looked at.
        return looped.kernel().status(fd).map(|_| 0);
    }
    // SAFETY: the buffer is borrowed until the call returns.
    let result = unsafe { looped.perform(Op::Read { fd, buf: buf.as_mut_ptr(), len: buf.len() }) };
    check(result).map(|count| count as usize)
}

/// Writes everything, as a blocking descriptor would.
///
/// # Errors
///
/// As [`read`], and `EPIPE`. When a part was written before the failure, its length is returned instead, and the next
/// write fails.
#[inline]
pub fn write<K: Kernel>(looped: &Loop<K>, fd: Fd, buf: &[u8]) -> Result<usize, Errno> {
    whole(looped, fd, buf.len(), |written| {
        let rest = &buf[written..];
        // SAFETY: the buffer is borrowed until the call returns.
        unsafe { looped.perform(Op::Write { fd, buf: rest.as_ptr(), len: rest.len() }) }
    })
}

/// Repeats a transfer, which is told how much the ones before it moved, until `len` bytes are moved or it moves none.
/// A failure after a part of them is left to the next call to tell. So is a close: between two parts another fiber runs,
/// and then the number may be another file's.
#[inline(always)]
fn whole<K: Kernel>(
    looped: &Loop<K>,
    fd: Fd,
    len: usize,
    mut transfer: impl FnMut(usize) -> i32,
) -> Result<usize, Errno> {
    let life = looped.life(fd);
    let mut moved = 0;
    loop {
        match check(transfer(moved)) {
            Ok(0) => return Ok(moved),
            Ok(count) => moved += count as usize,
            Err(error) if moved > 0 => {
                if error.0 == libc::ECANCELED {
                    looped.cancel_later();
                }
                return Ok(moved);
            }
            Err(error) => return Err(error),
        }
        if moved >= len || looped.life(fd) != life {
            return Ok(moved);
        }
    }
}

/// Closes a descriptor. Whatever waits on it fails with `EBADF`; suspends until the last of it has let go.
///
/// # Errors
///
/// `EBADF` for a descriptor that is not open, and the kernel's own.
pub fn close<K: Kernel>(looped: &Loop<K>, fd: Fd) -> Result<(), Errno> {
    // SAFETY: a close lends no memory.
    check(unsafe { looped.perform(Op::Close { fd }) }).map(drop)
}
