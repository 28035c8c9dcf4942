//! What is done at once or not at all: tries, and a look at what lies received.

use super::attempt::attempt;
use super::fds::{Kind, ready};
use super::op::{Op, Request, Side};
use super::{Backend, Driver};
use crate::sys::{Fd, Kernel};

impl<K: Kernel> Driver<K> {
    /// Carries a socket's call with flags out if that can be done at once; `-EAGAIN` when it would have to wait, or
    /// when others wait before it. What `MSG_DONTWAIT` asks for.
    ///
    /// # Safety
    ///
    /// The operation's pointers must be valid.
    pub unsafe fn attempt(&mut self, op: Op) -> i32 {
        let request = Request::new(op);
        debug_assert!(request.code.is_message());
        let fd = request.fd;
        let side = request.code.side();
        let Some(record) = self.ledger.fds.known(fd).filter(|record| record.owned) else {
            // SAFETY: forwarded from the caller. The driver holds nothing of what is not its own.
            return unsafe { attempt(&self.ledger.kernel, Kind::Socket, true, &request) };
        };
        if record.closing {
            return -libc::EBADF;
        }
        if !record.queue(side).is_empty() {
            return -libc::EAGAIN;
        }
        // Nobody has to have been told of what is there by now.
        record.ready |= if side == Side::Read { ready::READ } else { ready::WRITE };
        if !record.multishot.is_off() && self.peek(fd).is_empty() {
            self.look(Some(0));
            self.absorb();
        }
        self.try_known(&request).unwrap_or(-libc::EAGAIN)
    }

    /// Reads into `buf` if something is at hand; `-EAGAIN` otherwise. Never waits for anything but a disk, and says
    /// nothing of the future: submit [`Op::AtHand`] to be told when to ask again.
    #[inline]
    pub fn try_read(&mut self, fd: Fd, buf: &mut [u8]) -> i32 {
        self.try_now(Op::Read { fd, buf: buf.as_mut_ptr(), len: buf.len() })
    }

    /// Whether [`try_read`](Self::try_read) of a descriptor of the driver's own would say `-EAGAIN`, as far as is known without
    /// asking the kernel.
    #[inline]
    pub fn would_wait(&mut self, fd: Fd) -> bool {
        self.ledger.fds.known(fd).is_some_and(|record| record.would_wait())
    }

    /// Writes what can be written at once; `-EAGAIN` when that is nothing.
    #[inline]
    pub fn try_write(&mut self, fd: Fd, buf: &[u8]) -> i32 {
        self.try_now(Op::Write { fd, buf: buf.as_ptr(), len: buf.len() })
    }

    /// Like [`try_write`](Self::try_write), from several buffers, at most 1024.
    ///
    /// # Safety
    ///
    /// Each buffer must be valid for reads until the call returns.
    pub unsafe fn try_writev(&mut self, fd: Fd, iov: &[libc::iovec]) -> i32 {
        self.try_now(Op::Writev { fd, iov: iov.as_ptr(), count: iov.len() })
    }

    #[inline(always)]
    fn try_now(&mut self, op: Op) -> i32 {
        let request = Request::new(op);
        if let Err(error) = self.adopt(request.fd) {
            return error.result();
        }
        if self.ledger.fds.at(request.fd).kind != Kind::Socket && !self.ledger.is_same(request.fd) {
            return -libc::EAGAIN;
        }
        match self.try_known(&request) {
            // The number is no longer the socket's that it was: whoever waits for it now will be told what it is.
            Some(result) if result == -libc::ENOTSOCK && !self.ledger.is_same(request.fd) => -libc::EAGAIN,
            Some(result) => result,
            None => -libc::EAGAIN,
        }
    }

    #[inline]
    pub(super) fn try_known(&mut self, request: &Request) -> Option<i32> {
        match &mut self.backend {
            Backend::Uring(uring) => uring.try_now(&mut self.ledger, request),
            Backend::Readiness(readiness) => readiness.try_now(&mut self.ledger, request),
        }
    }

    /// Received bytes of the descriptor that wait in the driver's own memory, without using them up; they stay there
    /// until the next call of the driver. Empty on a backend that receives nothing ahead.
    #[inline]
    pub fn peek(&mut self, fd: Fd) -> &[u8] {
        match &mut self.backend {
            Backend::Uring(uring) => self.ledger.fds.known(fd).map_or(&[], |record| uring.peek(record)),
            Backend::Readiness(_) => &[],
        }
    }

    /// Uses up `count` of the bytes that [`peek`](Self::peek) showed.
    ///
    /// # Panics
    ///
    /// When `count` is more than it showed.
    #[inline]
    pub fn consume(&mut self, fd: Fd, count: usize) {
        if count > 0 {
            let Backend::Uring(uring) = &mut self.backend else { panic!("nothing was shown") };
            uring.consume(self.ledger.fds.at(fd), count);
        }
    }
}
