//! Operations in any order on a bare driver over the model kernel, with peers that act as they like.

use nyario_core::driver::{BackendKind, Carries, Completion, Config, Driver, Op, OpId, Submitted};
use nyario_core::sys::{Fd, Kernel};
use nyario_sim::model::{Character, Faults, Features, Model};
use std::collections::BTreeMap;

/// How many connections are open at a time.
const PAIRS: usize = 4;
/// How many turns the end may take.
const PATIENCE: u32 = 100_000;

/// What is in flight, with the memory that it was lent.
struct Pending {
    id: OpId,
    buf: Box<[u8]>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Read(usize),
    Write(usize),
    Other,
}

/// A connection, of which the driver has one end.
struct Pair {
    ours: Option<Fd>,
    theirs: Option<Fd>,
    /// How far each direction has come: what the peer sent and we read, and what we wrote and the peer received.
    sent: usize,
    read: usize,
    written: usize,
    received: usize,
    /// One write at a time, as a short one decides what the next begins with.
    writing: bool,
}

struct Rig {
    model: Model,
    driver: Driver<Model>,
    pairs: Vec<Pair>,
    pending: BTreeMap<u64, Pending>,
    waiter: u64,
}

/// The byte at a place of any stream.
fn at(place: usize) -> u8 {
    (place as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]
}

fn pattern(from: usize, len: usize) -> Box<[u8]> {
    (from..from + len).map(at).collect()
}

/// Runs the program that the bytes spell: the first three choose the kernel and the driver, each pair after them is a
/// step.
pub fn driver(bytes: &[u8]) {
    let [choice, character, seed, steps @ ..] = bytes else { return };
    let model = Model::new((*seed).into(), kernel(*character));
    let backend = match choice & 5 {
        0 | 4 => BackendKind::Uring,
        1 => BackendKind::Epoll,
        _ => BackendKind::Kqueue,
    };
    let mut config = Config { backend: Some(backend), buffers: 8, buffer_size: 64, ..Config::default() };
    if choice & 2 != 0 {
        config = Config { submissions: 2, completions: 4, buffers: 2, buffer_size: 16, few: 0, ..config };
    }
    let driver = Driver::new(model.clone(), &config).expect("the model has every backend");
    let mut rig = Rig { model, driver, pairs: Vec::new(), pending: BTreeMap::new(), waiter: 0 };
    for step in steps.chunks_exact(2) {
        rig.step(step[0], step[1].into());
    }
    rig.end();
}

/// A kernel that loses nothing, however hard it makes things.
fn kernel(choice: u8) -> Character {
    let often = |bit: u8| if choice & bit != 0 { 200 } else { 0 };
    let faults = Faults {
        interrupted: often(1),
        short: often(2),
        spurious: often(4),
        worker: often(8),
        late_cancel: often(16),
        partial: often(32),
        latency: often(64),
        ..Faults::default()
    };
    let features = if choice & 128 != 0 { Features::OLD } else { Features::MODERN };
    Character { features, faults, socket_buffer: 300, ..Character::default() }
}

impl Rig {
    fn step(&mut self, what: u8, how: usize) {
        let which = usize::from(what >> 4) % PAIRS;
        match what & 15 {
            0 => self.open(how),
            1 | 2 => self.read(which, how),
            3 | 4 => self.write(which, how),
            5 => self.begin(which, |fd| Op::Poll { fd, events: (libc::POLLIN | libc::POLLOUT) as u32 & how as u32 }),
            6 => self.begin(which, |fd| Op::AtHand { fd }),
            7 => self.submit(Op::Park, Box::default(), Kind::Other, how as u64 * 1000 + 1, false),
            8 => {
                if let Some(pending) = self.pending.values().nth(how) {
                    self.driver.cancel(pending.id);
                }
            }
            9 => self.close(which),
            10 | 11 => self.speak(which, how),
            12 => self.listen(which, how),
            13 => self.leave(which, how),
            14 => self.turn(how as u64 * 1000),
            _ => self.turn(0),
        }
    }

    fn open(&mut self, how: usize) {
        if self.pairs.iter().filter(|pair| pair.ours.is_some()).count() == PAIRS {
            return;
        }
        let (ours, theirs) = self.model.pair(how & 1 != 0, how & 2 != 0);
        if how & 4 != 0 {
            self.driver.own(ours, how & 2 != 0, Carries::Bytes).expect("a fresh socket");
        }
        let (sent, read, written, received) = (0, 0, 0, 0);
        self.pairs.push(Pair { ours: Some(ours), theirs: Some(theirs), sent, read, written, received, writing: false });
    }

    /// The place of one of the open pairs.
    fn pair(&self, which: usize) -> Option<usize> {
        (0..self.pairs.len()).rev().filter(|&pair| self.pairs[pair].ours.is_some()).nth(which)
    }

    fn begin(&mut self, which: usize, op: impl FnOnce(Fd) -> Op) {
        if let Some(fd) = self.pair(which).and_then(|pair| self.pairs[pair].ours) {
            self.submit(op(fd), Box::default(), Kind::Other, 0, false);
        }
    }

    fn read(&mut self, which: usize, how: usize) {
        let Some(pair) = self.pair(which) else { return };
        let fd = self.pairs[pair].ours.expect("it is open");
        let mut buf = vec![0; 1 + how % 200].into_boxed_slice();
        let op = Op::Read { fd, buf: buf.as_mut_ptr(), len: buf.len() };
        let deadline = if how > 200 { self.model.clock() + how as u64 * 100 } else { 0 };
        self.submit(op, buf, Kind::Read(pair), deadline, how & 1 != 0);
    }

    fn write(&mut self, which: usize, how: usize) {
        let Some(pair) = self.pair(which).filter(|&pair| !self.pairs[pair].writing) else { return };
        let (fd, buf) = (self.pairs[pair].ours.expect("it is open"), pattern(self.pairs[pair].written, 1 + how * 3));
        self.pairs[pair].writing = true;
        self.submit(Op::Write { fd, buf: buf.as_ptr(), len: buf.len() }, buf, Kind::Write(pair), 0, false);
    }

    fn close(&mut self, which: usize) {
        let Some(pair) = self.pair(which) else { return };
        let fd = self.pairs[pair].ours.take().expect("it is open");
        self.submit(Op::Close { fd }, Box::default(), Kind::Other, 0, false);
    }

    /// No number comes to another file here, so it can be vouched for.
    fn submit(&mut self, op: Op, buf: Box<[u8]>, kind: Kind, deadline: u64, vouched: bool) {
        self.waiter += 4;
        // SAFETY: the buffer stays in `pending`, unmoved on the heap, until the operation's completion; it is handed over
        // below, before the driver is called again.
        let submitted = unsafe {
            match vouched {
                true => self.driver.submit_vouched(op, self.waiter, deadline),
                false => self.driver.submit(op, self.waiter, deadline),
            }
        };
        match submitted {
            Submitted::Pending(id) => {
                self.pending.insert(self.waiter, Pending { id, buf, kind });
            }
            Submitted::Done(result) => self.ended(kind, &buf, result),
        }
    }

    /// The peer sends.
    fn speak(&mut self, which: usize, how: usize) {
        let Some(pair) = self.pair(which) else { return };
        let pair = &mut self.pairs[pair];
        let Some(fd) = pair.theirs else { return };
        let bytes = pattern(pair.sent, 1 + how);
        // SAFETY: the bytes outlive the call.
        let sent = unsafe { self.model.send(fd, bytes.as_ptr(), bytes.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
        pair.sent += sent.max(0) as usize;
    }

    /// The peer receives.
    fn listen(&mut self, which: usize, how: usize) {
        let Some(pair) = self.pair(which) else { return };
        let pair = &mut self.pairs[pair];
        let Some(fd) = pair.theirs else { return };
        let mut buf = vec![0; 1 + how * 2];
        // SAFETY: the buffer outlives the call.
        let count = unsafe { self.model.recv(fd, buf.as_mut_ptr(), buf.len(), libc::MSG_DONTWAIT) }.max(0) as usize;
        assert_eq!(buf[..count], pattern(pair.received, count)[..], "what we wrote");
        pair.received += count;
    }

    /// The peer closes one direction, or both.
    fn leave(&mut self, which: usize, how: usize) {
        let Some(pair) = self.pair(which) else { return };
        let Some(fd) = self.pairs[pair].theirs else { return };
        if how.is_multiple_of(3) {
            self.model.close(fd);
            self.pairs[pair].theirs = None;
        } else {
            self.model.shutdown(fd, libc::SHUT_WR);
        }
    }

    fn turn(&mut self, limit: u64) {
        self.driver.turn(Some(limit));
        while let Some(Completion { waiter, result, more }) = self.driver.next() {
            assert!(!more, "nothing here completes more than once");
            let pending = self.pending.remove(&waiter).expect("whatever completes is under way");
            self.ended(pending.kind, &pending.buf, result);
        }
        assert_eq!(self.driver.pending(), self.pending.len());
    }

    fn ended(&mut self, kind: Kind, buf: &[u8], result: i32) {
        let count = result.max(0) as usize;
        match kind {
            Kind::Read(pair) => {
                let pair = &mut self.pairs[pair];
                assert_eq!(buf[..count], pattern(pair.read, count)[..], "what the peer sent");
                pair.read += count;
                assert!(pair.read <= pair.sent);
            }
            Kind::Write(pair) => {
                let pair = &mut self.pairs[pair];
                assert!(count <= buf.len());
                pair.written += count;
                pair.writing = false;
            }
            Kind::Other => {}
        }
    }

    /// Ends everything, in the kernel that is left behind too.
    fn end(mut self) {
        let ids: Vec<OpId> = self.pending.values().map(|pending| pending.id).collect();
        ids.into_iter().for_each(|id| self.driver.cancel(id));
        for turn in 0.. {
            if self.pending.is_empty() {
                break;
            }
            assert!(turn < PATIENCE, "{} operations never end", self.pending.len());
            self.turn(1_000_000);
        }
        let Rig { model, driver, pairs, .. } = self;
        drop(driver);
        for fd in pairs.iter().flat_map(|pair| [pair.ours, pair.theirs]).flatten() {
            assert_eq!(model.close(fd), 0);
        }
        assert_eq!(model.descriptors(), [], "descriptors are left");
        assert_eq!(model.mappings(), 0, "mappings are left");
    }
}
