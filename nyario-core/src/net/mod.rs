//! Sockets by address: listening, dialling, and whole reads and writes.

mod address;
mod names;

pub use address::Address;
pub use names::{Found, Hints, getaddrinfo, getnameinfo};

use crate::driver::Op;
use crate::fiber::Loop;
use crate::sys::{Errno, Fd, Kernel, check};

/// The longest queue of connections that wait to be accepted; the kernel caps it (`net.core.somaxconn`).
const BACKLOG: i32 = 65_535;

/// How long to wait before another try at a unix socket whose backlog is full: the kernel has no event for it.
const RETRY_NANOS: u64 = 1_000_000;

/// Opens a listening socket, close-on-exec. A TCP one reuses its address and sends without delay (its connections
/// inherit that); a unix one takes the place of a dead server's leftover, but not of a living server.
///
/// # Errors
///
/// `EINVAL` for text that is no address, and the kernel's own: `EADDRINUSE`, `EACCES`, `EMFILE`, ...
pub fn listen<K: Kernel>(kernel: &K, address: &str) -> Result<Fd, Errno> {
    let address = Address::parse(address)?;
    let fd = open(kernel, &address, 0)?;
    let listening = || {
        if address.is_inet() {
            check(kernel.setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1))?;
            check(kernel.setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1))?;
        }
        let bound = bind(kernel, fd, &address);
        if bound == Err(Errno(libc::EADDRINUSE)) && is_leftover(kernel, &address) {
            address.with_path(|path| {
                // SAFETY: the path ends with a NUL.
                unsafe { kernel.unlink(path.as_ptr()) };
            });
            bind(kernel, fd, &address)?;
        } else {
            bound?;
        }
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

fn open<K: Kernel>(kernel: &K, address: &Address, flags: i32) -> Result<Fd, Errno> {
    check(kernel.socket(address.family(), libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags, 0))
}

fn bind<K: Kernel>(kernel: &K, fd: Fd, address: &Address) -> Result<(), Errno> {
    // SAFETY: the address outlives the call.
    address.with_raw(|addr, len| check(unsafe { kernel.bind(fd, addr, len) }).map(drop))
}

/// Whether nobody answers at a unix address that is taken.
fn is_leftover<K: Kernel>(kernel: &K, address: &Address) -> bool {
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
    let Ok(fd) = open(kernel, address, libc::SOCK_NONBLOCK) else { return false };
    // SAFETY: the address outlives the call.
    let refused = address.with_raw(|addr, len| unsafe { kernel.connect(fd, addr, len) }) == -libc::ECONNREFUSED;
    kernel.close(fd);
    refused
}

/// Opens a connection. Suspends the fiber until the peer has accepted or refused.
///
/// # Errors
///
/// `EINVAL` for text that is no address, `ECONNREFUSED` and the network's other answers, `ECANCELED`, `ETIMEDOUT`.
pub fn connect<K: Kernel>(looped: &Loop<K>, address: &str) -> Result<Fd, Errno> {
    let kernel = looped.kernel();
    let address = Address::parse(address)?;
    let fd = open(kernel, &address, libc::SOCK_NONBLOCK)?;
    let connected = || {
        if address.is_inet() {
            check(kernel.setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1))?;
        }
        looped.opened(fd, true)?;
        loop {
            // SAFETY: the address lives until the call returns.
            let result = address.with_raw(|addr, len| unsafe { looped.perform(Op::Connect { fd, addr, len }) });
            if result != -libc::EAGAIN {
                return check(result);
            }
            looped.sleep(RETRY_NANOS)?;
        }
    };
    match connected() {
        Ok(_) => Ok(fd),
        Err(error) => {
            close(looped, fd).ok();
            Err(error)
        }
    }
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
    let mut written = 0;
    loop {
        let rest = &buf[written..];
        // SAFETY: the buffer is borrowed until the call returns.
        let result = unsafe { looped.perform(Op::Write { fd, buf: rest.as_ptr(), len: rest.len() }) };
        match check(result) {
            Ok(count) => written += count as usize,
            Err(error) if written > 0 => {
                if error.0 == libc::ECANCELED {
                    looped.cancel_later();
                }
                return Ok(written);
            }
            Err(error) => return Err(error),
        }
        if written >= buf.len() {
            return Ok(written);
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
