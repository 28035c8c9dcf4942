//! What the fibers of a program share, and what the oracle knows of them.

use super::claim::PATHS;
use super::messages::Messages;
use super::plan::{Link, Plan};
use super::streams::{Nature, Stream};
use super::together::Shared;
use crate::model::{Faults, Model};
use crate::random::Random;
use nyario_core::driver::{BackendKind, Carries, Config};
use nyario_core::fiber::{FiberId, Loop};
use nyario_core::runtime::Stopper;
use nyario_core::sys::{Errno, Fd, Kernel};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// One end of a pair.
#[derive(Clone, Copy, Default)]
pub(super) struct End {
    pub(super) fd: Option<Fd>,
    /// Changes with each close, so that whoever began before it is known.
    pub(super) life: u32,
    pub(super) reads: Option<usize>,
    pub(super) writes: Option<usize>,
}

/// What a fiber waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Read(Fd),
    Write(Fd),
    Poll(Fd, u32),
    Accept(Fd),
    Connect(Fd),
    Close(Fd),
    Sleep(u64),
    Join(usize),
    Yield,
    /// From the one to the other.
    Splice([Place; 2]),
    /// The same of a file, which needs no waiting for.
    SendFile([Place; 2]),
    /// Any of these, until that time.
    Polls([Option<Place>; 3], u32, Option<u64>),
    Lock,
    Give(usize),
    Take(usize),
    Choose,
}

/// An end of a pair, in one of its lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) fd: Fd,
    pub(super) end: usize,
    pub(super) life: u32,
}

impl What {
    /// The ends that it is on, where it is on several.
    fn places(&self) -> impl Iterator<Item = Place> {
        match *self {
            What::Splice([from, to]) | What::SendFile([from, to]) => [Some(from), Some(to), None],
            What::Polls(places, ..) => places,
            _ => [None; 3],
        }
        .into_iter()
        .flatten()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) what: What,
    /// The end that it is on, with its life, and the stream that it reads.
    pub(super) end: Option<(usize, u32)>,
    pub(super) stream: Option<usize>,
    /// It was cancelled while it was under way.
    pub(super) cancelled: bool,
}

/// A fiber, as the oracle knows it.
#[derive(Default)]
pub(super) struct Person {
    pub(super) id: Option<FiberId>,
    pub(super) begun: bool,
    pub(super) done: bool,
    pub(super) joined: bool,
    pub(super) pending: Option<Pending>,
    /// A cancel was asked for and not told of yet.
    pub(super) cancelled: bool,
    pub(super) deadline: u64,
}

pub(super) struct Rig {
    pub(super) plan: Plan,
    pub(super) looped: &'static Loop<Model>,
    pub(super) model: Model,
    /// Gone when the loop is: it holds a descriptor.
    pub(super) stopper: RefCell<Option<Stopper<Model>>>,
    pub(super) random: RefCell<Random>,
    pub(super) ends: RefCell<Vec<End>>,
    pub(super) streams: RefCell<Vec<Stream>>,
    pub(super) people: RefCell<Vec<Person>>,
    /// The listener that fibers accept from, and every listener's port, that one's last.
    pub(super) hall: Fd,
    pub(super) ports: Vec<u16>,
    /// The servers at paths.
    pub(super) claims: RefCell<[Option<Fd>; PATHS]>,
    /// Descriptors that some fiber looks after.
    pub(super) engaged: RefCell<BTreeSet<Fd>>,
    /// Descriptors of other threads.
    pub(super) foreign: RefCell<BTreeSet<Fd>>,
    pub(super) operations: Cell<u64>,
    /// The operations and the time when something last went on.
    went_on: Cell<(u64, u64)>,
    pub(super) shared: Shared,
    pub(super) stopped: Cell<bool>,
}

/// How long nothing may go on, sweeps apart, before it is taken that nothing ever will.
const QUIET: u64 = 8_000_000_000;

impl Rig {
    pub(super) fn new(plan: Plan, looped: &'static Loop<Model>, model: Model, hall: Fd, ports: Vec<u16>) -> Rig {
        let mut people = Vec::new();
        people.resize_with(plan.fibers.len(), Person::default);
        Rig {
            ends: RefCell::new(vec![End::default(); plan.pairs.len() * 2]),
            random: RefCell::new(Random::new(plan.kernel_seed ^ 1)),
            plan,
            looped,
            stopper: RefCell::new(Some(looped.stopper())),
            model,
            streams: RefCell::default(),
            people: RefCell::new(people),
            hall,
            ports,
            claims: RefCell::default(),
            engaged: RefCell::default(),
            foreign: RefCell::default(),
            operations: Cell::new(0),
            went_on: Cell::new((0, 0)),
            shared: Shared::default(),
            stopped: Cell::new(false),
        }
    }

    pub(super) fn faults(&self) -> Faults {
        self.plan.character.faults
    }

    pub(super) fn config(&self) -> &Config {
        &self.plan.config
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().below(bound)
    }

    /// Opens a pair. Its ends must be closed.
    pub(super) fn open(&self, pair: usize) {
        let plan = self.plan.pairs[pair];
        let (first, second, content) = match plan.link {
            Link::File => {
                let (reader, writer, content) = self.model.regular();
                (reader, writer, Some(content))
            }
            link => {
                let fds = match link {
                    Link::Pipe => self.model.pipe(plan.nonblocking),
                    Link::Messages => self.model.datagram_pair(plan.nonblocking),
                    link => self.model.pair(link == Link::Inet, plan.nonblocking),
                };
                (fds.0, fds.1, None)
            }
        };
        let fds = [first, second];
        if fds.iter().any(|&fd| fd < 0) {
            // Out of descriptors.
            for fd in fds.into_iter().filter(|&fd| fd >= 0) {
                self.model.close(fd);
            }
            return;
        }
        for (side, fd) in fds.into_iter().enumerate() {
            if plan.owned && !(plan.thread && side == 1) && self.enter(plan.link, fd, plan.nonblocking).is_err() {
                for fd in fds {
                    self.looped_close(fd);
                }
                return;
            }
        }
        let mut streams = self.streams.borrow_mut();
        let before = streams.len();
        streams.extend(content.map(|content| Stream::new(Nature::File(content))));
        if plan.link == Link::Messages {
            streams.extend([(); 2].map(|()| Stream::new(Nature::Messages(Messages::default()))));
        }
        // What the model has no name for: where each side reads, and where it writes.
        let nameless = match plan.link {
            Link::Messages => [(Some(before), Some(before + 1)), (Some(before + 1), Some(before))],
            Link::File => [(Some(before), None), (None, Some(before))],
            _ => [(None, None); 2],
        };
        let mut place = |flow: u32| {
            let known = streams[before..].iter().position(|stream| stream.is_flow(flow));
            known.map(|at| before + at).unwrap_or_else(|| {
                streams.push(Stream::new(Nature::Flow(flow)));
                streams.len() - 1
            })
        };
        for (side, fd) in fds.into_iter().enumerate() {
            let (reads, writes) = self.model.flows(fd);
            let reads = reads.map(&mut place).or(nameless[side].0);
            let writes = writes.map(&mut place).or(nameless[side].1);
            let end = &mut self.ends.borrow_mut()[pair * 2 + side];
            *end = End { fd: Some(fd), life: end.life + 1, reads, writes };
        }
        drop(streams);
        if plan.thread {
            self.foreign.borrow_mut().insert(fds[1]);
        }
    }

    fn enter(&self, link: Link, fd: Fd, nonblocking: bool) -> Result<(), Errno> {
        match link {
            Link::Pipe => self.looped.opened_as(fd, nonblocking, Carries::PipedBytes),
            _ => self.looped.opened(fd, nonblocking),
        }
    }

    /// Closes what perhaps the loop knows already.
    fn looped_close(&self, fd: Fd) -> i32 {
        // SAFETY: a close lends no memory.
        unsafe { self.looped.perform(nyario_core::driver::Op::Close { fd }) }
    }

    /// Takes an end's descriptor away: from now on nobody begins anything on it.
    pub(super) fn take_end(&self, end: usize) -> Option<Fd> {
        self.breaks(end);
        let end = &mut self.ends.borrow_mut()[end];
        end.life += 1;
        end.fd.take()
    }

    /// Ends one direction of a connection or both, as shutdown(2) beside the loop does.
    pub(super) fn shut(&self, end: usize, fd: Fd, how: i32) {
        self.will_be_shut(end, how);
        self.model.shutdown(fd, how);
    }

    /// What the oracle is to know of that.
    pub(super) fn will_be_shut(&self, end: usize, how: i32) {
        let End { reads, writes, .. } = self.end(end);
        let mut streams = self.streams.borrow_mut();
        if let (Some(writes), true) = (writes, how != libc::SHUT_RD) {
            streams[writes].fate.finished = true;
        }
        if let (Some(reads), true) = (reads, how != libc::SHUT_WR) {
            streams[reads].fate.deaf = true;
        }
    }

    /// From now on both directions of an end's connection may fail.
    pub(super) fn breaks(&self, end: usize) {
        let End { reads, writes, .. } = self.end(end);
        for stream in [reads, writes].into_iter().flatten() {
            self.streams.borrow_mut()[stream].fate.broken = true;
        }
    }

    /// What an operation on a stream may fail with by now.
    pub(super) fn errors(&self, stream: Option<usize>, of: impl Fn(&Stream) -> &'static [i32]) -> Vec<i32> {
        stream.map_or(Vec::new(), |stream| of(&self.streams.borrow()[stream]).to_vec())
    }

    pub(super) fn end(&self, end: usize) -> End {
        self.ends.borrow()[end]
    }

    /// Whether an end may be closed past the loop. What io_uring has queued for the next enter, and what epoll or kqueue has
    /// reported and the loop not worked off, would meet whoever has the number by then: nobody can prevent that, so
    /// nobody may do it.
    pub(super) fn may_vanish(&self, end: usize, fd: Fd) -> bool {
        let stays_away = match self.plan.config.backend {
            Some(BackendKind::Epoll) => true,
            // It may not have told the kernel yet, and then it tells of whoever has the number.
            Some(BackendKind::Kqueue) => self.model.is_watched(fd),
            _ => false,
        };
        let news = (libc::POLLIN | libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;
        // What was reported may have been read since by another fiber, and the loop does not know that yet.
        let silent = stays_away && self.model.holds(fd) & news == 0 && !self.model.was_reported(fd);
        let people = self.people.borrow();
        let mut waiting = people.iter().filter_map(|person| person.pending);
        let several =
            people.iter().filter_map(|person| person.pending).flat_map(|it| it.what.places().collect::<Vec<_>>());
        if several.into_iter().any(|place| place.end == end) {
            return false;
        }
        waiting.all(|it| it.end.is_none_or(|(at, _)| at != end) || (silent && matches!(it.what, What::Read(_))))
    }

    /// Begins a new fiber's record.
    pub(super) fn enrol(&self) -> usize {
        let mut people = self.people.borrow_mut();
        people.push(Person { begun: true, id: self.looped.me(), ..Person::default() });
        people.len() - 1
    }

    /// Asked when a wait finds that nothing is to happen: if nothing will, then nobody may be waiting for something
    /// that is there.
    pub(super) fn idle(&self, for_ever: bool) {
        let now = self.model.clock();
        if self.went_on.get().0 != self.operations.get() {
            self.went_on.set((self.operations.get(), now));
        }
        if !for_ever && now - self.went_on.get().1 < QUIET {
            return;
        }
        self.went_on.set((self.operations.get(), now));
        assert!(!(self.stopped.get() && for_ever), "a loop that was asked to end waits for ever");
        self.nobody_waits_in_vain();
        if !self.stopped.replace(true) {
            self.model.note(|| "all is quiet: the loop is asked to end".into());
            self.stop();
        }
    }

    /// Asks the loop to end.
    pub(super) fn stop(&self) {
        self.stopped.set(true);
        let stopper = self.stopper.borrow().clone();
        if let Some(stopper) = stopper {
            stopper.stop();
        }
    }

    fn nobody_waits_in_vain(&self) {
        let people = self.people.borrow();
        for (number, person) in people.iter().enumerate() {
            let Some(pending) = person.pending else { continue };
            let ready = |fd: Fd, events: i16| {
                let always = libc::POLLERR | libc::POLLHUP;
                self.model.holds(fd) & (events | always) as u16 as u32 != 0
            };
            let mut closed = pending.end.is_some_and(|(end, life)| self.end(end).life != life);
            closed |= pending.what.places().any(|place| self.is_gone(place));
            let more = pending.stream.is_some_and(|stream| self.streams.borrow()[stream].has_more());
            let in_vain = match pending.what {
                What::Read(fd) => closed || ready(fd, libc::POLLIN | libc::POLLRDHUP) || more,
                What::Write(fd) => closed || ready(fd, libc::POLLOUT),
                What::Poll(fd, events) => closed || ready(fd, events as i16),
                What::Accept(fd) => ready(fd, libc::POLLIN),
                What::Connect(fd) => ready(fd, libc::POLLOUT),
                What::Close(_) | What::Yield => true,
                What::Sleep(until) => until < self.model.clock(),
                What::Join(other) => people[other].done,
                What::Splice([from, to]) => {
                    let source = ready(from.fd, libc::POLLIN | libc::POLLRDHUP) || more;
                    closed || (source && ready(to.fd, libc::POLLOUT))
                }
                What::SendFile([_, to]) => closed || ready(to.fd, libc::POLLOUT),
                What::Polls(places, events, until) => {
                    let told = |place: Place| {
                        let reads = self.end(place.end).reads.filter(|_| events & libc::POLLIN as u32 != 0);
                        let more = reads.is_some_and(|stream| self.streams.borrow()[stream].has_more());
                        more || ready(place.fd, events as i16)
                    };
                    let late = until.is_some_and(|until| until < self.model.clock());
                    closed || late || places.into_iter().flatten().any(told)
                }
                what @ (What::Lock | What::Give(_) | What::Take(_) | What::Choose) => {
                    self.shared.is_there(what, |such| {
                        people.iter().filter_map(|person| person.pending).any(|other| such(other.what))
                    })
                }
            };
            let cancelled = pending.cancelled && !matches!(pending.what, What::Close(_));
            let late = person.deadline != 0 && person.deadline < self.model.clock();
            assert!(
                !in_vain && !cancelled && !late,
                "fiber {number} waits in vain: {pending:?}, deadline {}, now {}",
                person.deadline,
                self.model.clock(),
            );
        }
        drop(people);
        for fd in self.model.descriptors() {
            let somebodys = self.engaged.borrow().contains(&fd)
                || self.foreign.borrow().contains(&fd)
                || self.ends.borrow().iter().any(|end| end.fd == Some(fd))
                || fd == self.hall;
            let speaks = self.model.is_socket(fd) && self.model.holds(fd) & libc::POLLIN as u32 != 0;
            assert!(
                somebodys || !speaks || !self.model.has_vacancy(),
                "nobody looks after descriptor {fd}, which is readable"
            );
        }
    }

    /// The run is over and the loop is gone: everything has to be as if it had never been.
    pub(super) fn settle(&self) {
        self.stopper.take();
        self.shared.finish();
        for (number, person) in self.people.borrow().iter().enumerate() {
            assert!(person.done == person.begun, "fiber {number} never ended");
        }
        for stream in &*self.streams.borrow() {
            stream.finish(|flow| self.model.was_cut(flow));
        }
        for &End { fd, reads, .. } in &*self.ends.borrow() {
            if let (Some(fd), Some(reads)) = (fd, reads) {
                self.streams.borrow()[reads].are_kept(|| self.model.messages(fd));
            }
        }
        (0..PATHS).for_each(|path| super::claim::leave(self, path));
        let foreign = std::mem::take(&mut *self.foreign.borrow_mut());
        let ends = self.ends.borrow().clone();
        let ours = ends.into_iter().filter_map(|end| end.fd);
        let all: BTreeSet<Fd> = ours.chain(foreign).chain([self.hall]).collect();
        for fd in all {
            self.model.close(fd);
        }
        let left = self.model.descriptors();
        assert!(left.is_empty(), "descriptors {left:?} were not closed");
        assert_eq!(self.model.mappings(), 0, "mappings were not given back");
    }
}
