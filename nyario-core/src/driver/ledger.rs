//! What every backend keeps in the same way: the records, who waits on which descriptor, deadlines, and results.

use super::Harvest;
use super::fds::{FdRecord, FdTable, Kind, classify, ready};
use super::list::{Index, List, NONE};
use super::op::{Code, Completion, Reason, Request, State, Submitted};
use super::pacer::Pacer;
use super::slab::Slab;
use super::timer::{Places, Timers};
use crate::sys::{Errno, Fd, Kernel, portable};

pub(super) struct Ledger<K: Kernel> {
    pub(super) kernel: K,
    pub(super) slab: Slab,
    pub(super) fds: FdTable,
    pub(super) timers: Timers,
    /// Operations that have their result, in the order in which they got it.
    pub(super) done: List,
    /// The clock as last read.
    pub(super) now: u64,
    pub(super) pacer: Pacer,
}

impl Places for Slab {
    fn place(&mut self, op: Index) -> &mut Index {
        &mut self[op].timer
    }
}

impl<K: Kernel> Ledger<K> {
    pub(super) fn new(kernel: K, pacer: Pacer) -> Ledger<K> {
        let now = kernel.now();
        let mut slab = Slab::new();
        slab.tick(kernel.lately());
        Ledger { kernel, slab, fds: FdTable::new(), timers: Timers::new(), done: List::EMPTY, now, pacer }
    }

    /// Writes down an operation that has to wait, at the end of its descriptor's queue.
    #[inline(always)]
    pub(super) fn enqueue(&mut self, request: Request, waiter: u64) -> Index {
        let index = self.slab.insert(request, waiter);
        let Ledger { slab, fds, .. } = self;
        fds.at(request.fd).queue(request.code.side()).push(slab, index);
        index
    }

    pub(super) fn pending(&self, index: Index) -> Submitted {
        Submitted::Pending(self.slab.id(index))
    }

    /// Ends an operation with that result. The kernel must not hold it any more.
    #[inline(always)]
    fn settle(&mut self, index: Index, result: i32) {
        let Ledger { slab, fds, timers, .. } = self;
        if slab[index].timer != NONE {
            timers.remove(slab, index);
        }
        let Request { code, fd, .. } = slab[index].request;
        if !matches!(code, Code::Park | Code::Close) {
            fds.at(fd).queue(code.side()).remove(slab, index);
        }
        let record = &mut slab[index];
        debug_assert!(record.state == State::Waiting);
        record.state = State::Done;
        record.result = match result {
            // What the kernel did of its own accord stands: data that arrived while the cancel was on its way is
            // delivered, and a connection that broke meanwhile says so.
            cut if cut == -libc::ECANCELED => record.reason.result(),
            cut if [-libc::EINTR, -libc::EAGAIN].contains(&cut) && record.reason != Reason::None => {
                record.reason.result()
            }
            result => result,
        };
    }

    /// Ends an operation; its completion is handed out in its turn.
    pub(super) fn finish(&mut self, index: Index, result: i32) {
        self.settle(index, result);
        let Ledger { slab, done, .. } = self;
        done.push(slab, index);
    }

    /// Ends an operation whose completion may be handed out at once, as the first fruit of a harvest; what a harvest
    /// yields besides waits its turn. So most completions never pass through a list.
    #[inline(always)]
    pub(super) fn yield_to(&mut self, harvest: &mut Harvest, index: Index, result: i32) {
        if !matches!(harvest, Harvest::Quiet) || !self.done.is_empty() {
            return self.finish(index, result);
        }
        *harvest = Harvest::Complete(self.conclude(index, result));
    }

    /// Ends an operation and hands its completion out at once; nothing else may be waiting to be handed out.
    #[inline(always)]
    pub(super) fn conclude(&mut self, index: Index, result: i32) -> Completion {
        self.settle(index, result);
        self.hand_out(index)
    }

    #[inline(always)]
    fn hand_out(&mut self, index: Index) -> Completion {
        let record = &self.slab[index];
        let completion = Completion { waiter: record.waiter, result: record.result, more: false };
        self.slab.remove(index);
        completion
    }

    /// Takes the result of that operation, out of its turn, if it has one.
    pub(super) fn take_done(&mut self, index: Index) -> Option<Completion> {
        if self.slab[index].state != State::Done {
            return None;
        }
        let Ledger { slab, done, .. } = self;
        done.remove(slab, index);
        Some(self.hand_out(index))
    }

    /// Takes the next result.
    pub(super) fn next_done(&mut self) -> Option<Completion> {
        let index = self.done.pop(&mut self.slab);
        (index != NONE).then(|| self.hand_out(index))
    }

    /// Takes the next result, with what it is the result of.
    pub(super) fn next_done_of(&mut self) -> Option<(Code, Completion)> {
        let first = self.done.first();
        (first != NONE).then(|| self.slab[first].request.code).zip(self.next_done())
    }

    /// The kernel takes hold of an operation.
    #[inline(always)]
    pub(super) fn take_off(&mut self, index: Index) {
        let record = &mut self.slab[index];
        debug_assert!(record.state == State::Waiting);
        record.state = State::InFlight;
        let fd = record.request.fd;
        self.fds.at(fd).in_flight += 1;
    }

    /// The kernel has let go of an operation.
    #[inline(always)]
    pub(super) fn land(&mut self, index: Index) {
        let record = &mut self.slab[index];
        debug_assert!(record.state == State::InFlight);
        record.state = State::Waiting;
        let fd = record.request.fd;
        self.fds.at(fd).in_flight -= 1;
    }

    /// The descriptor's record, making its acquaintance first where that is needed. `true` says that it is new.
    #[cold]
    pub(super) fn adopt(&mut self, fd: Fd) -> Result<(&mut FdRecord, bool), Errno> {
        match self.fds.known(fd).map(|record| record.closing) {
            Some(true) => return Err(Errno(libc::EBADF)),
            Some(false) => return Ok((self.fds.at(fd), false)),
            None => {}
        }
        let status = self.kernel.status(fd)?;
        let flags = self.kernel.flags(fd);
        self.fds.identities.insert(fd, (status.device, status.inode));
        let kind = classify(status);
        let stream = kind == Kind::Socket
            && self.kernel.getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE) == Ok(libc::SOCK_STREAM);
        // One that keeps what was written together apart may hold more than a read has returned.
        let pipe = status.kind == libc::S_IFIFO && flags & portable::O_DIRECT == 0;
        let record = self.fds.open(fd, kind);
        record.nonblocking = flags & libc::O_NONBLOCK != 0;
        record.drains = stream || pipe;
        // Nothing is known yet, so the first try decides.
        record.ready = ready::READ | ready::WRITE;
        Ok((record, true))
    }

    /// Whether a number still belongs to the file that it was adopted with. Somebody else closes what we did not open,
    /// and the kernel gives the number to the next file.
    pub(super) fn is_same(&self, fd: Fd) -> bool {
        self.fds.identities.get(&fd).is_none_or(|&identity| {
            self.kernel.status(fd).is_ok_and(|status| (status.device, status.inode) == identity)
        })
    }

    /// Completes, for `reason`, every operation on the descriptor that the kernel does not hold. Those that it does
    /// hold are returned one by one, marked, for the backend to cancel.
    pub(super) fn evict(&mut self, fd: Fd, reason: Reason, mut held: impl FnMut(&mut Self, Index)) {
        for side in [super::op::Side::Read, super::op::Side::Write, super::op::Side::Poll] {
            let mut index = self.fds.at(fd).queue(side).first();
            while index != NONE {
                let next = self.slab[index].link.next;
                let record = &mut self.slab[index];
                if record.reason == Reason::None {
                    let unlooked = reason == Reason::Stale && !record.vouched;
                    record.reason = if unlooked { Reason::Closed } else { reason };
                    if record.state == State::InFlight {
                        held(self, index);
                    } else {
                        self.finish(index, -libc::ECANCELED);
                    }
                }
                index = next;
            }
        }
    }

    /// Ends everything on a descriptor with that error, and forgets it: the next operation makes its acquaintance anew.
    /// The kernel must hold none of it.
    #[cold]
    pub(super) fn fail(&mut self, fd: Fd, error: Errno) {
        for side in [super::op::Side::Read, super::op::Side::Write, super::op::Side::Poll] {
            loop {
                match self.fds.at(fd).queue(side).first() {
                    NONE => break,
                    index => self.finish(index, error.result()),
                }
            }
        }
        self.fds.vacate(fd);
    }

    /// Closes a descriptor that is to be closed, once nothing holds it.
    pub(super) fn settle_close(&mut self, fd: Fd) {
        let record = self.fds.at(fd);
        if !record.closing || record.in_flight != 0 {
            return;
        }
        let closer = record.closer;
        let result = self.kernel.close(fd);
        self.fds.vacate(fd);
        if closer != NONE {
            self.finish(closer, result);
        }
    }

    /// Looks at up to `limit` adopted descriptors, which it counts down, for numbers that were closed, and perhaps
    /// reused, without a word to us, and returns the first.
    pub(super) fn find_stale(&mut self, limit: &mut usize) -> Option<Fd> {
        while *limit > 0 {
            *limit -= 1;
            let Some((&fd, _)) = self.fds.identities.range(self.fds.sweep_from..).next() else {
                self.fds.sweep_from = 0;
                return None;
            };
            self.fds.sweep_from = fd + 1;
            if !self.fds.at(fd).closing && !self.is_same(fd) {
                return Some(fd);
            }
        }
        None
    }
}
