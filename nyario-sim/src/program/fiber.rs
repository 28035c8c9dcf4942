//! How a fiber carries its script out, and what it makes of the answers.

use super::claim;
use super::plan::{How, Link, Step};
use super::rig::{Pending, Rig, What};
use super::streams::Stream;
use nyario_core::driver::Op;
use nyario_core::fiber::Options;
use nyario_core::sys::{Errno, Fd, Kernel};
use std::cell::Cell;
use std::rc::Rc;

/// What lies in a fiber's memory while it lends none of it.
const CANARY: u8 = 0xc7;

/// How far past a deadline an operation may come to its end: workers, stalls and busy turns take their time.
pub(super) const LATE: u64 = 200_000_000;

/// How often a fiber that spins yields: many turns, as the kernel is looked at every 256 switches.
const ROUNDS: u32 = 4096;

/// A fiber at work.
pub(super) struct Actor {
    pub(super) rig: Rc<Rig>,
    pub(super) me: usize,
    pub(super) memory: Vec<u8>,
}

/// The value that a fiber ends with.
fn value(fiber: usize) -> u64 {
    fiber as u64 * 7 + 1
}

/// Starts a fiber on its script.
pub(super) fn spawn(rig: &Rc<Rig>, fiber: usize, detached: bool) {
    let code = {
        let rig = rig.clone();
        move || {
            let script = rig.plan.fibers[fiber].clone();
            let mut actor = Actor::new(rig, fiber);
            script.into_iter().for_each(|step| actor.step(step));
            actor.end();
            value(fiber)
        }
    };
    match rig.looped.spawn(Options { detached, ..Options::default() }, code) {
        Ok(id) => {
            let mut people = rig.people.borrow_mut();
            people[fiber].id = Some(id);
            people[fiber].begun = true;
            people[fiber].joined = detached;
        }
        Err(error) => assert_eq!(error, Errno(libc::ECANCELED), "fiber {fiber} is not started"),
    }
}

/// Serves a connection of a registered server.
pub(super) fn handle(rig: &Rc<Rig>, fd: Fd) {
    let me = rig.enrol();
    let mut actor = Actor::new(rig.clone(), me);
    rig.engaged.borrow_mut().insert(fd);
    actor.echo(fd);
    rig.engaged.borrow_mut().remove(&fd);
    actor.end();
}

impl Actor {
    fn new(rig: Rc<Rig>, me: usize) -> Actor {
        Actor { rig, me, memory: Vec::new() }
    }

    fn end(self) {
        self.untouched();
        self.rig.people.borrow_mut()[self.me].done = true;
    }

    /// Nobody but the fiber touches memory that it does not lend.
    fn untouched(&self) {
        let touched = self.memory.iter().position(|&byte| byte != CANARY);
        assert!(touched.is_none(), "memory of fiber {} was touched that it did not lend", self.me);
    }

    pub(super) fn lend(&mut self, len: usize) {
        self.untouched();
        if self.memory.len() < len {
            self.memory.resize(len, CANARY);
        }
    }

    pub(super) fn take_back(&mut self, len: usize) {
        self.memory[..len].fill(CANARY);
    }

    fn step(&mut self, step: Step) {
        let rig = self.rig.clone();
        rig.model.note(|| format!("fiber {}: {step:?}", self.me));
        match step {
            Step::Read(end, len, how) => self.read(end, len as usize, how),
            Step::Write(end, len, how) => self.write(end, len as usize, how),
            Step::AtHand(end) => {
                if let (Some(fd), Some(_)) = (self.usable(end), rig.end(end).reads) {
                    let stream = rig.end(end).reads;
                    let result = self.perform(What::Read(fd), Some(end), stream, Op::AtHand { fd });
                    self.allow(result, &rig.errors(stream, Stream::read_errors));
                    assert!(result != 0, "at hand is more than nothing");
                }
            }
            Step::Poll(end, events) => {
                let Some(fd) = self.usable(end) else { return };
                let life = rig.end(end).life;
                let result = self.perform(What::Poll(fd, events), Some(end), None, Op::Poll { fd, events });
                self.allow(result, &[]);
                let told = result as u32 & !(events | (libc::POLLERR | libc::POLLHUP) as u32);
                assert!(result < 0 || (result > 0 && told == 0), "a poll for {events:#x} says {result:#x}");
                // A hang-up does not pass, so if it was there, it is.
                let hangup = result.max(0) as u32 & (libc::POLLHUP | libc::POLLRDHUP) as u32;
                let holds = hangup & !rig.model.holds(fd) == 0;
                assert!(holds || rig.end(end).life != life, "descriptor {fd} is told to have hung up");
            }
            Step::Close(end) => {
                let Some(fd) = self.usable(end) else { return };
                rig.take_end(end);
                let result = self.perform(What::Close(fd), None, None, Op::Close { fd });
                assert_eq!(result, 0, "descriptor {fd} was open");
            }
            Step::CloseBehind(end) => {
                let Some(fd) = self.usable(end) else { return };
                if !rig.plan.pairs[end / 2].owned && rig.may_vanish(end, fd) {
                    rig.take_end(end);
                    rig.model.close(fd);
                }
            }
            Step::Shut(end, how) => {
                if let (Some(fd), true) = (self.usable(end), rig.plan.pairs[end / 2].link.is_connection()) {
                    rig.shut(end, fd, how);
                }
            }
            Step::Claim(path) => claim::claim(&rig, path),
            Step::Leave(path) => claim::leave(&rig, path),
            Step::Reopen(pair) => {
                if (0..2).all(|side| rig.end(pair * 2 + side).fd.is_none()) {
                    rig.open(pair);
                    super::peer::attend(&rig, pair);
                }
            }
            Step::Dial(server, bytes) => self.dial(server, bytes as usize),
            Step::Serve => self.serve(false),
            Step::Sleep(nanos) => self.sleep(nanos),
            Step::Yield => {
                let result = self.suspend(What::Yield, None, None, || {
                    rig.looped.yield_now().map_or_else(|error| error.result(), |()| 0)
                });
                self.allow(result, &[]);
            }
            Step::Spin => self.spin(),
            Step::Deadline(0) => self.set_deadline(0),
            Step::Deadline(ahead) => self.set_deadline(rig.model.now() + ahead),
            Step::Cancel(fiber) => {
                let id = rig.people.borrow()[fiber].id;
                if let Some(id) = id
                    && rig.looped.cancel(id).is_ok()
                {
                    let mut people = rig.people.borrow_mut();
                    people[fiber].cancelled = true;
                    if let Some(pending) = &mut people[fiber].pending {
                        pending.cancelled = true;
                    }
                }
            }
            Step::Spawn(fiber) => spawn(&rig, fiber, rig.below(8) == 0),
            Step::Join(fiber) => self.join(fiber),
            Step::Receive(end, len, manner) => self.receive(end, len as usize, manner),
            Step::Send(end, len, manner) => self.send(end, len as usize, manner),
            Step::Polls(ends, events, timeout) => self.polls(ends, events, timeout),
            Step::Splice(from, to, len) => self.transfer(from, to, len as usize, false),
            Step::SendFile(from, to, len) => self.transfer(from, to, len as usize, true),
            Step::Shutdown(end, how) => self.shutdown(end, how),
            Step::ServeFrom => self.serve(true),
            Step::Within(nanos, sleep) => self.within(nanos, sleep),
            Step::Lock(nanos) => self.lock(nanos),
            Step::Give(channel) => self.give(channel),
            Step::Take(channel) => self.take(channel),
            Step::Choose => self.choose(),
        }
    }

    /// The kernel is looked at however busy the fibers are.
    fn spin(&mut self) {
        let rig = self.rig.clone();
        let (read, write) = rig.model.pipe(false);
        let heard = Rc::new(Cell::new(false));
        let reader = {
            let (rig, heard) = (rig.clone(), heard.clone());
            move || {
                let me = rig.enrol();
                let mut actor = Actor::new(rig, me);
                actor.lend(1);
                let op = Op::Read { fd: read, buf: actor.memory.as_mut_ptr(), len: 1 };
                let result = actor.perform(What::Read(read), None, None, op);
                actor.allow(result, &[]);
                heard.set(true);
                actor.take_back(1);
                actor.end();
                0
            }
        };
        let spawned = read >= 0 && write >= 0 && rig.looped.spawn(Options::DETACHED, reader).is_ok();
        if spawned {
            let mut rested = self.turn_round(|| false, ROUNDS / 8);
            let mut seven = 7u8;
            let byte = libc::iovec { iov_base: (&raw mut seven).cast(), iov_len: 1 };
            // SAFETY: the byte outlives the call.
            while unsafe { rig.model.writev(write, &byte, 1, 0) } == -(libc::EINTR as isize) {}
            // A small ring holds few results a turn, and those of others may be before ours.
            let backlog = 1 + 256 / rig.config().completions.max(1);
            rested |= self.turn_round(|| heard.get(), ROUNDS * backlog);
            // A worker needs time, and without calls of the kernel none passes; and of a full ring's submissions each
            // turn takes only some.
            let slow = rig.faults().worker > 0 || rig.faults().partial > 0;
            assert!(heard.get() || rested || slow, "fiber {} keeps the loop from looking at the kernel", self.me);
        }
        for fd in [read, write].into_iter().filter(|&fd| fd >= 0) {
            let result = self.perform(What::Close(fd), None, None, Op::Close { fd });
            assert_eq!(result, 0, "descriptor {fd} was open");
        }
    }

    /// Yields until something is so, at most so often. `true` says that a cancel came first.
    fn turn_round(&mut self, until: impl Fn() -> bool, rounds: u32) -> bool {
        let rig = &self.rig;
        for _ in 0..rounds {
            if until() {
                return false;
            }
            if rig.looped.yield_now().is_err() {
                let mut people = rig.people.borrow_mut();
                let asked = std::mem::take(&mut people[self.me].cancelled);
                assert!(asked || rig.stopped.get(), "nobody cancelled fiber {}", self.me);
                return true;
            }
        }
        false
    }

    pub(super) fn set_deadline(&mut self, when: u64) {
        self.rig.looped.deadline(when).expect("it runs on a fiber");
        self.rig.people.borrow_mut()[self.me].deadline = when;
    }

    /// The descriptor of an end that fibers may use.
    pub(super) fn usable(&self, end: usize) -> Option<Fd> {
        let foreign = self.rig.plan.pairs[end / 2].thread && end % 2 == 1;
        self.rig.end(end).fd.filter(|_| !foreign)
    }

    /// Does something that may suspend, watched by the oracle.
    pub(super) fn suspend(
        &mut self,
        what: What,
        end: Option<usize>,
        stream: Option<usize>,
        act: impl FnOnce() -> i32,
    ) -> i32 {
        let rig = &self.rig;
        let end = end.map(|end| (end, rig.end(end).life));
        let deadline = {
            let mut people = rig.people.borrow_mut();
            let person = &mut people[self.me];
            assert!(person.pending.is_none(), "fiber {} runs while it waits", self.me);
            person.pending = Some(Pending { what, end, stream, cancelled: false });
            person.deadline
        };
        let began = rig.model.clock();
        let result = act();
        let now = rig.model.clock();
        rig.operations.set(rig.operations.get() + 1);
        rig.model.note(|| format!("fiber {}: {what:?} = {result}", self.me));
        let mut people = rig.people.borrow_mut();
        let person = &mut people[self.me];
        person.pending = None;
        match -result {
            libc::ECANCELED => {
                assert!(person.cancelled || rig.stopped.get(), "nobody cancelled fiber {}", self.me);
                // A second cancel may have come while several polls were on their way out.
                person.cancelled &= matches!(what, What::Polls(..) | What::Splice(_) | What::SendFile(_));
            }
            libc::ETIMEDOUT if !matches!(what, What::Connect(_)) => {
                assert!(deadline != 0 && now >= deadline, "fiber {} had time until {deadline}, it is {now}", self.me);
            }
            libc::EBADF => {
                let closed = end.is_none_or(|(end, life)| rig.ends.borrow()[end].life != life);
                assert!(closed, "fiber {} finds {what:?} closed, which is not", self.me);
            }
            _ => {}
        }
        if deadline > began {
            let closes = matches!(what, What::Close(_) | What::Yield);
            assert!(closes || now < deadline + LATE, "fiber {} had time until {deadline}, it is {now}", self.me);
        }
        result
    }

    pub(super) fn perform(&mut self, what: What, end: Option<usize>, stream: Option<usize>, op: Op) -> i32 {
        let looped = self.rig.looped;
        // SAFETY: what the operations lend is the fiber's own memory, which stays as it is until they are over.
        self.suspend(what, end, stream, || unsafe { looped.perform(op) })
    }

    /// Nothing but these errors, and those that any operation may end with, reaches a fiber.
    pub(super) fn allow(&self, result: i32, errors: &[i32]) {
        const ALWAYS: [i32; 3] = [libc::ECANCELED, libc::ETIMEDOUT, libc::EBADF];
        const SHORT: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS];
        let error = -result;
        let short = self.rig.faults().exhausted > 0 && SHORT.contains(&error);
        let fine = result >= 0 || short || ALWAYS.contains(&error) || errors.contains(&error);
        assert!(fine, "fiber {} is told {}", self.me, Errno(error));
    }

    fn read(&mut self, end: usize, len: usize, how: How) {
        let rig = self.rig.clone();
        let (Some(fd), Some(stream)) = (self.usable(end), rig.end(end).reads) else { return };
        if !rig.streams.borrow_mut()[stream].reads_alone(false) {
            return;
        }
        let ticket = rig.streams.borrow_mut()[stream].begin_read();
        self.lend(len);
        let parts = self.parts(len, how);
        let buf = self.memory.as_mut_ptr();
        let op = match how {
            How::Plain => Op::Read { fd, buf, len },
            How::Vectored(_) => Op::Readv { fd, iov: parts.as_ptr(), count: parts.len() },
            How::Socket => Op::Recv { fd, buf, len },
        };
        let result = self.perform(What::Read(fd), Some(end), Some(stream), op);
        let mut errors = rig.errors(Some(stream), Stream::read_errors);
        errors.push(self.no_socket(end, how));
        self.allow(result, &errors);
        rig.streams.borrow_mut()[stream].read(ticket, result, &self.memory[..len]);
        self.take_back(len);
    }

    fn write(&mut self, end: usize, len: usize, how: How) {
        let rig = self.rig.clone();
        let (Some(fd), Some(stream)) = (self.usable(end), rig.end(end).writes) else { return };
        // The least message is none.
        let len = if rig.plan.pairs[end / 2].link == Link::Messages { len - 1 } else { len };
        if !rig.streams.borrow_mut()[stream].writes_alone(false) {
            return;
        }
        let ticket = rig.streams.borrow_mut()[stream].begin_write();
        let bytes = self.words(len);
        let parts = self.parts(len, how);
        let buf = self.memory.as_ptr();
        let op = match how {
            How::Plain => Op::Write { fd, buf, len },
            How::Vectored(_) => Op::Writev { fd, iov: parts.as_ptr(), count: parts.len() },
            How::Socket => Op::Send { fd, buf, len },
        };
        let result = self.perform(What::Write(fd), Some(end), None, op);
        let mut errors = rig.errors(Some(stream), Stream::write_errors);
        errors.push(self.no_socket(end, how));
        self.allow(result, &errors);
        rig.streams.borrow_mut()[stream].wrote(ticket, result, &bytes);
        self.take_back(len);
    }

    /// Fills the fiber's memory with something to say.
    pub(super) fn words(&mut self, len: usize) -> Vec<u8> {
        self.lend(len);
        let mut random = self.rig.random.borrow_mut().fork();
        self.memory[..len].iter_mut().for_each(|byte| *byte = random.word() as u8);
        self.memory[..len].to_vec()
    }

    fn no_socket(&self, end: usize, how: How) -> i32 {
        let socket = self.rig.plan.pairs[end / 2].link.is_socket();
        if how == How::Socket && !socket { libc::ENOTSOCK } else { libc::EBADF }
    }

    /// The fiber's memory in so many parts.
    fn parts(&mut self, len: usize, how: How) -> Vec<libc::iovec> {
        let How::Vectored(count) = how else { return Vec::new() };
        let (base, count) = (self.memory.as_mut_ptr(), usize::from(count));
        let part = |at: usize| {
            let (from, to) = (len * at / count, len * (at + 1) / count);
            libc::iovec { iov_base: base.wrapping_add(from).cast(), iov_len: to - from }
        };
        (0..count).map(part).collect()
    }

    pub(super) fn sleep(&mut self, nanos: u64) {
        let rig = self.rig.clone();
        let until = rig.model.clock() + nanos;
        let deadline = rig.people.borrow()[self.me].deadline;
        let result = self.suspend(What::Sleep(until.max(1)), None, None, || {
            rig.looped.sleep(nanos).map_or_else(|error| error.result(), |()| 0)
        });
        self.allow(result, &[]);
        let now = rig.model.clock();
        let bound = if deadline == 0 { until } else { until.min(deadline.max(until - nanos)) };
        assert!(result != 0 || now >= until, "fiber {} slept until {now} instead of {until}", self.me);
        assert!(now < bound + LATE, "fiber {} slept until {now} instead of {bound}", self.me);
    }

    fn join(&mut self, fiber: usize) {
        let rig = self.rig.clone();
        let (id, joined) = {
            let people = rig.people.borrow();
            (people[fiber].id, people[fiber].joined)
        };
        let (Some(id), false) = (id, joined) else { return };
        let mut told = None;
        let result = self.suspend(What::Join(fiber), None, None, || match rig.looped.join(id) {
            Ok(value) => {
                told = Some(value);
                0
            }
            Err(error) => error.result(),
        });
        self.allow(result, &[]);
        if let Some(told) = told {
            assert_eq!(told, value(fiber), "a fiber's value is what it ended with");
            rig.people.borrow_mut()[fiber].joined = true;
        }
    }
}
