//! One operation without a loop: for callers that have no fiber to suspend and block their thread instead.

use super::attempt::{attempt, connect_now, connect_outcome};
use super::fds::{Kind, classify};
use super::op::{Code, Op, Request, Side};
use crate::sys::{Errno, Fd, Kernel};
use std::cell::Cell;

/// An operation to be tried until it no longer says `-EAGAIN`.
pub struct Blocking {
    request: Request,
    kind: Kind,
    nonblocking: bool,
    connecting: Cell<bool>,
}

impl Blocking {
    /// Prepares an operation on a descriptor.
    ///
    /// # Errors
    ///
    /// `EBADF` for a descriptor that is not open, `ENOTSOCK` for one that would have to be a socket, `EINVAL` for an operation that needs a loop.
    pub fn new<K: Kernel>(kernel: &K, op: Op) -> Result<Blocking, Errno> {
        let request = Request::new(op);
        if matches!(request.code, Code::Close | Code::Park | Code::AcceptMulti) {
            return Err(Errno(libc::EINVAL));
        }
        let kind = classify(kernel.status(request.fd)?);
        if request.code.needs_socket() && kind != Kind::Socket {
            return Err(Errno(libc::ENOTSOCK));
        }
        let nonblocking = kernel.flags(request.fd) & libc::O_NONBLOCK != 0;
        Ok(Blocking { request, kind, nonblocking, connecting: Cell::new(false) })
    }

    /// Tries it: its result, or `-EAGAIN` when it has to wait for [`events`](Self::events).
    ///
    /// # Safety
    ///
    /// The operation's pointers must be valid.
    pub unsafe fn attempt<K: Kernel>(&self, kernel: &K) -> i32 {
        if self.request.code != Code::Connect {
            // SAFETY: forwarded from the caller.
            return unsafe { attempt(kernel, self.kind, self.nonblocking, &self.request) };
        }
        if self.connecting.get() {
            return connect_outcome(kernel, self.request.fd);
        }
        // SAFETY: forwarded from the caller.
        let result = unsafe { connect_now(kernel, &self.request) };
        if result != -libc::EINPROGRESS {
            return result;
        }
        self.connecting.set(true);
        -libc::EAGAIN
    }

    /// Whether `-EAGAIN` means to wait for [`events`](Self::events). A unix socket whose peer's backlog is full has no
    /// event for it: the caller is told.
    pub fn waits(&self) -> bool {
        self.request.code != Code::Connect || self.connecting.get()
    }

    /// The descriptor.
    pub fn fd(&self) -> Fd {
        self.request.fd
    }

    /// The poll events that the operation waits for.
    pub fn events(&self) -> i16 {
        match self.request.code.side() {
            Side::Read => libc::POLLIN,
            Side::Write => libc::POLLOUT,
            Side::Poll => self.request.events as i16,
        }
    }
}
