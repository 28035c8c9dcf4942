//! What a number stands for: whose it is, from when, and until when.

use super::carries::Carries;
use super::fds::{Kind, ready};
use super::op::{Reason, Request, Submitted};
use super::{Backend, Driver};
use crate::sys::{Errno, Fd, Kernel};

impl<K: Kernel> Driver<K> {
    /// Makes a socket or an end of a pipe that nyario has just opened its own: whoever reads it reads it through the driver,
    /// which may therefore receive ahead where that loses nothing. Whatever was known of the number belongs to an older file
    /// and ends with `-EBADF`.
    ///
    /// # Errors
    ///
    /// When the backend cannot register it, the kernel's reason; it stays open.
    pub fn own(&mut self, fd: Fd, nonblocking: bool, carries: Carries) -> Result<(), Errno> {
        self.disown(fd);
        let kind = if carries == Carries::PipedBytes { Kind::Stream } else { Kind::Socket };
        let record = self.ledger.fds.open(fd, kind);
        record.owned = true;
        record.ahead = carries == Carries::Bytes;
        record.drains = carries != Carries::Messages;
        record.nonblocking = nonblocking;
        match &mut self.backend {
            // What is there already is reported as the first edge.
            Backend::Readiness(readiness) => {
                record.ready = ready::WRITE;
                if kind == Kind::Stream {
                    // A pipe has one way, and only a try says that it was the wrong one.
                    record.ready |= ready::READ;
                }
                let registered = readiness.register(&mut self.ledger, fd);
                registered.inspect_err(|_| self.ledger.fds.vacate(fd))
            }
            Backend::Uring(_) => Ok(()),
        }
    }

    /// Whether the descriptor is the driver's: it may hold bytes of it.
    pub fn owns(&mut self, fd: Fd) -> bool {
        self.ledger.fds.known(fd).is_some_and(|record| record.owned)
    }

    /// Whether the descriptor is a file's, which is always ready, and whose reads may have to go to the disk.
    pub fn is_file(&mut self, fd: Fd) -> bool {
        self.adopt(fd).is_ok() && self.ledger.fds.at(fd).kind == Kind::File
    }

    /// Tells the lives of a number apart, for whoever does in several goes what concerns one of them: it is another once
    /// the descriptor has been closed.
    #[inline]
    pub fn life(&self, fd: Fd) -> u16 {
        self.ledger.fds.closes(fd)
    }

    #[inline]
    pub(super) fn adopt(&mut self, fd: Fd) -> Result<(), Errno> {
        if self.ledger.fds.knows(fd) {
            return Ok(());
        }
        let (_, fresh) = self.ledger.adopt(fd)?;
        match &mut self.backend {
            Backend::Readiness(readiness) if fresh => {
                let registered = readiness.register(&mut self.ledger, fd);
                registered.inspect_err(|_| self.ledger.fds.vacate(fd))
            }
            _ => Ok(()),
        }
    }

    /// Ends what waits on a number whose file is gone, and forgets it.
    pub(super) fn disown(&mut self, fd: Fd) {
        if self.ledger.fds.known(fd).is_none() {
            return;
        }
        self.evict(fd, Reason::Stale);
        // The kernel's operations hold the old file, not the number; they have to be gone before the record can
        // serve another. That a descriptor was closed behind our back is rare enough for waiting here.
        while self.ledger.fds.at(fd).in_flight != 0 {
            self.look(Some(1_000_000));
            self.absorb();
        }
        if let Backend::Uring(uring) = &mut self.backend {
            uring.release(&mut self.ledger, fd);
        }
        self.ledger.fds.vacate(fd);
    }

    pub(super) fn close(&mut self, request: Request, waiter: u64) -> Submitted {
        let fd = request.fd;
        self.ledger.fds.is_closed(fd);
        let Some(record) = self.ledger.fds.known(fd) else {
            return Submitted::Done(self.ledger.kernel.close(fd));
        };
        if record.closing {
            return Submitted::Done(-libc::EBADF);
        }
        record.closing = true;
        self.evict(fd, Reason::Closed);
        if self.ledger.fds.at(fd).in_flight == 0 {
            let result = self.ledger.kernel.close(fd);
            self.ledger.fds.vacate(fd);
            return Submitted::Done(result);
        }
        let id = self.ledger.slab.insert_id(request, waiter);
        self.ledger.fds.at(fd).closer = id.index;
        Submitted::Pending(id)
    }

    /// Ends everything on a descriptor; what the kernel holds ends with its completion.
    fn evict(&mut self, fd: Fd, reason: Reason) {
        match &mut self.backend {
            Backend::Uring(uring) => {
                self.ledger.evict(fd, reason, |ledger, index| uring.abort(ledger, index));
                uring.release(&mut self.ledger, fd);
            }
            Backend::Readiness(readiness) => {
                self.ledger.evict(fd, reason, |_, _| unreachable!("it lends nothing to the kernel"));
                if !self.ledger.fds.at(fd).owned {
                    // Whoever opened it may have a duplicate, which would keep the registration alive past the close.
                    readiness.forget(&self.ledger.kernel, fd);
                }
            }
        }
    }

    /// Looks for descriptors that were closed without a word to us, at most `limit` at a time, and ends what waits
    /// on them with `-EBADF`, or with `-ESTALE` what was [vouched](Self::submit_vouched) for.
    pub fn sweep(&mut self, limit: usize) {
        let mut limit = limit;
        while let Some(fd) = self.ledger.find_stale(&mut limit) {
            self.disown(fd);
        }
    }

    /// Whether there are descriptors that only a sweep would find gone.
    pub fn wants_sweeping(&self) -> bool {
        !self.ledger.fds.identities.is_empty()
    }
}
