//! One turn of the loop, and what a host is told of it.
//!
//! The runtime accepts for registered servers, starts a handler when its connection has something to say, and keeps
//! house between turns. A host adds fibers: it asks for [`Event`]s, runs them, and calls [`Runtime::turn`].

mod ending;

pub use ending::Stopper;

use crate::conn::{ConnId, Kind, Table};
use crate::driver::{BackendKind, Carries, Completion, Driver, Foreseen, Op, OpId, Submitted};
use crate::sys::{Errno, Fd, Kernel, check, portable};
use crate::trace;
use ending::Ending;

/// Counts since the runtime was made, and what there is at present.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Statistics {
    /// The driver's part.
    pub driver: crate::driver::Statistics,
    /// Turns taken.
    pub turns: u64,
    /// Sweeps made.
    pub sweeps: u64,
    /// Open connections that are registered servers.
    pub servers: u64,
    /// Open connections that servers have accepted.
    pub accepted: u64,
    /// Those of them that have no fiber yet.
    pub idle: u64,
    /// Open connections that were dialled.
    pub clients: u64,
}

/// What a host is to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// An operation of the host's is over: resume its waiter.
    Resume {
        /// The word that the host handed in.
        waiter: u64,
        /// `>= 0` or a negative errno.
        result: i32,
    },
    /// A connection wants its handler: give it a fiber.
    Start {
        /// The connection. The host reports its end with [`Runtime::finish`].
        conn: ConnId,
        /// The word that its server was registered with.
        handler: u64,
    },
    /// The time has come that was waited for with [`Runtime::arm`].
    Alarm {
        /// The word that the host handed in.
        timer: u64,
    },
}

/// When the handler of a new connection starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// When the first byte arrives: until then the connection costs a record and no fiber.
    Lazy,
    /// At once, for protocols in which the server speaks first.
    Eager,
}

/// A waiter word's lowest two bits say whose it is. A host's are zero, as in any pointer.
mod whose {
    pub(super) const MASK: u64 = 3;
    pub(super) const HOST: u64 = 0;
    pub(super) const SERVER: u64 = 1;
    pub(super) const CONNECTION: u64 = 2;
    /// Of an operation whose end interests nobody, if that is all the word says; else of a timer.
    pub(crate) const NOBODY: u64 = 3;
    pub(super) const TIMER: u64 = 7;
    pub(super) const TIMER_BITS: u32 = 3;
}

/// The waiter of operations whose end interests nobody.
pub const NOBODY: u64 = whose::NOBODY;

/// Every so many turns the house is kept, and this often when little happens but there is something to keep.
const SWEEP_TURNS: u32 = 64;
const SWEEP_NANOS: u64 = 100_000_000;

/// How many descriptors one sweep looks at.
const SWEEP_DESCRIPTORS: usize = 64;

/// How often a shortage of descriptors is spoken of.
const COMPLAINT_NANOS: u64 = 1_000_000_000;

struct Server {
    conn: ConnId,
    handler: u64,
    start: Start,
    carries: Carries,
    state: Accepting,
    /// What accepts, while it is running.
    op: OpId,
}

/// How many connections are accepted one by one before what else there is to do has its turn.
const ACCEPT_BURST: u32 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Accepting {
    Running,
    /// The next connection is to be accepted as soon as the limit on connections allows it.
    Due,
    /// The process or the system is out of descriptors or memory; the sweep tries again.
    Paused,
    Ended,
}

/// The driver, the connections, and the servers that they come from.
pub struct Runtime<K: Kernel> {
    driver: Driver<K>,
    conns: Table,
    servers: Vec<Server>,
    paused: usize,
    due: usize,
    /// How many accepted connections there may be.
    most: usize,
    turns: u32,
    swept: u64,
    turns_ever: u64,
    sweeps: u64,
    complained: u64,
    ending: Ending,
}

impl<K: Kernel> Runtime<K> {
    /// A runtime over that driver.
    pub fn new(driver: Driver<K>) -> Runtime<K> {
        let conns = Table::default();
        Runtime {
            driver,
            conns,
            servers: Vec::new(),
            paused: 0,
            due: 0,
            most: usize::MAX,
            turns: 0,
            turns_ever: 0,
            sweeps: 0,
            swept: 0,
            complained: 0,
            ending: Ending::new(),
        }
    }

    /// The driver.
    pub fn driver(&mut self) -> &mut Driver<K> {
        &mut self.driver
    }

    /// The connections.
    pub fn conns(&self) -> &Table {
        &self.conns
    }

    /// Begins an operation; `waiter` must leave its lowest two bits zero. See [`Driver::submit`]; a close is to go
    /// through [`close`](Self::close).
    ///
    /// # Safety
    ///
    /// As [`Driver::submit`].
    #[inline(always)]
    pub unsafe fn submit(&mut self, op: Op, waiter: u64, deadline: u64) -> Submitted {
        debug_assert!(waiter & whose::MASK == whose::HOST);
        // SAFETY: forwarded from the caller.
        unsafe { self.driver.submit(op, waiter, deadline) }
    }

    /// As [`submit`](Self::submit), by [`Driver::submit_vouched`].
    ///
    /// # Safety
    ///
    /// As [`Driver::submit`].
    pub unsafe fn submit_vouched(&mut self, op: Op, waiter: u64, deadline: u64) -> Submitted {
        debug_assert!(waiter & whose::MASK == whose::HOST);
        // SAFETY: forwarded from the caller.
        unsafe { self.driver.submit_vouched(op, waiter, deadline) }
    }

    /// As [`Driver::park`].
    #[inline(always)]
    pub fn park(&mut self, waiter: u64, deadline: u64, why: &'static str) -> Submitted {
        debug_assert!(waiter & whose::MASK == whose::HOST);
        self.driver.park(waiter, deadline, why)
    }

    /// Hands out [`Event::Alarm`] with `timer`, a word of at most 61 bits, once the monotonic clock says `when`.
    /// [`disarm`](Self::disarm) takes it back, unless the time has come: an event may be on its way then.
    pub fn arm(&mut self, timer: u64, when: u64) -> OpId {
        debug_assert!(timer >> (64 - whose::TIMER_BITS) == 0);
        match self.driver.park(timer << whose::TIMER_BITS | whose::TIMER, when.max(1), "timer") {
            Submitted::Pending(op) => op,
            Submitted::Done(_) => OpId::NONE,
        }
    }

    /// Registers a listening socket: from now on each of its connections gets `handler`. The socket becomes the
    /// runtime's, is made non-blocking, and is closed when the runtime ends.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK`, `EBADF`, `EPROTOTYPE` for a socket of messages, or `EINVAL` for one that does not listen or is
    /// registered already.
    pub fn register(&mut self, fd: Fd, handler: u64, start: Start) -> Result<(), Errno> {
        let kernel = self.driver.kernel();
        if kernel.getsockopt(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? == 0 || self.serves(fd) {
            return Err(Errno(libc::EINVAL));
        }
        let carries = Carries::of(kernel, fd)?;
        if carries == Carries::Messages {
            return Err(Errno(libc::EPROTOTYPE));
        }
        let flags = check(kernel.flags(fd))?;
        check(kernel.set_flags(fd, flags | libc::O_NONBLOCK))?;
        let server = self.servers.iter().position(|server| server.state == Accepting::Ended);
        let server = server.unwrap_or(self.servers.len());
        let conn = self.conns.open(fd, Kind::Server, server as u32);
        let entry = Server { conn, handler, start, carries, state: Accepting::Running, op: OpId::NONE };
        if server == self.servers.len() {
            self.servers.push(entry)
        } else {
            self.servers[server] = entry
        }
        self.accept(server as u32);
        Ok(())
    }

    fn serves(&self, fd: Fd) -> bool {
        self.servers.iter().any(|server| server.conn.fd() == fd && self.conns.is_open(server.conn))
    }

    /// How many servers are accepting, or will again.
    pub fn serving(&self) -> usize {
        self.servers.iter().filter(|server| server.state != Accepting::Ended).count()
    }

    /// Allows so many accepted connections at a time, which is at least one; any number if nothing is said. Beyond it
    /// accepting pauses, and who comes waits in the kernel's queue. Those that are there already stay. With several
    /// servers, each of them may accept one more that has come at the same moment; and one that is accepting already
    /// takes who comes before the kernel has heard of the limit.
    ///
    /// # Errors
    ///
    /// `EINVAL` for 0.
    pub fn set_connection_limit(&mut self, most: usize) -> Result<(), Errno> {
        if most == 0 {
            return Err(Errno(libc::EINVAL));
        }
        self.most = most;
        // However many they accept at once: from now on they do as the limit allows.
        self.interrupt_accepting();
        Ok(())
    }

    /// Ends what accepts, so that it goes on when it may.
    fn interrupt_accepting(&mut self) {
        for server in &self.servers {
            self.driver.cancel(server.op);
        }
    }

    /// Whether a connection may be accepted that nothing has been submitted for.
    fn may_accept(&self) -> bool {
        self.due > 0 && !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.conns.count(Kind::Accepted) >= self.most
    }

    fn accept(&mut self, server: u32) {
        if self.most != usize::MAX {
            self.servers[server as usize].state = Accepting::Due;
            self.due += 1;
            return;
        }
        if let Submitted::Done(result) = self.begin_accepting(server, true) {
            self.stopped_accepting(server, result);
        }
    }

    fn begin_accepting(&mut self, server: u32, multi: bool) -> Submitted {
        let fd = self.servers[server as usize].conn.fd();
        let waiter = u64::from(server) << 2 | whose::SERVER;
        // SAFETY: accepting lends no memory.
        let submitted = unsafe { self.driver.submit(Op::Accept { fd, multi }, waiter, 0) };
        if let Submitted::Pending(op) = submitted {
            self.servers[server as usize].op = op;
        }
        submitted
    }

    /// Accepts one by one where there is a limit: the kernel, asked for many, would bring as many as there are.
    #[cold]
    fn accept_due(&mut self) -> Option<Event> {
        for server in 0..self.servers.len() as u32 {
            for _ in 0..ACCEPT_BURST {
                if self.servers[server as usize].state != Accepting::Due || self.is_full() {
                    break;
                }
                self.servers[server as usize].state = Accepting::Running;
                self.due -= 1;
                let multi = self.most == usize::MAX;
                if let Submitted::Done(result) = self.begin_accepting(server, multi) {
                    let event = self.accepted(server, result, false);
                    if event.is_some() {
                        return event;
                    }
                }
            }
        }
        None
    }

    fn stopped_accepting(&mut self, server: u32, result: i32) {
        let conn = self.servers[server as usize].conn;
        self.servers[server as usize].op = OpId::NONE;
        if result == -libc::EBADF && self.conns.is_open(conn) {
            // Somebody closed it behind our back: the number is not ours to close once more.
            self.conns.close(conn.fd());
        }
        let state = match -result {
            _ if !self.conns.is_open(conn) => Accepting::Ended,
            // The limit on connections has changed, or the peer gave up before it was accepted.
            libc::ECANCELED | libc::ECONNABORTED => Accepting::Due,
            libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS => Accepting::Paused,
            // The network's own troubles with one connection are no reason to stop (accept(2) lists them).
            libc::EPROTO
            | libc::EPERM
            | libc::ENETDOWN
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | portable::ENONET
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP => Accepting::Paused,
            _ => Accepting::Ended,
        };
        self.servers[server as usize].state = state;
        self.due += usize::from(state == Accepting::Due);
        if state == Accepting::Paused {
            self.paused += 1;
            let now = self.driver.kernel().now();
            if self.complained == 0 || now - self.complained >= COMPLAINT_NANOS {
                self.complained = now;
                eprintln!("nyario: accepting pauses: {}", Errno(-result));
            }
        }
    }

    fn resume_accepting(&mut self) {
        for server in 0..self.servers.len() {
            if self.servers[server].state == Accepting::Paused {
                self.servers[server].state = Accepting::Running;
                self.paused -= 1;
                self.accept(server as u32);
            }
        }
    }

    /// Enters a connection that the host has opened, by which nothing but bytes or messages comes: see [`Carries`].
    ///
    /// # Errors
    ///
    /// As [`Driver::own`]; `ENOTSOCK` and `EBADF`.
    pub fn opened(&mut self, fd: Fd, nonblocking: bool) -> Result<ConnId, Errno> {
        let kind = self.driver.kernel().getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE)?;
        let carries = if kind == libc::SOCK_STREAM { Carries::Bytes } else { Carries::Messages };
        self.opened_as(fd, nonblocking, carries)
    }

    /// The same of a socket of which it is known what comes by it.
    ///
    /// # Errors
    ///
    /// As [`Driver::own`].
    pub fn opened_as(&mut self, fd: Fd, nonblocking: bool, carries: Carries) -> Result<ConnId, Errno> {
        self.driver.own(fd, nonblocking, carries)?;
        Ok(self.conns.open(fd, Kind::Client, 0))
    }

    /// Closes a descriptor of any kind: see [`Op::Close`].
    pub fn close(&mut self, fd: Fd, waiter: u64) -> Submitted {
        self.strike(fd);
        // SAFETY: a close lends no memory.
        unsafe { self.driver.submit(Op::Close { fd }, waiter, 0) }
    }

    /// Like [`close`](Self::close), while the thread waits.
    pub fn close_now(&mut self, fd: Fd) -> i32 {
        self.strike(fd);
        self.driver.close_now(fd)
    }

    /// Takes a descriptor that is about to be closed out of the books.
    fn strike(&mut self, fd: Fd) {
        let rests =
            |server: &&mut Server| server.conn.fd() == fd && matches!(server.state, Accepting::Paused | Accepting::Due);
        if self.conns.close(fd)
            && self.paused + self.due > 0
            && let Some(server) = self.servers.iter_mut().find(rests)
        {
            match std::mem::replace(&mut server.state, Accepting::Ended) {
                Accepting::Due => self.due -= 1,
                _ => self.paused -= 1,
            }
        }
        if self.paused > 0 {
            // The descriptor that accepting lacked may be free soon.
            self.turns = SWEEP_TURNS - 1;
        }
    }

    /// The handler of a connection has ended: the connection ends with it, if it has not yet.
    pub fn finish(&mut self, conn: ConnId) {
        if self.conns.is_open(conn) {
            self.close(conn.fd(), whose::NOBODY);
        }
    }

    /// Fetches what the events after the next will need into the cache, and tells which of the host's waiters they are
    /// likely to be for. To be called before [`next`](Self::next); see [`Driver::foresee`].
    #[inline(always)]
    pub fn foresee(&mut self) -> Foreseen {
        let Foreseen { soon, later } = self.driver.foresee();
        let hosts = |waiter: &u64| waiter & whose::MASK == whose::HOST;
        Foreseen { soon: soon.filter(hosts), later: later.filter(hosts) }
    }

    /// What the host is to do next, or `None` when a turn is due.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator would borrow the runtime that its items act on")]
    pub fn next(&mut self) -> Option<Event> {
        loop {
            let Some(Completion { waiter, result, more }) = self.driver.next() else {
                return if self.due > 0 { self.accept_due() } else { None };
            };
            let event = match waiter & whose::MASK {
                whose::HOST => return Some(Event::Resume { waiter, result }),
                whose::SERVER => self.accepted((waiter >> 2) as u32, result, more),
                whose::CONNECTION => self.spoke(ConnId::from_word(waiter >> 2), result),
                // A park that ends with 0 has met its deadline.
                _ if waiter != whose::NOBODY && result == 0 => {
                    Some(Event::Alarm { timer: waiter >> whose::TIMER_BITS })
                }
                _ => None,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    fn accepted(&mut self, server: u32, result: i32, more: bool) -> Option<Event> {
        if !more {
            if result < 0 {
                self.stopped_accepting(server, result);
                return None;
            }
            // One of one: the next is due.
            self.stopped_accepting(server, -libc::ECANCELED);
        }
        let fd = result;
        let conn = self.conns.open(fd, Kind::Accepted, server);
        if self.draining() {
            // It came before its server was closed.
            self.close(fd, whose::NOBODY);
            return None;
        }
        if self.is_full() {
            self.interrupt_accepting();
        }
        let carries = self.servers[server as usize].carries;
        if let Err(error) = self.driver.own(fd, false, carries) {
            eprintln!("nyario: a connection is dropped: {error}");
            self.close(fd, whose::NOBODY);
            return None;
        }
        if self.servers[server as usize].start == Start::Eager {
            return self.start(conn);
        }
        // A poll takes nothing from the socket: whoever serves it may still read it in a way of its own.
        let op = Op::Poll { fd, events: (libc::POLLIN | portable::POLLRDHUP) as u32 };
        // SAFETY: a poll lends no memory.
        match unsafe { self.driver.submit(op, conn.word() << 2 | whose::CONNECTION, 0) } {
            Submitted::Done(result) => self.spoke(conn, result),
            Submitted::Pending(_) => None,
        }
    }

    /// An idle connection has something to say, or has left.
    fn spoke(&mut self, conn: ConnId, result: i32) -> Option<Event> {
        if !self.conns.is_open(conn) {
            return None;
        }
        let gone = result < 0 || {
            let hangup = result & i32::from(portable::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0;
            hangup && self.has_nothing_to_say(conn.fd())
        };
        if gone {
            self.finish(conn);
            return None;
        }
        self.start(conn)
    }

    fn has_nothing_to_say(&self, fd: Fd) -> bool {
        let mut byte = 0u8;
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        // SAFETY: one byte is lent for the call.
        unsafe { self.driver.kernel().recv(fd, &raw mut byte, 1, flags) <= 0 }
    }

    fn start(&mut self, conn: ConnId) -> Option<Event> {
        let server = self.conns.start(conn)?;
        Some(Event::Start { conn, handler: self.servers[server as usize].handler })
    }

    /// Takes a turn: one look at the kernel, then housekeeping when it is due. With `busy` it does not wait; with
    /// `restless` it does not wait past the next sweep. `true` says that it swept: the host's own is due too.
    pub fn turn(&mut self, busy: bool, restless: bool) -> bool {
        self.turn_within(if busy { Some(0) } else { None }, restless)
    }

    /// Like [`turn`](Self::turn), waiting for up to `limit` nanoseconds, or as long as it takes.
    pub fn turn_within(&mut self, limit: Option<u64>, restless: bool) -> bool {
        let paced = self.driver.take_pace();
        // Neither is a connection that may be accepted by now to wait for another event, nor a sweep that is due, nor the end.
        let limit = if paced || self.may_accept() || self.grace_ends() { Some(0) } else { limit };
        let (busy, restless) = (limit == Some(0), self.is_restless(restless));
        let longest = if restless { SWEEP_NANOS } else { u64::MAX };
        let limit = match limit {
            None if !restless || self.driver.pace(SWEEP_NANOS) => None,
            limit => Some(limit.map_or(longest, |limit| limit.min(longest))),
        };
        self.driver.turn(limit);
        self.turns += 1;
        self.turns_ever += 1;
        trace::turn_ends();
        let due = paced || self.turns >= SWEEP_TURNS || (restless && !busy && self.until_sweep() == 0);
        if due {
            self.sweep();
        }
        due
    }

    fn is_restless(&self, restless: bool) -> bool {
        restless || self.paused > 0 || self.driver.wants_sweeping()
    }

    fn until_sweep(&self) -> u64 {
        SWEEP_NANOS.saturating_sub(self.driver.kernel().lately().saturating_sub(self.swept))
    }

    fn sweep(&mut self) {
        trace::zone!("sweep");
        self.turns = 0;
        self.sweeps += 1;
        self.swept = self.driver.kernel().lately();
        self.driver.sweep(SWEEP_DESCRIPTORS);
        if self.paused > 0 {
            self.resume_accepting();
        }
    }

    /// Keeps house if it is time to, for a host whose turns do not wait and who may not turn again soon. `true` says that
    /// it swept.
    pub fn sweep_in_time(&mut self, restless: bool) -> bool {
        let due = self.is_restless(restless) && self.until_sweep() == 0;
        if due {
            self.sweep();
        }
        due
    }

    /// See [`Driver::doze`].
    pub fn doze(&mut self) -> bool {
        !self.may_accept() && !self.is_called() && self.driver.doze()
    }

    /// What the runtime has done so far, and what it holds.
    pub fn statistics(&self) -> Statistics {
        let count = |kind| self.conns.count(kind) as u64;
        Statistics {
            driver: self.driver.statistics(),
            turns: self.turns_ever,
            sweeps: self.sweeps,
            servers: count(Kind::Server),
            accepted: count(Kind::Accepted),
            idle: self.conns.idle() as u64,
            clients: count(Kind::Client),
        }
    }

    /// How many nanoseconds a foreign loop may wait in the runtime's stead, or until the driver's descriptor is readable;
    /// `None`: as long as it takes. See [`Driver::doze`].
    pub fn until_due(&mut self, restless: bool) -> Option<u64> {
        if !self.doze() {
            return Some(0);
        }
        let sweep = self.is_restless(restless).then(|| self.until_sweep());
        sweep.into_iter().chain(self.driver.until_deadline()).min()
    }

    /// Whether [`next`](Self::next) may have something without another turn.
    pub fn has_news(&self) -> bool {
        self.driver.has_news() || self.may_accept()
    }

    /// Closes what the host has opened, for a host whose connections do not outlive the loop.
    pub fn close_clients(&mut self) {
        for fd in self.conns.select(|kind, _| kind == Kind::Client) {
            self.close(fd, whose::NOBODY);
        }
    }

    /// Closes the servers and the connections that have no fiber. The rest end with their fibers.
    pub fn shut(&mut self) {
        for fd in self.conns.select(|kind, idle| kind == Kind::Server || idle) {
            self.close(fd, whose::NOBODY);
        }
    }

    /// Like [`shut`](Self::shut), and says whether operations are still to complete.
    pub fn wind_up(&mut self) -> bool {
        self.shut();
        self.driver.pending() > 0
    }

    /// Names the backend at work.
    pub fn backend(&self) -> BackendKind {
        self.driver.backend()
    }

    /// Ends an operation of the host's early; see [`Driver::cancel`].
    pub fn cancel(&mut self, op: OpId) {
        self.driver.cancel(op);
    }

    /// Takes back what [`arm`](Self::arm) began, at once and without an event, unless the time has come.
    pub fn disarm(&mut self, op: OpId) {
        self.driver.release(op);
    }
}

impl<K: Kernel> Drop for Runtime<K> {
    fn drop(&mut self) {
        for fd in self.conns.select(|kind, _| matches!(kind, Kind::Server | Kind::Accepted)) {
            self.close(fd, whose::NOBODY);
        }
    }
}
