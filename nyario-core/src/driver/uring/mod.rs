//! The io_uring backend: one enter per turn submits and waits; what is likely to succeed is tried before it is
//! submitted; a connection of our own receives into provided buffers without being asked again (`receive`).

mod buffers;
mod embedding;
mod everyday;
mod receive;
mod ring;

use super::attempt::{attempt, connect_now};
use super::fds::{Kind, ready};
use super::foresight::Ahead;
use super::ledger::Ledger;
use super::list::{Index, NONE};
use super::op::{Code, Completion, Reason, Request, Side, State, Submitted};
use super::{Config, Harvest};
use crate::sys::abi::{Cqe, Sqe, uring as abi};
use crate::sys::{Errno, Fd, Kernel, portable};
use buffers::Buffers;
use ring::Ring;

/// Everything that is submitted; a kernel that lacks one of them is not served by this backend.
const OPCODES: [u8; 10] = [
    abi::OP_READV,
    abi::OP_WRITEV,
    abi::OP_POLL_ADD,
    abi::OP_ACCEPT,
    abi::OP_ASYNC_CANCEL,
    abi::OP_CONNECT,
    abi::OP_READ,
    abi::OP_WRITE,
    abi::OP_SEND,
    abi::OP_RECV,
];

pub(super) struct Uring {
    ring: Ring,
    /// Small sends go out at once, as an enter that they share brings nothing but their own ends: see
    /// [`appraise`](Self::appraise).
    sparse: bool,
    /// What counts as few of them.
    few: usize,
    /// How many small sends the next enter will submit.
    riding: usize,
    /// None where the kernel cannot have them; receives then go into the callers' own buffers.
    buffers: Option<Buffers>,
    /// What the kernel turned out to know; each is given up at its first refusal.
    multishot_receive: bool,
    multishot_accept: bool,
    /// What a transfer carries that had better wait first: nothing before 5.19, whose late stable releases refuse it.
    wait_first: u16,
    wake: Fd,
    /// Where the kernel puts the waker's count. Boxed: the kernel holds its address while the backend may move.
    wake_count: Box<u64>,
    wake_armed: bool,
    /// The loop is ending, and nobody wakes it any more.
    hushed: bool,
    /// What the kernel signals whenever there is something to harvest, once a foreign loop has asked for it.
    signal: Option<Fd>,
    /// The kernel may have stopped doing so (see `embedding`).
    signal_spent: bool,
}

/// The longest send that waits for the turn's enter.
const RIDE_MAX: usize = 4096;

/// What a completion belongs to, told by the top bits of its `user_data`.
mod tag {
    pub(super) const OPERATION: u64 = 0;
    pub(super) const RECEIVE: u64 = 1;
    pub(super) const WAKE: u64 = 2;
    pub(super) const CANCEL: u64 = 3;
    pub(super) const PACE: u64 = 4;
    pub(super) const SHIFT: u32 = 60;
}

/// `user_data`: tag, generation (28 bits), and the place of the record or the descriptor.
fn user_data(tag: u64, generation: u32, place: u32) -> u64 {
    tag << tag::SHIFT | u64::from(generation) << 32 | u64::from(place)
}

/// The generation in it.
fn generation(user_data: u64) -> u32 {
    (user_data >> 32) as u32 & super::slab::GENERATION_MASK
}

impl Uring {
    pub(super) fn new<K: Kernel>(kernel: &K, wake: Fd, config: &Config) -> Result<Uring, Errno> {
        let mut ring = Ring::new(kernel, config.submissions, config.completions)?;
        if let Err(error) = ring::probe(kernel, ring.fd(), &OPCODES) {
            ring.shut(kernel);
            return Err(error);
        }
        let buffers = Buffers::new(kernel, ring.fd(), config.buffers, config.buffer_size).ok();
        Ok(Uring {
            multishot_receive: buffers.is_some(),
            multishot_accept: true,
            wait_first: if ring.is_cooperative() { abi::RECVSEND_POLL_FIRST } else { 0 },
            ring,
            sparse: false,
            few: config.few.into(),
            riding: 0,
            buffers,
            wake,
            wake_count: Box::new(0),
            wake_armed: false,
            hushed: false,
            signal: None,
            signal_spent: false,
        })
    }

    pub(super) fn shut<K: Kernel>(&mut self, kernel: &K) {
        if let Some(buffers) = &mut self.buffers {
            buffers.free(kernel, self.ring.fd());
        }
        self.ring.shut(kernel);
    }

    /// How often the kernel was entered.
    pub(super) fn enters(&self) -> u64 {
        self.ring.enters()
    }

    /// How many buffers there are, and how many hold something.
    pub(super) fn buffer_counts(&self) -> (u64, u64) {
        self.buffers.as_ref().map_or((0, 0), Buffers::counts)
    }

    /// Whether there is something to harvest without asking the kernel.
    pub(super) fn has_news(&self) -> bool {
        self.ring.has_completions()
    }

    #[inline(always)]
    pub(super) fn submit<K: Kernel>(&mut self, ledger: &mut Ledger<K>, request: Request, waiter: u64) -> Submitted {
        if let Some(submitted) = self.submit_everyday(ledger, &request, waiter) {
            return submitted;
        }
        self.submit_other(ledger, request, waiter)
    }

    fn submit_other<K: Kernel>(&mut self, ledger: &mut Ledger<K>, request: Request, waiter: u64) -> Submitted {
        let fd = request.fd;
        let side = request.code.side();
        if !self.rides_along(&request, ledger.fds.at(fd).kind)
            && let Some(result) = self.try_now(ledger, &request)
        {
            return Submitted::Done(result);
        }
        let index = ledger.enqueue(request, waiter);
        let first = ledger.fds.at(fd).queue(side).first() == index;
        match side {
            Side::Poll if ledger.fds.at(fd).multishot.is_off() => self.launch(ledger, index),
            Side::Poll => self.stop_multishot(ledger, fd),
            Side::Read if first => self.await_read(ledger, index),
            Side::Write if first => self.launch(ledger, index),
            _ => {}
        }
        ledger.pending(index)
    }

    /// Whether to submit without a try. A small send costs less as one of many in the turn's enter than as a system call
    /// of its own, while a large one had better go out while its bytes are in the cache. A file is always ready, but its
    /// transfer may have to go to the disk, which the ring waits for and a try would block on.
    fn rides_along(&self, request: &Request, kind: Kind) -> bool {
        match kind {
            Kind::Socket => !self.sparse && matches!(request.code, Code::Write | Code::Send) && request.len <= RIDE_MAX,
            Kind::File => request.code.transfers() && request.code != Code::AtHand,
            Kind::Stream | Kind::Vacant => false,
        }
    }

    /// Carries the operation out if nobody is before it and it may well succeed.
    #[inline(always)]
    pub(super) fn try_now<K: Kernel>(&mut self, ledger: &mut Ledger<K>, request: &Request) -> Option<i32> {
        let record = ledger.fds.at(request.fd);
        match request.code.side() {
            Side::Read if !record.read.is_empty() => None,
            Side::Write if !record.write.is_empty() => None,
            _ => match request.code {
                Code::Read | Code::Readv | Code::Recv | Code::RecvWith | Code::RecvMsg | Code::AtHand => {
                    self.take(ledger, request)
                }
                // A socket that was full says so at once, and then the ring waits for it.
                Code::Write | Code::Writev | Code::Send | Code::SendWith | Code::SendMsg => {
                    // SAFETY: whoever submitted lends the buffers until the operation completes.
                    let result = unsafe { attempt(&ledger.kernel, record.kind, record.nonblocking, request) };
                    (result != -libc::EAGAIN).then_some(result)
                }
                Code::Poll => match Self::held_events(record, request.events) {
                    0 => None,
                    held => Some(held as i32),
                },
                // A unix socket connects at once or not at all: its full backlog has no event to wait for.
                // SAFETY: as above; the address is at least a family.
                Code::Connect if i32::from(unsafe { *request.ptr.cast::<libc::sa_family_t>() }) == libc::AF_UNIX => {
                    // SAFETY: as above.
                    Some(unsafe { connect_now(&ledger.kernel, request) })
                }
                _ => None,
            },
        }
    }

    /// Launches the first write that waits, if none is under way.
    fn advance_writes<K: Kernel>(&mut self, ledger: &mut Ledger<K>, fd: Fd) {
        let index = ledger.fds.at(fd).write.first();
        if index != NONE && ledger.slab[index].state == State::Waiting {
            self.launch(ledger, index);
        }
    }

    /// Hands an operation to the kernel.
    #[inline]
    fn launch<K: Kernel>(&mut self, ledger: &mut Ledger<K>, index: Index) {
        let Request { ptr, len, fd, events, code } = ledger.slab[index].request;
        let message = (libc::MSG_NOSIGNAL) as u32;
        let transfer = |opcode, ioprio, op_flags| Sqe {
            opcode,
            ioprio,
            fd,
            addr: ptr as u64,
            len: len as u32,
            op_flags,
            ..Sqe::default()
        };
        let poll = |events| Sqe { opcode: abi::OP_POLL_ADD, fd, op_flags: events, ..Sqe::default() };
        let record = ledger.fds.at(fd);
        let socket = record.kind == Kind::Socket;
        let bulk = socket && code.receives() && record.direct > 0 && len > RIDE_MAX;
        if bulk || code.is_message() || (code == Code::Writev && socket) {
            // The ring would receive for many connections before the first of them sees its bytes, which have left the cache
            // by then. Its vectored write raises SIGPIPE on a socket, so it only waits for the room. Flags and control data
            // mean to a try what they mean to the call.
            ledger.slab[index].polling = true;
        }
        // A try has just failed, or the last receive said that nothing follows: wait first, then transfer.
        let rides = self.rides_along(&ledger.slab[index].request, ledger.fds.at(fd).kind);
        let first = if rides { 0 } else { self.wait_first };
        let mut sqe = match code {
            _ if ledger.slab[index].polling => poll(match code.side() {
                Side::Write => libc::POLLOUT as u32,
                _ => libc::POLLIN as u32,
            }),
            Code::Recv => transfer(abi::OP_RECV, first, 0),
            Code::Read if socket => transfer(abi::OP_RECV, first, 0),
            Code::Send => transfer(abi::OP_SEND, first, message),
            Code::Write if socket => transfer(abi::OP_SEND, first, message),
            Code::Read => Sqe { off: u64::MAX, ..transfer(abi::OP_READ, 0, 0) },
            Code::Write => Sqe { off: u64::MAX, ..transfer(abi::OP_WRITE, 0, 0) },
            Code::Readv => Sqe { off: u64::MAX, ..transfer(abi::OP_READV, 0, 0) },
            Code::Writev => Sqe { off: u64::MAX, ..transfer(abi::OP_WRITEV, 0, 0) },
            Code::AtHand => poll(libc::POLLIN as u32),
            Code::Poll => poll(events),
            Code::Accept => Sqe { addr: ptr as u64, off: len as u64, ..self.accept(fd, 0) },
            Code::AcceptMulti if self.multishot_accept => self.accept(fd, abi::ACCEPT_MULTISHOT),
            Code::AcceptMulti => self.accept(fd, 0),
            Code::Connect => Sqe { opcode: abi::OP_CONNECT, fd, addr: ptr as u64, off: len as u64, ..Sqe::default() },
            Code::RecvWith | Code::RecvMsg | Code::SendWith | Code::SendMsg => unreachable!("polls"),
            Code::Close | Code::Park => unreachable!("the kernel has no part in it"),
        };
        sqe.user_data = user_data(tag::OPERATION, ledger.slab[index].generation, index);
        ledger.take_off(index);
        self.ring.push(&ledger.kernel, sqe);
    }

    fn accept(&self, fd: Fd, ioprio: u16) -> Sqe {
        Sqe { opcode: abi::OP_ACCEPT, ioprio, fd, op_flags: portable::SOCK_CLOEXEC as u32, ..Sqe::default() }
    }

    /// Asks the kernel to let go of an operation; its own completion says when it has.
    pub(super) fn abort<K: Kernel>(&mut self, ledger: &mut Ledger<K>, index: Index) {
        let target = user_data(tag::OPERATION, ledger.slab[index].generation, index);
        self.cancel(&ledger.kernel, target);
    }

    fn cancel<K: Kernel>(&mut self, kernel: &K, target: u64) {
        let user_data = user_data(tag::CANCEL, 0, 0);
        let sqe = Sqe { opcode: abi::OP_ASYNC_CANCEL, fd: -1, addr: target, user_data, ..Sqe::default() };
        self.ring.push(kernel, sqe);
    }

    /// Makes the kernel let go of what it holds of the descriptor besides operations.
    pub(super) fn release<K: Kernel>(&mut self, ledger: &mut Ledger<K>, fd: Fd) {
        self.stop_multishot(ledger, fd);
        if let Some(buffers) = &mut self.buffers {
            buffers.discard(ledger.fds.at(fd));
        }
    }

    /// Submits what is queued and looks at the kernel, waiting up to `timeout` nanoseconds.
    pub(super) fn wait<K: Kernel>(&mut self, ledger: &mut Ledger<K>, timeout: Option<u64>) -> i32 {
        if !self.wake_armed && !self.hushed {
            self.arm_wake(&ledger.kernel);
        }
        if let Some(buffers) = &mut self.buffers {
            buffers.offer();
        }
        let idle = self.ring.unsubmitted() == 0 && !self.ring.has_overflow();
        let has_completions = self.ring.has_completions();
        // Something came while the sends went out: one enter would have done for both.
        self.sparse &= !has_completions && !self.ring.holds_back();
        if has_completions || timeout == Some(0) {
            if idle && !self.ring.must_enter() {
                return 0;
            }
            return self.enter(ledger, Some(0));
        }
        self.enter(ledger, timeout)
    }

    fn enter<K: Kernel>(&mut self, ledger: &mut Ledger<K>, timeout: Option<u64>) -> i32 {
        let result = self.ring.enter(&ledger.kernel, timeout);
        let riding = std::mem::take(&mut self.riding);
        self.appraise(riding);
        result
    }

    /// Judges by what an enter brought whether small sends had better share the next. One that brings more than their own
    /// ends has spared a system call. One that brings a few ends and nothing else has cost each of them an operation, a
    /// completion and a suspension, for nothing: there are few connections, and their peers speak when they are spoken to.
    #[inline(always)]
    fn appraise(&mut self, riding: usize) {
        if self.ring.ahead(self.few).is_some() {
            self.sparse = false;
        } else if riding > 0 && self.ring.ahead(0).is_some() && self.ring.ahead(riding).is_none() {
            self.sparse = true;
        }
    }

    fn arm_wake<K: Kernel>(&mut self, kernel: &K) {
        self.wake_armed = true;
        let addr = (&raw mut *self.wake_count) as u64;
        let user_data = user_data(tag::WAKE, 0, 0);
        self.ring.push(kernel, Sqe { opcode: abi::OP_READ, fd: self.wake, addr, len: 8, user_data, ..Sqe::default() });
    }

    /// Has the wait end with the time for which the pacer has been armed.
    pub(super) fn watch_pacer(&mut self, kernel: &impl Kernel, fd: Fd) {
        let user_data = user_data(tag::PACE, 0, 0);
        let op_flags = libc::POLLIN as u32;
        self.ring.push(kernel, Sqe { opcode: abi::OP_POLL_ADD, fd, op_flags, user_data, ..Sqe::default() });
    }

    /// Listens to the waker no more. The kernel may write its count until [`is_listening`](Self::is_listening) says no.
    pub(super) fn hush(&mut self, kernel: &impl Kernel) {
        self.hushed = true;
        if self.wake_armed {
            self.cancel(kernel, user_data(tag::WAKE, 0, 0));
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        self.wake_armed
    }

    /// Through what the result of the completion is found that is so many places off.
    #[inline(always)]
    pub(super) fn ahead(&self, places: usize) -> Option<Ahead> {
        let data = self.ring.ahead(places)?;
        let place = data as u32;
        match data >> tag::SHIFT {
            tag::OPERATION => Some(Ahead::Operation(place)),
            tag::RECEIVE => Some(Ahead::Descriptor(place as Fd)),
            _ => None,
        }
    }

    /// Works off one completion.
    #[inline(always)]
    pub(super) fn harvest<K: Kernel>(&mut self, ledger: &mut Ledger<K>) -> Harvest {
        let Some(cqe) = self.ring.pop() else { return Harvest::Idle };
        match self.harvest_everyday(ledger, cqe) {
            Some(completion) => Harvest::Complete(completion),
            None => self.harvest_other(ledger, cqe),
        }
    }

    fn harvest_other<K: Kernel>(&mut self, ledger: &mut Ledger<K>, cqe: Cqe) -> Harvest {
        let place = cqe.user_data as u32;
        let generation = generation(cqe.user_data);
        match cqe.user_data >> tag::SHIFT {
            tag::OPERATION => {
                debug_assert!(ledger.slab[place].generation == generation, "a record outlives its operation");
                return self.complete(ledger, place, cqe);
            }
            tag::RECEIVE => return self.received(ledger, place as Fd, generation, cqe),
            tag::WAKE => self.wake_armed = false,
            tag::PACE => ledger.pacer.ring(cqe.res),
            // How a cancel went says nothing about its target, whose own completion does.
            _ => {}
        }
        Harvest::Quiet
    }

    fn complete<K: Kernel>(&mut self, ledger: &mut Ledger<K>, index: Index, cqe: Cqe) -> Harvest {
        let record = &ledger.slab[index];
        let (code, fd, waiter) = (record.request.code, record.request.fd, record.waiter);
        if code == Code::AcceptMulti && cqe.res >= 0 && cqe.flags & abi::CQE_F_MORE != 0 {
            return Harvest::Complete(Completion { waiter, result: cqe.res, more: true });
        }
        ledger.land(index);
        self.signal_spent |= ledger.fds.at(fd).kind == Kind::Stream;
        let mut harvest = Harvest::Quiet;
        match self.verdict(ledger, index, cqe) {
            Verdict::Finish(result) => ledger.yield_to(&mut harvest, index, result),
            Verdict::Again => {
                self.launch(ledger, index);
                return Harvest::Quiet;
            }
            Verdict::Never => return Harvest::Quiet,
            Verdict::Yield(result) => {
                self.launch(ledger, index);
                return Harvest::Complete(Completion { waiter, result, more: true });
            }
            Verdict::Last(result) => {
                ledger.finish(index, -libc::ECANCELED);
                harvest = Harvest::Complete(Completion { waiter, result, more: true });
            }
        }
        if ledger.fds.at(fd).closing {
            ledger.settle_close(fd);
        } else {
            match code.side() {
                Side::Read => self.advance_reads(ledger, fd, &mut harvest),
                Side::Write => self.advance_writes(ledger, fd),
                Side::Poll => {}
            }
        }
        harvest
    }

    /// What is to be made of the completion of an operation that the kernel has let go.
    fn verdict<K: Kernel>(&mut self, ledger: &mut Ledger<K>, index: Index, cqe: Cqe) -> Verdict {
        let record = &mut ledger.slab[index];
        let request = record.request;
        let (cancelled, polled) = (record.reason != Reason::None, record.polling);
        record.polling = false;
        let known = ledger.fds.at(request.fd);
        if polled && cqe.res >= 0 {
            // The readiness that was waited for; the transfer is made here.
            // SAFETY: the operation has not completed, so its buffers are still lent.
            let result = unsafe { attempt(&ledger.kernel, known.kind, known.nonblocking, &request) };
            if result == -libc::EAGAIN && !cancelled {
                ledger.slab[index].polling = true;
                return Verdict::Again;
            }
            match request.code {
                code if result < 0 || code.side() != Side::Read => {}
                code if code.receives() => self.learn(known, request.len, result, false),
                // What follows may be there already.
                _ => known.ready |= ready::READ,
            }
            return match request.code {
                Code::AcceptMulti if result >= 0 && cancelled => Verdict::Last(result),
                Code::AcceptMulti if result >= 0 => Verdict::Yield(result),
                _ => Verdict::Finish(result),
            };
        }
        match (request.code, cqe.res) {
            (Code::AcceptMulti, fd) if fd >= 0 && !cancelled => Verdict::Yield(fd),
            (Code::AcceptMulti, fd) if fd >= 0 => Verdict::Last(fd),
            (Code::AcceptMulti, gone) if gone == -libc::ECONNABORTED && !cancelled => Verdict::Again,
            (Code::AcceptMulti, unknown)
                if unknown == -libc::EINVAL
                    && ledger.kernel.getsockopt(request.fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN) == Ok(1) =>
            {
                // Before 5.19 there is no multishot accept, and several may have been submitted before the first of
                // them said so; a socket that does not listen says EINVAL as well.
                self.multishot_accept = false;
                if cancelled { Verdict::Finish(-libc::ECANCELED) } else { Verdict::Again }
            }
            (Code::AtHand, events) if events >= 0 => {
                known.ready |= ready::READ;
                Verdict::Finish(1)
            }
            // The kernel knows no event to wait for: a regular file, of which somebody asks more than to read and write.
            // When it is over by the time that it says so, that is not its answer.
            (Code::Poll, never) if never == -libc::EINVAL => {
                if cancelled {
                    Verdict::Finish(-libc::ECANCELED)
                } else {
                    Verdict::Never
                }
            }
            (Code::Poll, events) => {
                if events > 0 && events as u32 & super::READ_EVENTS != 0 {
                    known.ready |= ready::READ;
                }
                Verdict::Finish(events)
            }
            (code, again) if again == -libc::EAGAIN && !cancelled && code != Code::Connect => {
                // Some files refuse instead of waiting (O_NONBLOCK before 5.16, character devices).
                ledger.slab[index].polling = true;
                Verdict::Again
            }
            (Code::Read | Code::Recv, count) if count >= 0 => {
                self.learn(known, request.len, count, cqe.flags & abi::CQE_F_SOCK_NONEMPTY != 0);
                Verdict::Finish(count)
            }
            (_, result) => Verdict::Finish(result),
        }
    }
}

enum Verdict {
    /// It is over.
    Finish(i32),
    /// It goes to the kernel once more.
    Again,
    /// It waits for what never comes, until somebody ends it.
    Never,
    /// One result of many; it goes to the kernel once more.
    Yield(i32),
    /// One result of many, which came after the end was asked for; the end follows it.
    Last(i32),
}
