//! The proactor: operations go in, completions come out.
//!
//! ```text
//!   submit(op, waiter) --+--> done at once: the result
//!                        +--> pending: a record in the slab, in its descriptor's queue
//!                                 |  the kernel completes it, its deadline passes, somebody cancels it or closes
//!                                 v  its descriptor; while the kernel holds its buffer it only ends by the kernel
//!   next() -> Completion { waiter, result } <-- turn(limit): one look at the kernel, waiting at most so long
//! ```
//!
//! The driver knows nothing of fibers: a waiter is one word, handed in with an operation and handed back with its
//! completion. Every backend gives the same answers; `NYARIO_BACKEND` picks one.

mod ahead;
mod attempt;
mod blocking;
mod carries;
mod config;
mod descriptors;
mod embedding;
mod epoll;
mod fds;
mod foresight;
mod inside;
mod kqueue;
mod ledger;
pub(crate) mod list;
#[cfg(test)]
pub(crate) mod numbers;
mod op;
mod pacer;
mod readiness;
mod slab;
mod standing;
mod statistics;
mod timer;
mod transfer;
mod tries;
mod uring;
mod wake;

pub use blocking::Blocking;
pub use carries::Carries;
pub use config::{BackendKind, Config};
pub use foresight::Foreseen;
pub use inside::Wait;
pub use op::{Completion, Op, OpId, Submitted};
pub use statistics::Statistics;
pub use transfer::End;
pub(crate) use wake::Lent;
pub use wake::Waker;

use crate::sys::{Errno, Fd, Kernel, check, portable};
use crate::trace;
use epoll::Epoll;
use fds::Kind;
use kqueue::Kqueue;
use ledger::Ledger;
use list::{Index, NONE};
use op::{Code, Reason, Request, State};
use pacer::Pacer;
use readiness::{Poller, Readiness};
use std::collections::VecDeque;
use uring::Uring;
use wake::Bell;

/// The poll bits that let a reader try.
const READ_EVENTS: u32 = (libc::POLLIN
    | libc::POLLRDNORM
    | libc::POLLRDBAND
    | libc::POLLPRI
    | portable::POLLRDHUP
    | libc::POLLHUP
    | libc::POLLERR) as u32;
/// The poll bits that let a writer try.
const WRITE_EVENTS: u32 = (libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND | libc::POLLHUP | libc::POLLERR) as u32;

/// The waiter of an operation whose caller blocks its thread.
const CALLER: u64 = u64::MAX;

/// What working off one event of the kernel came to.
enum Harvest {
    /// There was none.
    Idle,
    /// Whatever it meant is in the ledger.
    Quiet,
    /// One result of an operation that goes on.
    Complete(Completion),
}

enum Backend {
    Uring(Box<Uring>),
    Readiness(Box<Readiness>),
}

/// A backend of that kind, and what wakes it.
fn begin<K: Kernel>(kernel: &K, config: &Config, kind: BackendKind) -> Result<(Backend, Waker<K>), Errno> {
    if kind == BackendKind::Kqueue {
        let kqueue = Kqueue::new(kernel, config)?;
        let waker = Waker::new(kernel.clone(), Bell::Kqueue(kqueue.descriptor()));
        return Ok((Backend::Readiness(Box::new(Readiness::new(Poller::Kqueue(kqueue)))), waker));
    }
    let event = check(kernel.eventfd())?;
    let waker = Waker::new(kernel.clone(), Bell::Eventfd(event));
    let backend = match kind {
        BackendKind::Uring => Backend::Uring(Box::new(Uring::new(kernel, event, config)?)),
        _ => Backend::Readiness(Box::new(Readiness::new(Poller::Epoll(Epoll::new(kernel, event)?)))),
    };
    Ok((backend, waker))
}

/// Results that are at hand are handed out so many at a time before the kernel's: whoever brings its own about, by waiting
/// again for what is refused each time, would keep the others from theirs.
const IN_A_ROW: u32 = 64;

/// One loop's view of the kernel. It belongs to the thread that made it.
pub struct Driver<K: Kernel> {
    ledger: Ledger<K>,
    backend: Backend,
    waker: Waker<K>,
    /// What came while something else was being waited for.
    early: VecDeque<Completion>,
    /// Deadlines may have come since they were last passed.
    due: bool,
    /// How many operations were over as soon as they were begun, and how many notes other threads have left.
    at_once: u64,
    notes: u64,
    /// Set when the driver is being dropped: nothing new is taken.
    closed: bool,
    /// Results that were handed out since the kernel's were last asked for.
    in_a_row: u32,
    /// The operation that is being begun is [vouched](Self::submit_vouched) for.
    vouched: bool,
}

impl<K: Kernel> Driver<K> {
    /// Sets up the backend that `config` asks for.
    ///
    /// # Errors
    ///
    /// The kernel's own, when it has no descriptor or memory left, or when a backend was insisted on that it denies.
    pub fn new(kernel: K, config: &Config) -> Result<Driver<K>, Errno> {
        let (mut backend, waker) = match config.backend {
            Some(kind) => begin(&kernel, config, kind)?,
            None if cfg!(not(target_os = "linux")) => begin(&kernel, config, BackendKind::Kqueue)?,
            None => match begin(&kernel, config, BackendKind::Uring) {
                Ok(begun) => begun,
                Err(error) => {
                    config::report_denied(error);
                    begin(&kernel, config, BackendKind::Epoll)?
                }
            },
        };
        // Before any number is known to the table: a sweep that finds another file at one forgets what watches it.
        let pacer = match &mut backend {
            Backend::Uring(_) => Pacer::new(&kernel, |_| true),
            Backend::Readiness(readiness) => readiness.new_pacer(&kernel),
        };
        Ok(Driver {
            ledger: Ledger::new(kernel, pacer),
            backend,
            waker,
            early: VecDeque::new(),
            due: false,
            at_once: 0,
            notes: 0,
            closed: false,
            in_a_row: 0,
            vouched: false,
        })
    }

    /// Which backend this is.
    pub fn backend(&self) -> BackendKind {
        match &self.backend {
            Backend::Uring(_) => BackendKind::Uring,
            Backend::Readiness(readiness) => readiness.kind(),
        }
    }

    /// Begins an operation on behalf of `waiter`, with a deadline in nanoseconds of the kernel's monotonic clock
    /// (0: none). Past the deadline the operation is cancelled and completes with `-ETIMEDOUT`, unless it completes
    /// with something better while it is being cancelled.
    ///
    /// # Safety
    ///
    /// Whatever the operation points to must stay valid, unmoved and untouched by others until `Submitted::Done` or
    /// the last completion, however the operation ends: a cancel, a deadline or a close do not end the loan.
    #[inline(always)]
    pub unsafe fn submit(&mut self, op: Op, waiter: u64, deadline: u64) -> Submitted {
        let request = Request::new(op);
        if self.closed {
            return Submitted::Done(-libc::ECANCELED);
        }
        let submitted = match request.code {
            Code::Close => self.close(request, waiter),
            Code::Park => Submitted::Pending(self.ledger.slab.insert_id(request, waiter)),
            _ => match self.adopt(request.fd) {
                Err(error) => Submitted::Done(error.result()),
                Ok(()) if !self.ledger.fds.at(request.fd).is_own_socket() => self.submit_checked(request, waiter),
                Ok(()) => match &mut self.backend {
                    Backend::Uring(uring) => uring.submit(&mut self.ledger, request, waiter),
                    Backend::Readiness(readiness) => readiness.submit(&mut self.ledger, request, waiter),
                },
            },
        };
        match submitted {
            Submitted::Pending(id) => self.limit(id, deadline),
            Submitted::Done(_) => self.at_once += 1,
        }
        submitted
    }

    /// As [`submit`](Self::submit) of an [`Op::Park`], saying why somebody parks: see [`explain`](Self::explain).
    #[inline(always)]
    pub fn park(&mut self, waiter: u64, deadline: u64, why: &'static str) -> Submitted {
        if self.closed {
            return Submitted::Done(-libc::ECANCELED);
        }
        let mut request = Request::new(Op::Park);
        inside::note(&mut request, why);
        let id = self.ledger.slab.insert_id(request, waiter);
        self.limit(id, deadline);
        Submitted::Pending(id)
    }

    #[inline(always)]
    fn limit(&mut self, id: OpId, deadline: u64) {
        if deadline != 0 {
            let Ledger { slab, timers, .. } = &mut self.ledger;
            timers.insert(slab, id.index, deadline);
        }
    }

    /// As [`submit`](Self::submit), for whoever knows from other sources that the number is still the file's that it was at
    /// its last operation: the driver then begins without a look. Should it be another file after all, an operation on a
    /// socket may complete with `-ESTALE`, or with `-ENOTSOCK`, whereupon the caller finds out what the number is and asks
    /// anew by [`submit`](Self::submit).
    ///
    /// # Safety
    ///
    /// As [`submit`](Self::submit).
    #[inline(always)]
    pub unsafe fn submit_vouched(&mut self, op: Op, waiter: u64, deadline: u64) -> Submitted {
        let request = Request::new(op);
        let fetched = match &mut self.backend {
            _ if self.closed => None,
            Backend::Uring(uring) => uring.submit_fetch(&mut self.ledger, &request, waiter),
            Backend::Readiness(readiness) => readiness.submit_fetch(&mut self.ledger, &request, waiter),
        };
        match fetched {
            Some(id) => {
                self.limit(id, deadline);
                Submitted::Pending(id)
            }
            // SAFETY: forwarded from the caller.
            None => unsafe { self.submit_known(op, waiter, deadline) },
        }
    }

    unsafe fn submit_known(&mut self, op: Op, waiter: u64, deadline: u64) -> Submitted {
        self.vouched = true;
        // SAFETY: forwarded from the caller.
        let submitted = unsafe { self.submit(op, waiter, deadline) };
        self.vouched = false;
        if let Submitted::Pending(id) = submitted {
            self.ledger.slab[id.index].vouched = true;
        }
        submitted
    }

    /// Begins an operation on a descriptor that is a pipe's, or that we did not open. In the latter case its number may have
    /// come to another file since the last time, so nothing waits on it, and nothing that could block is tried, before that
    /// has been looked at.
    #[cold]
    fn submit_checked(&mut self, request: Request, waiter: u64) -> Submitted {
        let fd = request.fd;
        // A socket's calls cannot block whatever the number has become; a pipe's may, on kernels without `RWF_NOWAIT`.
        if request.code.transfers() && self.ledger.fds.at(fd).kind == Kind::Socket {
            match self.try_known(&request) {
                Some(result) if result != -libc::ENOTSOCK => return Submitted::Done(result),
                _ => {}
            }
        }
        let vouched = self.vouched && self.ledger.fds.at(fd).kind == Kind::Socket;
        if !vouched && !self.ledger.is_same(fd) {
            self.disown(fd);
            if let Err(error) = self.adopt(fd) {
                return Submitted::Done(error.result());
            }
        }
        if request.code.needs_socket() && self.ledger.fds.at(fd).kind != Kind::Socket {
            return Submitted::Done(-libc::ENOTSOCK);
        }
        match &mut self.backend {
            Backend::Uring(uring) => uring.submit(&mut self.ledger, request, waiter),
            Backend::Readiness(readiness) => readiness.submit(&mut self.ledger, request, waiter),
        }
    }

    /// Ends an operation early: it completes with `-ECANCELED`, or with what it achieved before the cancel reached
    /// it. An operation that has its result already keeps it.
    pub fn cancel(&mut self, id: OpId) {
        if let Some(index) = self.ledger.slab.find(id) {
            self.interrupt(index, Reason::Cancelled);
        }
    }

    fn interrupt(&mut self, index: Index, reason: Reason) {
        let record = &mut self.ledger.slab[index];
        if record.reason != Reason::None || record.request.code == Code::Close {
            return;
        }
        match record.state {
            State::Waiting => {
                record.reason = reason;
                self.ledger.finish(index, -libc::ECANCELED);
            }
            State::InFlight => {
                record.reason = reason;
                match &mut self.backend {
                    Backend::Uring(uring) => uring.abort(&mut self.ledger, index),
                    Backend::Readiness(_) => unreachable!("it lends nothing to the kernel"),
                }
            }
            State::Done | State::Free => {}
        }
    }

    /// Ends a [`Op::Park`] with that result, if it has not ended already.
    pub fn complete(&mut self, id: OpId, result: i32) {
        let Some(index) = self.ledger.slab.find(id) else { return };
        let record = &self.ledger.slab[index];
        if record.request.code == Code::Park && record.state == State::Waiting {
            self.ledger.finish(index, result);
        }
    }

    /// Ends a [`Op::Park`] without a completion: its waiter is the caller's to resume. `None` when it has ended already.
    pub fn release(&mut self, id: OpId) -> Option<u64> {
        let Ledger { slab, timers, .. } = &mut self.ledger;
        let index = slab.find(id)?;
        let record = &slab[index];
        if record.request.code != Code::Park || record.state != State::Waiting {
            return None;
        }
        let waiter = record.waiter;
        if record.timer != NONE {
            timers.remove(slab, index);
        }
        slab.remove(index);
        Some(waiter)
    }

    /// Whether [`next`](Self::next) may have something without another turn.
    pub fn has_news(&self) -> bool {
        !self.ledger.done.is_empty()
            || !self.early.is_empty()
            || match &self.backend {
                Backend::Uring(uring) => uring.has_news(),
                Backend::Readiness(readiness) => readiness.has_news(),
            }
    }

    /// Looks at the kernel once: submits what is queued, waits for up to `limit` nanoseconds (`None`: as long as it
    /// takes) or until a deadline, a completion or a wake-up. Does not wait while results are at hand. Deadlines are
    /// passed once the events of the turn are worked off, so that what has happened comes before what has not.
    pub fn turn(&mut self, limit: Option<u64>) {
        if self.due {
            // The host left events of the last turn for later; the deadlines do not wait for those.
            self.pass_deadlines();
        }
        let mut limit = limit;
        if !self.ledger.done.is_empty() || !self.early.is_empty() {
            limit = Some(0);
        } else if limit != Some(0)
            && let Some(when) = self.ledger.timers.earliest()
        {
            let now = self.ledger.kernel.now();
            let until = when.saturating_sub(now);
            limit = Some(limit.map_or(until, |limit| limit.min(until)));
        }
        if limit != Some(0) && !self.waker.fall_asleep() {
            limit = Some(0);
        }
        self.look(limit);
        self.rouse();
        self.due = true;
    }

    fn look(&mut self, timeout: Option<u64>) {
        trace::zone!("wait");
        let result = match &mut self.backend {
            Backend::Uring(uring) => uring.wait(&mut self.ledger, timeout),
            Backend::Readiness(readiness) => readiness.wait(&mut self.ledger, timeout),
        };
        // A signal, a time-out and a kernel short of something are ordinary: the next turn looks again.
        const ORDINARY: [i32; 5] = [libc::EINTR, portable::ETIME, libc::EAGAIN, libc::EBUSY, libc::ENOMEM];
        if let Err(error) = check(result)
            && !ORDINARY.contains(&error.0)
        {
            panic!("the kernel refuses the loop its own descriptor: {error}");
        }
    }

    fn pass_deadlines(&mut self) {
        self.due = false;
        if self.ledger.timers.earliest().is_none() {
            return;
        }
        self.ledger.now = self.ledger.kernel.now();
        loop {
            let Ledger { slab, timers, now, .. } = &mut self.ledger;
            let Some(index) = timers.expire(slab, *now) else { return };
            if slab[index].request.code == Code::Park {
                self.ledger.finish(index, 0);
            } else {
                self.interrupt(index, Reason::Deadline);
            }
        }
    }

    /// The next completion, in the order in which the operations came to their ends.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator would borrow the driver that its items act on")]
    pub fn next(&mut self) -> Option<Completion> {
        loop {
            // Before the rest: connections are to be handed out before the end of the operation that accepted them.
            if !self.early.is_empty() {
                return self.early.pop_front();
            }
            if self.in_a_row < IN_A_ROW
                && let Some(completion) = self.ledger.next_done()
            {
                self.in_a_row += 1;
                return Some(completion);
            }
            self.in_a_row = 0;
            let harvest = match &mut self.backend {
                Backend::Uring(uring) => uring.harvest(&mut self.ledger),
                Backend::Readiness(readiness) => readiness.harvest(&mut self.ledger),
            };
            match harvest {
                Harvest::Idle if self.due => self.pass_deadlines(),
                Harvest::Idle if self.ledger.done.is_empty() => return None,
                Harvest::Idle => {}
                Harvest::Quiet => {}
                Harvest::Complete(completion) => return Some(completion),
            }
        }
    }

    /// Whether the kernel may still write to anything of ours.
    fn is_lent(&mut self) -> bool {
        let listening = matches!(&self.backend, Backend::Uring(uring) if uring.is_listening());
        listening || (0..self.ledger.fds.len() as Fd).any(|fd| self.ledger.fds.at(fd).in_flight != 0)
    }

    /// Operations that were begun and whose completion has not been handed out.
    pub fn pending(&self) -> usize {
        // What came early has no record any more; the word of a connection goes with the accept that goes on.
        self.ledger.slab.live() + self.early.iter().filter(|completion| !completion.more).count()
    }

    /// What other threads and signal handlers wake this loop with.
    pub fn waker(&self) -> Waker<K> {
        self.waker.clone()
    }

    /// The same, for as long as somebody keeps one.
    pub(crate) fn lend_waker(&self) -> Lent<K> {
        self.waker.lend()
    }

    /// The kernel that this driver drives.
    pub fn kernel(&self) -> &K {
        &self.ledger.kernel
    }
}

impl<K: Kernel> Drop for Driver<K> {
    /// Cancels everything and waits until the kernel has let go of every buffer.
    fn drop(&mut self) {
        self.closed = true;
        let unfinished: Vec<Index> = self.ledger.slab.unfinished().collect();
        for index in unfinished {
            self.interrupt(index, Reason::Cancelled);
        }
        if let Backend::Uring(uring) = &mut self.backend {
            for fd in 0..self.ledger.fds.len() as Fd {
                uring.release(&mut self.ledger, fd);
            }
            uring.hush(&self.ledger.kernel);
        }
        while self.is_lent() {
            self.look(Some(10_000_000));
            self.absorb();
        }
        debug_assert_eq!(self.ledger.slab.in_flight().count(), 0);
        if let Backend::Uring(uring) = &mut self.backend {
            // What was received until the last moment: with it gone, every buffer is accounted for.
            for fd in 0..self.ledger.fds.len() as Fd {
                uring.release(&mut self.ledger, fd);
            }
        }
        self.ledger.pacer.shut(&self.ledger.kernel);
        // Connections that nobody will take any more.
        for connection in self.early.drain(..).filter(|completion| completion.more) {
            self.ledger.kernel.close(connection.result);
        }
        while let Some((code, completion)) = self.ledger.next_done_of() {
            if code == Code::Accept && completion.result >= 0 {
                self.ledger.kernel.close(completion.result);
            }
        }
        match &mut self.backend {
            Backend::Uring(uring) => uring.shut(&self.ledger.kernel),
            Backend::Readiness(readiness) => readiness.shut(&self.ledger.kernel),
        }
    }
}
