//! Reading on io_uring: which of three ways a connection's bytes take.
//!
//! ```text
//!           bytes in provided buffers --> copied out at once
//!          /
//!   read --- known to be readable -----> recv, without waiting
//!          \
//!           neither: wait, and let the kernel receive
//!              ours, and not greedy ---> multishot, into provided buffers (armed once, serves many reads)
//!              in bulk ----------------> poll, and recv once the reader is next
//!              anything else ----------> single-shot, into the reader's own buffer
//! ```
//!
//! A multishot receive suits messages. Bulk data, which shows by filling a whole buffer, goes to the reader directly for
//! a while: in larger pieces, nothing is copied, and the bytes are in the cache when the reader sees them. A receive that
//! outruns its reader is stopped as well, after [`QUEUE_MAX`] buffers, so one connection cannot take them all.

use super::{Uring, tag, user_data};
use crate::driver::Harvest;
use crate::driver::attempt::attempt;
use crate::driver::fds::{END, FdRecord, Multishot, NO_BUFFER, ready};
use crate::driver::ledger::Ledger;
use crate::driver::list::{Index, NONE};
use crate::driver::op::{Code, Request, State};
use crate::sys::abi::{Cqe, Sqe, uring as abi};
use crate::sys::{Fd, Kernel, portable};

/// How many filled buffers one connection may hold before its receive is stopped.
const QUEUE_MAX: u16 = 16;

/// How many reads go directly before provided buffers are tried again.
const DIRECT_READS: u8 = 64;

/// Says in the reader's message, if it reads one, what the kernel says there of a connected stream.
fn fill_in(request: &Request) {
    if request.code == Code::RecvMsg {
        // SAFETY: the reader lends the message.
        let msg = unsafe { &mut *request.ptr.cast::<libc::msghdr>() };
        msg.msg_namelen = 0;
        msg.msg_controllen = 0;
        msg.msg_flags = request.events as i32 & portable::MSG_CMSG_CLOEXEC;
    }
}

impl Uring {
    /// Reads without waiting, if there is reason to believe that it will succeed. Nobody may be waiting before it.
    pub(super) fn take<K: Kernel>(&mut self, ledger: &mut Ledger<K>, request: &Request) -> Option<i32> {
        let record = ledger.fds.at(request.fd);
        if record.first_buffer != NO_BUFFER {
            return Some(match request.code {
                Code::RecvWith | Code::RecvMsg => self.copy_message(&ledger.kernel, record, request),
                _ => self.copy_out(record, request),
            });
        }
        match record.ended {
            0 => {}
            // The end and an error are there to be read, too: the read that follows is told.
            _ if request.code == Code::AtHand => return Some(1),
            END => {
                fill_in(request);
                return Some(0);
            }
            error => {
                record.ended = END;
                return Some(error);
            }
        }
        if !record.multishot.is_off() || record.ready & ready::READ == 0 {
            return None;
        }
        // SAFETY: whoever submitted lends the buffers until the operation completes.
        let result = unsafe { attempt(&ledger.kernel, record.kind, record.nonblocking, request) };
        let counted = request.code.receives() && record.drains;
        if result == -libc::EAGAIN && record.direct > 0 {
            record.untried = DIRECT_READS;
        }
        // A short read has drained a socket.
        if result == -libc::EAGAIN || (counted && result > 0 && (result as usize) < request.len) {
            record.ready &= !ready::READ;
        }
        (result != -libc::EAGAIN).then_some(result)
    }

    /// Fills the reader's buffers from the connection's provided ones.
    fn copy_out(&mut self, record: &mut FdRecord, request: &Request) -> i32 {
        let buffers = self.buffers.as_mut().expect("a connection that holds buffers");
        let mut copy = |target: *mut u8, room: usize| {
            let mut copied = 0;
            while copied < room && record.first_buffer != NO_BUFFER {
                let front = buffers.front(record);
                let count = front.len().min(room - copied);
                // SAFETY: the reader lends `room` bytes from `target`, and provided buffers are nobody else's memory.
                unsafe { std::ptr::copy_nonoverlapping(front.as_ptr(), target.add(copied), count) };
                buffers.consume(record, count);
                copied += count;
            }
            copied
        };
        let copied = match request.code {
            Code::AtHand => return buffers.front(record).len() as i32,
            Code::Readv => {
                // SAFETY: the reader lends the vector of `len` entries and what it points to.
                let iov = unsafe { std::slice::from_raw_parts(request.ptr.cast::<libc::iovec>(), request.len) };
                iov.iter().map(|part| copy(part.iov_base.cast(), part.iov_len)).sum()
            }
            _ => copy(request.ptr, request.len),
        };
        copied as i32
    }

    /// The same for a call with flags: what it only looks at stays, and behind it lies what the kernel has; what it is
    /// to throw away is not copied.
    fn copy_message<K: Kernel>(&mut self, kernel: &K, record: &mut FdRecord, request: &Request) -> i32 {
        let buffers = self.buffers.as_mut().expect("a connection that holds buffers");
        let flags = request.events as i32;
        let one = libc::iovec { iov_base: request.ptr.cast(), iov_len: request.len };
        let mut parts = std::slice::from_ref(&one);
        if request.code == Code::RecvMsg {
            // SAFETY: the reader lends the message and everything that it leads to.
            unsafe {
                let msg = &*request.ptr.cast::<libc::msghdr>();
                #[allow(clippy::unnecessary_cast, reason = "elsewhere it is an int")]
                let count = msg.msg_iovlen as usize;
                parts = match count {
                    0 => &[],
                    count => std::slice::from_raw_parts(msg.msg_iov, count),
                };
            }
            fill_in(request);
        }
        let mut copied = 0;
        for part in parts {
            let place = |at: usize| part.iov_base.cast::<u8>().wrapping_add(at);
            let mut filled = 0;
            // Some slices are skipped that were copied for the parts before.
            let mut skip = copied;
            for held in buffers.chain(record) {
                let from = &held[skip.min(held.len())..];
                skip -= held.len() - from.len();
                let count = from.len().min(part.iov_len - filled);
                if flags & libc::MSG_TRUNC == 0 {
                    // SAFETY: the reader lends `iov_len` bytes, and provided buffers are nobody else's memory.
                    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), place(filled), count) };
                }
                filled += count;
            }
            copied += filled;
            if filled < part.iov_len {
                if flags & libc::MSG_PEEK != 0 && record.multishot.is_off() && record.ended == 0 {
                    let rest = part.iov_len - filled;
                    // SAFETY: as above.
                    let more = unsafe { kernel.recv(request.fd, place(filled), rest, flags | libc::MSG_DONTWAIT) };
                    copied += more.max(0) as usize;
                }
                break;
            }
        }
        if flags & libc::MSG_PEEK == 0 {
            let mut rest = copied;
            while rest > 0 {
                let count = rest.min(buffers.front(record).len());
                buffers.consume(record, count);
                rest -= count;
            }
        }
        copied as i32
    }

    /// What lies received and unread, without using it up.
    #[inline]
    pub(in crate::driver) fn peek(&self, record: &FdRecord) -> &[u8] {
        self.buffers.as_ref().map_or(&[], |buffers| buffers.front(record))
    }

    /// Uses up `count` bytes of what [`peek`](Self::peek) showed; panics when that was less.
    #[inline]
    pub(in crate::driver) fn consume(&mut self, record: &mut FdRecord, count: usize) {
        let buffers = self.buffers.as_mut().expect("a connection that holds buffers");
        assert!(count <= buffers.front(record).len(), "consumes no more than was shown");
        buffers.consume(record, count);
    }

    /// Serves the waiting readers as far as there is something for them, then makes sure that more will come.
    #[inline]
    pub(super) fn advance_reads<K: Kernel>(&mut self, ledger: &mut Ledger<K>, fd: Fd, harvest: &mut Harvest) {
        loop {
            let record = ledger.fds.at(fd);
            let index = record.read.first();
            if index == NONE || ledger.slab[index].state != State::Waiting {
                return;
            }
            let request = ledger.slab[index].request;
            if matches!(request.code, Code::Accept | Code::AcceptMulti) || self.rides_along(&request, record.kind) {
                return self.await_read(ledger, index);
            }
            match self.take(ledger, &request) {
                Some(result) => ledger.yield_to(harvest, index, result),
                None => return self.await_read(ledger, index),
            }
        }
    }

    /// Makes sure that the first reader, for whom there is nothing yet, will be told.
    pub(super) fn await_read<K: Kernel>(&mut self, ledger: &mut Ledger<K>, index: Index) {
        let Request { fd, code, .. } = ledger.slab[index].request;
        let record = ledger.fds.at(fd);
        if !record.multishot.is_off() {
            return;
        }
        let accepts = matches!(code, Code::Accept | Code::AcceptMulti);
        // Whoever polls wants to see the bytes in the kernel, so none are received ahead meanwhile.
        if self.multishot_receive && record.ahead && record.direct == 0 && record.poll.is_empty() && !accepts {
            return self.arm_multishot(ledger, fd);
        }
        self.launch(ledger, index)
    }

    fn arm_multishot<K: Kernel>(&mut self, ledger: &mut Ledger<K>, fd: Fd) {
        let record = ledger.fds.at(fd);
        record.multishot = Multishot::Armed;
        record.in_flight += 1;
        let sqe = Sqe {
            opcode: abi::OP_RECV,
            flags: abi::SQE_BUFFER_SELECT,
            // Nothing was there a moment ago, so the first try is spared.
            ioprio: abi::RECV_MULTISHOT | abi::RECVSEND_POLL_FIRST,
            fd,
            buf_group: super::buffers::GROUP,
            user_data: user_data(tag::RECEIVE, record.generation, fd as u32),
            ..Sqe::default()
        };
        self.ring.push(&ledger.kernel, sqe);
    }

    /// The poll bits that hold because of what was received ahead.
    pub(in crate::driver) fn held_events(record: &FdRecord, events: u32) -> u32 {
        let readable = record.first_buffer != NO_BUFFER || record.ended != 0;
        let error = if record.ended < 0 { libc::POLLERR as u32 } else { 0 };
        error | if readable { events & (libc::POLLIN | libc::POLLRDNORM) as u32 } else { 0 }
    }

    /// Sees to the polls that waited for a multishot receive to get out of their way.
    fn advance_polls<K: Kernel>(&mut self, ledger: &mut Ledger<K>, fd: Fd, harvest: &mut Harvest) {
        let mut index = ledger.fds.at(fd).poll.first();
        while index != NONE {
            let next = ledger.slab[index].link.next;
            if ledger.slab[index].state == State::Waiting {
                let held = Self::held_events(ledger.fds.at(fd), ledger.slab[index].request.events);
                if held != 0 {
                    ledger.yield_to(harvest, index, held as i32);
                } else if ledger.fds.at(fd).multishot.is_off() {
                    self.launch(ledger, index);
                }
            }
            index = next;
        }
    }

    pub(in crate::driver) fn stop_multishot<K: Kernel>(&mut self, ledger: &mut Ledger<K>, fd: Fd) {
        let record = ledger.fds.at(fd);
        if record.multishot == Multishot::Armed {
            record.multishot = Multishot::Stopping;
            let target = user_data(tag::RECEIVE, record.generation, fd as u32);
            self.cancel(&ledger.kernel, target);
        }
    }

    /// Works off one completion of a multishot receive.
    pub(super) fn received<K: Kernel>(&mut self, ledger: &mut Ledger<K>, fd: Fd, generation: u32, cqe: Cqe) -> Harvest {
        let mut harvest = Harvest::Quiet;
        let record = ledger.fds.at(fd);
        // The receive counts as in flight, and while it does the number cannot begin another life.
        assert!(record.generation == generation && !record.multishot.is_off(), "a descriptor outlives its receive");
        let buffers = self.buffers.as_mut().expect("multishot receives have buffers");
        if cqe.flags & abi::CQE_F_BUFFER != 0 {
            let id = (cqe.flags >> abi::CQE_BUFFER_SHIFT) as u16;
            if cqe.res > 0 && !record.closing {
                buffers.attach(record, id, cqe.res as u32);
            } else {
                buffers.give_back(id);
            }
        }
        if cqe.flags & abi::CQE_F_MORE == 0 {
            record.multishot = Multishot::Off;
            record.in_flight -= 1;
            match cqe.res {
                0 => record.ended = END,
                // Ended for reasons of its own, or because it was asked to: whether more is there, a try will show.
                count if count > 0 => record.ready |= ready::READ,
                cut if cut == -libc::ECANCELED => record.ready |= ready::READ,
                dry if dry == -libc::ENOBUFS => {
                    buffers.widen();
                    record.ready |= ready::READ;
                }
                unknown if unknown == -libc::EINVAL => {
                    // Before 6.0 there is no multishot receive; a socket that is misused says EINVAL to a try as well.
                    self.multishot_receive = false;
                    record.ready |= ready::READ;
                }
                error => record.ended = error,
            }
        }
        if record.closing {
            ledger.settle_close(fd);
            return harvest;
        }
        self.advance_reads(ledger, fd, &mut harvest);
        self.advance_polls(ledger, fd, &mut harvest);
        let record = ledger.fds.at(fd);
        let full = self.buffers.as_ref().is_some_and(|buffers| cqe.res == buffers.size() as i32);
        if (full || record.buffers >= QUEUE_MAX) && record.multishot == Multishot::Armed {
            record.direct = DIRECT_READS;
            self.stop_multishot(ledger, fd);
        }
        harvest
    }

    /// Learns from a single receive of so many bytes what the next read should expect. `more` says that the kernel has seen
    /// some behind them.
    #[inline]
    pub(super) fn learn(&self, record: &mut FdRecord, room: usize, count: i32, more: bool) {
        let full = count as usize == room;
        if more || (full && record.untried == 0) {
            record.ready |= ready::READ;
        } else if full || record.drains {
            record.untried = record.untried.saturating_sub(full.into());
            record.ready &= !ready::READ;
        }
        let small = self.buffers.as_ref().is_some_and(|buffers| (count as u32) < buffers.size());
        record.direct = if small { record.direct.saturating_sub(1) } else { DIRECT_READS };
    }
}
