//! What the backends that are told of readiness share: they make each call themselves, when an edge says that it will
//! succeed. What each keeps to itself is how it registers, waits, and reads what the kernel says: see [`Poller`].

use super::attempt::{attempt, connect_now, connect_outcome, poll};
use super::epoll::Epoll;
use super::fds::{FdRecord, Kind, ready};
use super::kqueue::Kqueue;
use super::ledger::Ledger;
use super::list::{Index, List, NONE};
use super::op::{Code, Completion, OpId, Request, Side, State, Submitted};
use super::pacer::Pacer;
use super::{BackendKind, Harvest, READ_EVENTS, WRITE_EVENTS};
use crate::sys::{Errno, Fd, Kernel, portable};

/// How many connections one listener may hand over in one turn, so that accepting cannot starve those that are here.
const ACCEPT_BURST: u32 = 64;

/// The poll bits after which a short read has not drained anything: the peer has hung up or failed, and that is still to be
/// read, or something urgent has come, at which a read stops.
const UNDRAINED: u32 = (portable::POLLRDHUP | libc::POLLHUP | libc::POLLERR | libc::POLLPRI) as u32;

/// What of the kernel watches the descriptors. Each is registered once, edge-triggered in both directions, under its
/// number and its generation.
pub(super) enum Poller {
    Epoll(Epoll),
    Kqueue(Kqueue),
}

/// What one event of the kernel says.
pub(super) enum News {
    /// Nothing of any descriptor: it only ends the wait.
    Nothing,
    /// The pacer's time has come.
    Paced,
    /// These poll bits hold.
    Ready {
        fd: Fd,
        generation: u32,
        bits: u32,
        /// Of these bits it says whether they hold; of others the kernel has to be asked.
        known: u32,
    },
    /// The descriptor cannot be watched.
    Unwatchable { fd: Fd, generation: u32, error: Errno },
    /// The kernel cannot watch the descriptor now.
    Refused { fd: Fd, generation: u32, error: Errno },
}

/// The backend.
pub(super) struct Readiness {
    poller: Poller,
    /// Listeners with connections still to be accepted, and how many this turn has taken from the last of them.
    accepting: Vec<(Fd, Index)>,
    burst: u32,
    /// Listeners that used up their burst; they go on in the next turn.
    rested: Vec<(Fd, Index)>,
    /// How often the kernel was looked at.
    enters: u64,
}

impl Readiness {
    pub(super) fn new(poller: Poller) -> Readiness {
        Readiness { poller, accepting: Vec::new(), burst: 0, rested: Vec::new(), enters: 0 }
    }

    pub(super) fn kind(&self) -> BackendKind {
        match self.poller {
            Poller::Epoll(_) => BackendKind::Epoll,
            Poller::Kqueue(_) => BackendKind::Kqueue,
        }
    }

    pub(super) fn shut<K: Kernel>(&mut self, kernel: &K) {
        match &mut self.poller {
            Poller::Epoll(epoll) => epoll.shut(kernel),
            // It is the waker's, which other threads may hold.
            Poller::Kqueue(_) => {}
        }
    }

    pub(super) fn enters(&self) -> u64 {
        self.enters
    }

    /// Whether there is something to harvest without asking the kernel.
    pub(super) fn has_news(&self) -> bool {
        self.poller.has_news() || !self.accepting.is_empty()
    }

    /// Sees to it that everything that is to happen shows at the descriptor; `false` says that something has happened.
    pub(super) fn settle<K: Kernel>(&mut self, kernel: &K) -> bool {
        let told = match &mut self.poller {
            Poller::Epoll(_) => true,
            Poller::Kqueue(kqueue) => kqueue.settle(kernel),
        };
        told && !self.has_news() && self.rested.is_empty()
    }

    pub(super) fn descriptor(&self) -> Fd {
        match &self.poller {
            Poller::Epoll(epoll) => epoll.descriptor(),
            Poller::Kqueue(kqueue) => kqueue.descriptor(),
        }
    }

    /// A pacer with whose time the wait ends.
    pub(super) fn new_pacer<K: Kernel>(&mut self, kernel: &K) -> Pacer {
        match &mut self.poller {
            Poller::Epoll(epoll) => Pacer::new(kernel, |fd| epoll.watch_pacer(kernel, fd)),
            Poller::Kqueue(_) => Pacer::none(),
        }
    }

    /// Registers a descriptor that has just entered the table.
    pub(super) fn register<K: Kernel>(&mut self, ledger: &mut Ledger<K>, fd: Fd) -> Result<(), Errno> {
        let Ledger { kernel, fds, .. } = ledger;
        let record = fds.at(fd);
        if record.kind == Kind::File {
            return Ok(());
        }
        match &mut self.poller {
            Poller::Epoll(epoll) => epoll.register(kernel, fd, record),
            Poller::Kqueue(kqueue) => kqueue.register(kernel, fd, record.generation),
        }
    }

    /// Ends the registration of a descriptor whose file may outlive its number.
    pub(super) fn forget<K: Kernel>(&mut self, kernel: &K, fd: Fd) {
        match &mut self.poller {
            Poller::Epoll(epoll) => epoll.forget(kernel, fd),
            // A closed number is watched no longer, whoever else has the file.
            Poller::Kqueue(_) => {}
        }
    }

    #[inline(always)]
    pub(super) fn submit<K: Kernel>(&mut self, ledger: &mut Ledger<K>, request: Request, waiter: u64) -> Submitted {
        if request.code == Code::Connect {
            return self.connect(ledger, request, waiter);
        }
        if request.code == Code::Accept {
            // What cannot listen says so at once, and has no edge to say it with.
            ledger.fds.at(request.fd).ready |= ready::READ;
        }
        if request.code == Code::AcceptMulti {
            let index = ledger.enqueue(request, waiter);
            self.accepting.push((request.fd, index));
            return ledger.pending(index);
        }
        match self.try_now(ledger, &request) {
            Some(result) => Submitted::Done(result),
            None => {
                let index = ledger.enqueue(request, waiter);
                ledger.pending(index)
            }
        }
    }

    /// Begins a read that is vouched for, of what the last one has drained: the next edge serves it.
    #[inline(always)]
    pub(super) fn submit_fetch<K: Kernel>(
        &self,
        ledger: &mut Ledger<K>,
        request: &Request,
        waiter: u64,
    ) -> Option<OpId> {
        let Ledger { slab, fds, .. } = ledger;
        let record = fds.known(request.fd).filter(|record| request.code == Code::Read && record.is_drained())?;
        let (index, op) = slab.insert_record(*request, waiter);
        op.vouched = true;
        record.read = List::single(index);
        Some(OpId { index, generation: op.generation })
    }

    /// Carries the operation out if nobody is before it and it may succeed.
    #[inline(always)]
    pub(super) fn try_now<K: Kernel>(&mut self, ledger: &mut Ledger<K>, request: &Request) -> Option<i32> {
        let record = ledger.fds.at(request.fd);
        let side = request.code.side();
        let wanted = match side {
            Side::Poll => readiness(request.events),
            side => bit(side),
        };
        let may = record.kind == Kind::File || record.ready & wanted != 0 || wanted == 0;
        if !may || (side != Side::Poll && !record.queue(side).is_empty()) {
            return None;
        }
        // SAFETY: whoever submitted lends the buffers until the operation completes, and it has not.
        let result = unsafe { attempt(&ledger.kernel, record.kind, record.nonblocking, request) };
        note(record, side, request, result);
        (result != -libc::EAGAIN).then_some(result)
    }

    #[cold]
    fn connect<K: Kernel>(&mut self, ledger: &mut Ledger<K>, request: Request, waiter: u64) -> Submitted {
        // SAFETY: the submitter lends the address until the operation completes.
        let result = unsafe { connect_now(&ledger.kernel, &request) };
        if result != -libc::EINPROGRESS {
            return Submitted::Done(result);
        }
        let index = ledger.enqueue(request, waiter);
        ledger.pending(index)
    }

    /// Looks at the kernel, waiting up to `timeout` nanoseconds.
    pub(super) fn wait<K: Kernel>(&mut self, ledger: &mut Ledger<K>, timeout: Option<u64>) -> i32 {
        if self.poller.has_news() {
            // The last batch is not worked off yet.
            return 0;
        }
        let timeout = if self.accepting.is_empty() && self.rested.is_empty() { timeout } else { Some(0) };
        self.accepting.append(&mut self.rested);
        self.burst = 0;
        self.enters += 1;
        match &mut self.poller {
            Poller::Epoll(epoll) => epoll.wait(&ledger.kernel, timeout),
            Poller::Kqueue(kqueue) => kqueue.wait(&ledger.kernel, timeout),
        }
    }

    /// The descriptor of the event that is so many places off.
    #[inline(always)]
    pub(super) fn ahead(&self, places: usize) -> Option<Fd> {
        match &self.poller {
            Poller::Epoll(epoll) => epoll.ahead(places),
            Poller::Kqueue(kqueue) => kqueue.ahead(places),
        }
    }

    /// Works off one event, or accepts one connection.
    pub(super) fn harvest<K: Kernel>(&mut self, ledger: &mut Ledger<K>) -> Harvest {
        if let Some(&(listener, index)) = self.accepting.last() {
            return self.accept(ledger, listener, index);
        }
        match self.poller.next() {
            None => Harvest::Idle,
            Some(News::Nothing) => Harvest::Quiet,
            Some(News::Paced) => {
                ledger.pacer.ring(0);
                Harvest::Quiet
            }
            Some(News::Ready { fd, generation, bits, known }) => {
                if !ledger.fds.is_alive(fd, generation) {
                    return Harvest::Quiet;
                }
                match deliver(ledger, fd, bits) {
                    Some(completion) => Harvest::Complete(completion),
                    None => self.edge(ledger, fd, bits, known),
                }
            }
            Some(News::Unwatchable { fd, generation, .. })
                if ledger.fds.is_alive(fd, generation) && ledger.fds.at(fd).kind == Kind::Stream =>
            {
                // What cannot be waited for never blocks.
                ledger.fds.at(fd).kind = Kind::File;
                self.edge(ledger, fd, READ_EVENTS | WRITE_EVENTS, 0)
            }
            Some(News::Unwatchable { fd, generation, error } | News::Refused { fd, generation, error }) => {
                if ledger.fds.is_alive(fd, generation) {
                    ledger.fail(fd, error);
                }
                Harvest::Quiet
            }
        }
    }

    /// Carries out what an event allows.
    #[inline(always)]
    fn edge<K: Kernel>(&mut self, ledger: &mut Ledger<K>, fd: Fd, bits: u32, known: u32) -> Harvest {
        let record = ledger.fds.at(fd);
        record.ready |= readiness(bits);
        if bits & UNDRAINED != 0 {
            record.ready |= ready::UNDRAINED;
        }
        let (reads, writes, polls) = (!record.read.is_empty(), !record.write.is_empty(), !record.poll.is_empty());
        let mut harvest = Harvest::Quiet;
        if reads && bits & READ_EVENTS != 0 {
            self.advance(ledger, fd, Side::Read, &mut harvest);
        }
        if writes && bits & WRITE_EVENTS != 0 {
            self.advance(ledger, fd, Side::Write, &mut harvest);
        }
        if polls {
            report(ledger, fd, bits, known, &mut harvest);
        }
        harvest
    }

    /// Carries out, in order, the operations of one side until one would block.
    #[inline]
    fn advance<K: Kernel>(&mut self, ledger: &mut Ledger<K>, fd: Fd, side: Side, harvest: &mut Harvest) {
        loop {
            let record = ledger.fds.at(fd);
            let index = record.queue(side).first();
            if index == NONE || record.ready & bit(side) == 0 {
                return;
            }
            let (kind, nonblocking) = (record.kind, record.nonblocking);
            let request = ledger.slab[index].request;
            let result = match request.code {
                Code::AcceptMulti => {
                    let place = (fd, index);
                    if !self.accepting.contains(&place) && !self.rested.contains(&place) {
                        self.accepting.push(place);
                    }
                    return;
                }
                Code::Connect => connect_outcome(&ledger.kernel, fd),
                // SAFETY: the operation has not completed, so its buffers are still lent.
                _ => unsafe { attempt(&ledger.kernel, kind, nonblocking, &request) },
            };
            note(ledger.fds.at(fd), side, &request, result);
            if result == -libc::EAGAIN {
                return;
            }
            ledger.yield_to(harvest, index, result);
        }
    }

    fn accept<K: Kernel>(&mut self, ledger: &mut Ledger<K>, listener: Fd, index: Index) -> Harvest {
        let record = &ledger.slab[index];
        // The list holds bare places: the operation may have been cancelled, and its record may serve another.
        let serves = record.request.code == Code::AcceptMulti && record.request.fd == listener;
        if record.state != State::Waiting || !serves {
            return self.pass_on(ledger, listener);
        }
        if self.burst == ACCEPT_BURST {
            self.burst = 0;
            self.rested.extend(self.accepting.pop());
            return Harvest::Quiet;
        }
        let (request, waiter) = (record.request, record.waiter);
        let nonblocking = ledger.fds.at(request.fd).nonblocking;
        // SAFETY: accepting touches no memory.
        let result = unsafe { attempt(&ledger.kernel, Kind::Socket, nonblocking, &request) };
        self.burst += 1;
        match result {
            again if again == -libc::EAGAIN => {
                ledger.fds.at(request.fd).ready &= !ready::READ;
                self.accepting.pop();
                self.burst = 0;
                Harvest::Quiet
            }
            // The peer gave up before we took it: no reason to stop accepting.
            gone if gone == -libc::ECONNABORTED => Harvest::Quiet,
            result if result < 0 => {
                ledger.finish(index, result);
                self.pass_on(ledger, listener)
            }
            result => Harvest::Complete(Completion { waiter, result, more: true }),
        }
    }

    /// Whoever accepted has ended, perhaps before the listener was drained: the next in its queue goes on at once, as no
    /// new edge comes for what is there already.
    fn pass_on<K: Kernel>(&mut self, ledger: &mut Ledger<K>, listener: Fd) -> Harvest {
        self.accepting.pop();
        self.burst = 0;
        let mut harvest = Harvest::Quiet;
        self.advance(ledger, listener, Side::Read, &mut harvest);
        harvest
    }
}

impl Poller {
    fn has_news(&self) -> bool {
        match self {
            Poller::Epoll(epoll) => epoll.has_news(),
            Poller::Kqueue(kqueue) => kqueue.has_news(),
        }
    }

    #[inline(always)]
    fn next(&mut self) -> Option<News> {
        match self {
            Poller::Epoll(epoll) => epoll.next(),
            Poller::Kqueue(kqueue) => kqueue.next(),
        }
    }
}

/// What nearly every event is for: bytes have come for the one who reads, and nobody else waits. The same as
/// [`edge`](Readiness::edge), in one pass over the records.
#[inline(always)]
fn deliver<K: Kernel>(ledger: &mut Ledger<K>, fd: Fd, bits: u32) -> Option<Completion> {
    const BYTES: u32 = (libc::POLLIN | libc::POLLRDNORM) as u32;
    const ROOM: u32 = (libc::POLLOUT | libc::POLLWRNORM) as u32;
    let Ledger { kernel, slab, fds, timers, .. } = ledger;
    let record = fds.at(fd);
    let alone = record.read.is_single() && record.write.is_empty() && record.poll.is_empty();
    let plain = bits & !(BYTES | ROOM) == 0 && bits & BYTES != 0 && record.ready & ready::UNDRAINED == 0;
    if !alone || !plain || record.kind != Kind::Socket {
        return None;
    }
    let index = record.read.first();
    let op = &slab[index];
    let (Request { ptr, len, code, .. }, waiter) = (op.request, op.waiter);
    if !code.receives() {
        return None;
    }
    // SAFETY: the operation has not completed, so its buffer is still lent.
    let result = unsafe { kernel.recv(fd, ptr, len, libc::MSG_DONTWAIT) } as i32;
    if result == -libc::EAGAIN || result == -libc::EINTR {
        return None;
    }
    record.ready |= readiness(bits);
    if record.drains && result > 0 && (result as usize) < len {
        record.ready &= !ready::READ;
    }
    if op.timer != NONE {
        timers.remove(slab, index);
    }
    record.read = List::EMPTY;
    slab.remove(index);
    Some(Completion { waiter, result, more: false })
}

/// Completes the polls that an event answers. What the event knows is the kernel's word of just now, and is not asked
/// again.
fn report<K: Kernel>(ledger: &mut Ledger<K>, fd: Fd, bits: u32, known: u32, harvest: &mut Harvest) {
    let mut index = ledger.fds.at(fd).poll.first();
    while index != NONE {
        let next = ledger.slab[index].link.next;
        let events = ledger.slab[index].request.events;
        let events = events | (libc::POLLERR | libc::POLLHUP) as u32;
        let held = if events & !known == 0 { (bits & events) as i32 } else { poll(&ledger.kernel, fd, events as i16) };
        if held != 0 && held != -libc::EAGAIN {
            ledger.yield_to(harvest, index, held);
        }
        index = next;
    }
}

/// Learns from a result whether another try can succeed before the next edge.
fn note(record: &mut FdRecord, side: Side, request: &Request, result: i32) {
    if side == Side::Poll {
        if result == -libc::EAGAIN {
            // Only the plain bits speak of bytes: that nothing urgent is there says nothing of the rest.
            let read = if request.events & libc::POLLIN as u32 != 0 { ready::READ } else { 0 };
            let write = if request.events & libc::POLLOUT as u32 != 0 { ready::WRITE } else { 0 };
            record.ready &= !(read | write);
        }
        return;
    }
    let counted = matches!(request.code, Code::Read | Code::Recv | Code::Write | Code::Send);
    // A short read has drained it, unless the end or an error is still to be read, or it stopped at what is urgent. A short
    // write has filled a socket; into a pipe, which may have to block, less is written than there is room for.
    let drained = record.drains && (side == Side::Read || record.kind == Kind::Socket);
    let short = counted && drained && result > 0 && (result as usize) < request.len;
    if result == -libc::EAGAIN || (short && record.ready & ready::UNDRAINED == 0) {
        record.ready &= !bit(side);
    }
}

fn bit(side: Side) -> u8 {
    match side {
        Side::Read => ready::READ,
        Side::Write => ready::WRITE,
        Side::Poll => ready::READ | ready::WRITE,
    }
}

/// The readiness that poll bits speak of.
fn readiness(events: u32) -> u8 {
    let read = if events & READ_EVENTS != 0 { ready::READ } else { 0 };
    let write = if events & WRITE_EVENTS != 0 { ready::WRITE } else { 0 };
    read | write
}
