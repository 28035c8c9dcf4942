//! What comes by a descriptor of the driver's own.

use crate::sys::{Errno, Fd, Kernel, portable};

/// What comes by a descriptor of the driver's own, which decides how it is asked for, and whether it may be received before
/// that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carries {
    /// A stream of bytes and nothing else.
    Bytes,
    /// A stream of bytes that may have descriptors with them, which who receives the bytes alone would lose.
    BytesAndDescriptors,
    /// Messages, each of which is received whole and by itself.
    Messages,
    /// A pipe's bytes, by no socket.
    PipedBytes,
}

impl Carries {
    /// What comes by that socket.
    ///
    /// # Errors
    ///
    /// `EBADF`, `ENOTSOCK`.
    pub fn of<K: Kernel>(kernel: &K, fd: Fd) -> Result<Carries, Errno> {
        let option = |name| kernel.getsockopt(fd, libc::SOL_SOCKET, name);
        Ok(match (option(libc::SO_TYPE)?, option(portable::SO_DOMAIN)?) {
            (libc::SOCK_STREAM, libc::AF_UNIX) => Carries::BytesAndDescriptors,
            (libc::SOCK_STREAM, _) => Carries::Bytes,
            _ => Carries::Messages,
        })
    }
}
