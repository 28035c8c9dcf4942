//! Bytes that go from one descriptor to another without passing through memory of ours.

use super::Driver;
use super::attempt::{attempt, poll};
use super::fds::Kind;
use super::op::{Op, Request};
use crate::sys::{Fd, Kernel, portable};

/// One end of a splice: a descriptor, and the place of an offset in its file, or null for its own position.
pub type End = (Fd, *mut i64);

/// How much one try sends of a file, so that a quick reader does not keep the loop in the kernel.
const PIECE: usize = 1 << 20;

impl<K: Kernel> Driver<K> {
    /// Moves bytes between two descriptors, one of which is a pipe, without waiting: `splice(2)`, which raises no SIGPIPE
    /// here. Bytes that were received ahead come first. `-EAGAIN` when one of them would have to be waited for.
    ///
    /// # Safety
    ///
    /// The offsets' places must be valid or null.
    pub unsafe fn splice(&mut self, from: End, to: End, len: usize, flags: u32) -> i32 {
        if let Some(result) = self.splice_held(from, to, len) {
            return result;
        }
        let lent = [self.lend_mode(from.0, libc::S_IFIFO), self.lend_mode(to.0, libc::S_IFIFO)];
        let kernel = &self.ledger.kernel;
        let result = loop {
            let flags = flags | portable::SPLICE_F_NONBLOCK;
            // SAFETY: forwarded from the caller.
            let result = unsafe { kernel.splice(from.0, from.1, to.0, to.1, len, flags) };
            if result != -(libc::EINTR as isize) {
                break result as i32;
            }
        };
        self.restore_modes(lent);
        result
    }

    /// What was received ahead goes into the pipe; `None` when there is nothing of the kind, and the kernel is to be asked.
    fn splice_held(&mut self, from: End, to: End, len: usize) -> Option<i32> {
        let record = self.ledger.fds.known(from.0).filter(|record| record.owned)?;
        if record.closing {
            return Some(-libc::EBADF);
        }
        let (ended, receives) = (record.ended, !record.multishot.is_off());
        let held = self.peek(from.0);
        let (ptr, count) = (held.as_ptr(), held.len().min(len));
        if held.is_empty() && ended == 0 && !receives || len == 0 {
            return None;
        }
        match self.ledger.kernel.status(to.0) {
            Err(error) => return Some(error.result()),
            Ok(status) if status.kind != libc::S_IFIFO => return Some(-libc::EINVAL),
            Ok(_) if !from.1.is_null() || !to.1.is_null() => return Some(-libc::ESPIPE),
            Ok(_) => {}
        }
        if count == 0 {
            if ended < 0 {
                self.ledger.fds.at(from.0).ended = super::fds::END;
            }
            return Some(if ended == 0 { -libc::EAGAIN } else { ended.min(0) });
        }
        let room = poll(&self.ledger.kernel, to.0, libc::POLLOUT);
        if room >= 0 && room & i32::from(libc::POLLERR) != 0 {
            // Nobody reads: a write would raise SIGPIPE.
            return Some(-libc::EPIPE);
        }
        let request = Request::new(Op::Write { fd: to.0, buf: ptr, len: count });
        // SAFETY: the bytes are the driver's own, and stay where they are until they are used up below.
        let result = unsafe { attempt(&self.ledger.kernel, Kind::Stream, false, &request) };
        self.consume(from.0, result.max(0) as usize);
        Some(result)
    }

    /// Sends a part of a file without waiting for room: `sendfile(2)`, which raises no SIGPIPE here. `-EAGAIN` when there is
    /// none.
    ///
    /// # Safety
    ///
    /// The offset's place must be valid or null.
    pub unsafe fn sendfile(&mut self, to: Fd, from: End, len: usize) -> i32 {
        if self.ledger.fds.known(to).is_some_and(|record| record.closing) {
            return -libc::EBADF;
        }
        let lent = [self.lend_mode(to, libc::S_IFREG), None];
        let kernel = &self.ledger.kernel;
        let result = loop {
            // SAFETY: forwarded from the caller.
            let result = unsafe { kernel.sendfile(to, from.0, from.1, len.min(PIECE)) };
            if result != -(libc::EINTR as isize) {
                break result as i32;
            }
        };
        self.restore_modes(lent);
        result
    }

    /// Whether a multishot receive is at work, which has to be stopped before the kernel is asked for bytes.
    pub fn receives(&mut self, fd: Fd) -> bool {
        self.ledger.fds.known(fd).is_some_and(|record| !record.multishot.is_off())
    }

    /// Makes a descriptor non-blocking for a call that has no flag for it; returns its mode, if that is to be restored. Files
    /// and descriptors of that kind need nothing of the sort.
    fn lend_mode(&mut self, fd: Fd, harmless: libc::mode_t) -> Option<(Fd, i32)> {
        let record = self.ledger.fds.known(fd).filter(|record| record.owned);
        let (socket, pipe, nonblocking) = record.map_or((false, false, false), |record| {
            (record.kind == Kind::Socket, record.kind == Kind::Stream, record.nonblocking)
        });
        if nonblocking || (pipe && harmless == libc::S_IFIFO) {
            return None;
        }
        let kernel = &self.ledger.kernel;
        if kernel.status(fd).is_ok_and(|status| [libc::S_IFREG, harmless].contains(&status.kind)) {
            return None;
        }
        let flags = kernel.flags(fd);
        if flags < 0 || flags & libc::O_NONBLOCK != 0 {
            return None;
        }
        kernel.set_flags(fd, flags | libc::O_NONBLOCK);
        if socket {
            // Nobody else has it, so it may stay that way. An end of a pipe may be handed to a child process.
            self.ledger.fds.at(fd).nonblocking = true;
            return None;
        }
        Some((fd, flags))
    }

    fn restore_modes(&self, lent: [Option<(Fd, i32)>; 2]) {
        for (fd, flags) in lent.into_iter().flatten() {
            self.ledger.kernel.set_flags(fd, flags);
        }
    }
}
