//! What nearly every message passes, each in one pass over its records: a small send and its end, a read that waits
//! for a message and the message. Whatever is out of the ordinary is left to the rest of the backend, which gives the
//! same answers in more steps.
//!
//! ```text
//!   submit   send ----> record in flight, submission in the ring     read ----> record in the queue
//!   harvest  sent ----> record gone, completion                      message -> copied out, record gone, completion
//!
//!   A read of a socket that is not ours, so nothing is received ahead: as the send, and its end.
//! ```

use super::{RIDE_MAX, Uring, generation, tag, user_data};
use crate::driver::fds::{Kind, Multishot, NO_BUFFER};
use crate::driver::ledger::Ledger;
use crate::driver::list::{Index, List, NONE};
use crate::driver::op::{Code, Completion, OpId, Request, State, Submitted};
use crate::sys::abi::{Cqe, Sqe, uring as abi};
use crate::sys::{Fd, Kernel};

impl Uring {
    /// Begins a small send behind which nobody waits, or a read for which a multishot receive is at work.
    #[inline(always)]
    pub(super) fn submit_everyday<K: Kernel>(
        &mut self,
        ledger: &mut Ledger<K>,
        request: &Request,
        waiter: u64,
    ) -> Option<Submitted> {
        let Ledger { kernel, slab, fds, .. } = ledger;
        let record = fds.at(request.fd);
        match request.code {
            Code::Write | Code::Send => {
                if self.sparse || record.kind != Kind::Socket || request.len > RIDE_MAX || !record.write.is_empty() {
                    return None;
                }
                let (index, op) = slab.insert_record(*request, waiter);
                op.state = State::InFlight;
                record.write = List::single(index);
                record.in_flight += 1;
                let sqe = Sqe {
                    opcode: abi::OP_SEND,
                    fd: request.fd,
                    addr: request.ptr as u64,
                    len: request.len as u32,
                    op_flags: libc::MSG_NOSIGNAL as u32,
                    user_data: user_data(tag::OPERATION, op.generation, index),
                    ..Sqe::default()
                };
                let id = OpId { index, generation: op.generation };
                self.ring.push(kernel, sqe);
                self.riding += 1;
                Some(Submitted::Pending(id))
            }
            Code::Read | Code::Recv | Code::AtHand => {
                let waits = record.multishot == Multishot::Armed && record.first_buffer == NO_BUFFER;
                if !waits || record.ended != 0 || !record.read.is_empty() {
                    return None;
                }
                let (index, op) = slab.insert_record(*request, waiter);
                record.read = List::single(index);
                Some(Submitted::Pending(OpId { index, generation: op.generation }))
            }
            _ => None,
        }
    }

    /// Begins a read that is vouched for, of what the last one has drained: it goes into the ring at once.
    #[inline(always)]
    pub(in crate::driver) fn submit_fetch<K: Kernel>(
        &mut self,
        ledger: &mut Ledger<K>,
        request: &Request,
        waiter: u64,
    ) -> Option<OpId> {
        let Ledger { kernel, slab, fds, .. } = ledger;
        let record = fds.known(request.fd).filter(|record| request.code == Code::Read && record.is_drained())?;
        let (index, op) = slab.insert_record(*request, waiter);
        (op.state, op.vouched) = (State::InFlight, true);
        record.read = List::single(index);
        record.in_flight += 1;
        let sqe = Sqe {
            opcode: abi::OP_RECV,
            ioprio: self.wait_first,
            fd: request.fd,
            addr: request.ptr as u64,
            len: request.len as u32,
            user_data: user_data(tag::OPERATION, op.generation, index),
            ..Sqe::default()
        };
        let id = OpId { index, generation: op.generation };
        self.ring.push(kernel, sqe);
        Some(id)
    }

    /// Works off the completion of what [`submit_everyday`](Self::submit_everyday) and
    /// [`submit_fetch`](Self::submit_fetch) began.
    #[inline(always)]
    pub(super) fn harvest_everyday<K: Kernel>(&mut self, ledger: &mut Ledger<K>, cqe: Cqe) -> Option<Completion> {
        let place = cqe.user_data as u32;
        match cqe.user_data >> tag::SHIFT {
            tag::OPERATION => match ledger.slab[place].request.code {
                Code::Write | Code::Send => sent(ledger, place, cqe),
                Code::Read => self.fetched(ledger, place, cqe),
                _ => None,
            },
            tag::RECEIVE => self.deliver(ledger, place as Fd, cqe),
            _ => None,
        }
    }

    /// A message has come, one reader waits for it, and it fits: the bytes go straight from the provided buffer to the
    /// reader, or to one who only wants to know that they are there.
    #[inline(always)]
    fn deliver<K: Kernel>(&mut self, ledger: &mut Ledger<K>, fd: Fd, cqe: Cqe) -> Option<Completion> {
        const EVERYDAY: u32 = abi::CQE_F_BUFFER | abi::CQE_F_MORE;
        let Ledger { slab, fds, timers, .. } = ledger;
        let record = fds.at(fd);
        let index = record.read.first();
        let alone = record.first_buffer == NO_BUFFER && record.poll.is_empty() && record.read.is_single();
        if !alone || cqe.flags & EVERYDAY != EVERYDAY || cqe.res <= 0 || record.closing {
            return None;
        }
        debug_assert!(record.generation == generation(cqe.user_data), "a descriptor outlives its receive");
        let op = &mut slab[index];
        let count = cqe.res as usize;
        let buffers = self.buffers.as_mut()?;
        if cqe.res as u32 == buffers.size() {
            // More may be waiting than a buffer holds.
            return None;
        }
        let id = (cqe.flags >> abi::CQE_BUFFER_SHIFT) as u16;
        match op.request.code {
            Code::Read | Code::Recv if count <= op.request.len => {
                // SAFETY: the reader lends `len` bytes, and the kernel has filled `count` of the buffer and given it up.
                unsafe { std::ptr::copy_nonoverlapping(buffers.filled(id), op.request.ptr, count) };
                buffers.give_back(id);
            }
            // It stays where it is until its reader comes for it.
            Code::AtHand => buffers.attach(record, id, cqe.res as u32),
            _ => return None,
        }
        let waiter = op.waiter;
        if op.timer != NONE {
            timers.remove(slab, index);
        }
        record.read = List::EMPTY;
        slab.remove(index);
        Some(Completion { waiter, result: cqe.res, more: false })
    }

    /// A single receive has brought something, and nobody else waits to read or to close.
    #[inline(always)]
    fn fetched<K: Kernel>(&mut self, ledger: &mut Ledger<K>, index: Index, cqe: Cqe) -> Option<Completion> {
        let Ledger { slab, fds, timers, .. } = ledger;
        let op = &mut slab[index];
        debug_assert!(op.generation == generation(cqe.user_data), "a record outlives its operation");
        let record = fds.at(op.request.fd);
        let alone = record.kind == Kind::Socket && record.read.is_single() && !record.closing;
        if cqe.res <= 0 || op.polling || !alone {
            return None;
        }
        debug_assert!(op.state == State::InFlight);
        self.learn(record, op.request.len, cqe.res, cqe.flags & abi::CQE_F_SOCK_NONEMPTY != 0);
        let waiter = op.waiter;
        if op.timer != NONE {
            timers.remove(slab, index);
        }
        record.read = List::EMPTY;
        record.in_flight -= 1;
        slab.remove(index);
        Some(Completion { waiter, result: cqe.res, more: false })
    }
}

/// A send went out, and nobody else waits to send or to close.
#[inline(always)]
fn sent<K: Kernel>(ledger: &mut Ledger<K>, index: Index, cqe: Cqe) -> Option<Completion> {
    let Ledger { slab, fds, timers, .. } = ledger;
    let op = &mut slab[index];
    debug_assert!(op.generation == generation(cqe.user_data), "a record outlives its operation");
    if cqe.res < 0 || op.polling {
        return None;
    }
    debug_assert!(op.state == State::InFlight);
    let record = fds.at(op.request.fd);
    if !record.write.is_single() || record.closing {
        return None;
    }
    let waiter = op.waiter;
    if op.timer != NONE {
        timers.remove(slab, index);
    }
    record.write = List::EMPTY;
    record.in_flight -= 1;
    slab.remove(index);
    Some(Completion { waiter, result: cqe.res, more: false })
}
