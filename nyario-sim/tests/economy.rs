//! How many system calls things cost, which the model counts exactly.

use nyario_core::driver::{BackendKind, Carries, Config, Driver, Op, Submitted};
use nyario_core::fiber::{Loop, Options};
use nyario_core::net;
use nyario_core::sys::{Fd, Kernel};
use nyario_sim::model::{Character, Model};
use std::cell::Cell;
use std::rc::Rc;

fn config(backend: BackendKind) -> Config {
    Config { backend: Some(backend), ..Config::default() }
}

/// The calls that a message costs, in hundredths, when two fibers send it to and fro.
fn calls_per_message(backend: BackendKind) -> u64 {
    const WARM_UP: u64 = 100;
    const MESSAGES: u64 = 1000;
    let model = Model::new(1, Character::default());
    let looped = Box::into_raw(Box::new(Loop::new(model.clone(), &config(backend)).unwrap()));
    // SAFETY: it is a box, freed below; what runs on it has ended by then.
    let shared: &'static Loop<Model> = unsafe { &*looped };
    let (ours, theirs) = model.pair(true, false);
    let spent = Rc::new(Cell::new(0));
    for fd in [ours, theirs] {
        shared.opened(fd, false).unwrap();
    }
    let (witness, counter) = (spent.clone(), model.clone());
    let play = move |fd: Fd, begins: bool| {
        let mut buf = [0; 100];
        if begins {
            assert_eq!(net::write(shared, fd, b"ball"), Ok(4));
        }
        for round in 0..WARM_UP + MESSAGES / 2 {
            if begins && round == WARM_UP {
                witness.set(counter.calls());
            }
            assert_eq!(net::read(shared, fd, &mut buf), Ok(4));
            assert_eq!(net::write(shared, fd, b"ball"), Ok(4));
        }
        if begins {
            witness.set(counter.calls() - witness.get());
        }
        0
    };
    let other = play.clone();
    shared.spawn(Options::DETACHED, move || play(ours, true)).unwrap();
    shared.spawn(Options::DETACHED, move || other(theirs, false)).unwrap();
    shared.run().unwrap();
    // SAFETY: it came from a box, and every fiber has ended.
    drop(unsafe { Box::from_raw(looped) });
    spent.get() * 100 / MESSAGES
}

/// The one enter of a turn submits the send, and brings what it leads to.
#[test]
fn a_message_costs_one_enter() {
    let calls = calls_per_message(BackendKind::Uring);
    assert!(calls <= 105, "{calls} calls for a hundred messages");
}

/// A send, a wait, and a receive, after whose short answer nobody asks again.
#[test]
fn a_message_costs_three_calls_on_epoll() {
    let calls = calls_per_message(BackendKind::Epoll);
    assert!(calls <= 305, "{calls} calls for a hundred messages");
}

/// The same on kqueue.
#[test]
fn a_message_costs_three_calls_on_kqueue() {
    let calls = calls_per_message(BackendKind::Kqueue);
    assert!(calls <= 305, "{calls} calls for a hundred messages");
}

/// Peers that speak again only once they have been answered, over a ring.
struct Peers {
    model: Model,
    driver: Driver<Model>,
    pairs: Vec<(Fd, Fd)>,
    bufs: Vec<[u8; 16]>,
}

impl Peers {
    fn new(count: usize) -> Peers {
        let model = Model::new(1, Character::default());
        let mut driver = Driver::new(model.clone(), &config(BackendKind::Uring)).unwrap();
        let pairs: Vec<_> = (0..count).map(|_| model.pair(true, false)).collect();
        for &(ours, _) in &pairs {
            driver.own(ours, false, Carries::Bytes).unwrap();
        }
        Peers { model, driver, pairs, bufs: vec![[0; 16]; count] }
    }

    /// Each says a word after so many nanoseconds, before the driver looks where that is 0, and is answered. Tells how many
    /// answers went out at once.
    fn answered_at_once(&mut self, delay: u64) -> usize {
        let mut pending = 0;
        for (&(ours, theirs), buf) in self.pairs.iter().zip(&mut self.bufs) {
            let op = Op::Read { fd: ours, buf: buf.as_mut_ptr(), len: buf.len() };
            // SAFETY: each buffer stays until its read is over, which is awaited.
            match unsafe { self.driver.submit(op, 0, 0) } {
                Submitted::Done(result) => panic!("nobody has spoken, and the result is {result}"),
                Submitted::Pending(_) => pending += 1,
            }
            let speaker = self.model.clone();
            // SAFETY: the text is valid for the call, which only reads it.
            let speak = move || assert_eq!(unsafe { speaker.send(theirs, b"word".as_ptr(), 4, 0) }, 4);
            if delay == 0 { speak() } else { self.model.later(delay, speak) }
        }
        self.await_ends(pending);
        let mut at_once = 0;
        for (&(ours, _), buf) in self.pairs.iter().zip(&self.bufs) {
            // SAFETY: as above.
            match unsafe { self.driver.submit(Op::Write { fd: ours, buf: buf.as_ptr(), len: 4 }, 0, 0) } {
                Submitted::Done(result) => {
                    assert_eq!(result, 4);
                    at_once += 1;
                }
                Submitted::Pending(_) => {}
            }
        }
        self.await_ends(self.pairs.len() - at_once);
        at_once
    }

    fn await_ends(&mut self, mut count: usize) {
        while count > 0 {
            match self.driver.next() {
                Some(end) => {
                    assert_eq!(end.result, 4);
                    count -= 1;
                }
                None => self.driver.turn(None),
            }
        }
    }
}

/// An enter is worth sharing, but where it has turned out that there is nobody to share it with, the sends do not wait for
/// it.
#[test]
fn few_answers_go_out_at_once() {
    for (count, then) in [(1, 1), (4, 4), (5, 0)] {
        let mut peers = Peers::new(count);
        let rounds = [(); 3].map(|()| peers.answered_at_once(1000));
        assert_eq!(rounds, [0, then, then], "{count} peers");
    }
}

/// However few: a file's transfer may have to go to the disk, and the loop does not wait for that.
#[test]
fn what_goes_to_a_file_waits_for_the_ring() {
    let mut peers = Peers::new(1);
    assert_eq!([(); 2].map(|()| peers.answered_at_once(1000)), [0, 1]);
    let (_, file, _) = peers.model.regular();
    // SAFETY: the text is there for as long as the program runs.
    let submitted = unsafe { peers.driver.submit(Op::Write { fd: file, buf: b"text".as_ptr(), len: 4 }, 0, 0) };
    assert!(matches!(submitted, Submitted::Pending(_)), "{submitted:?}");
    peers.await_ends(1);
}

/// Whoever speaks while the loop is awake makes the enter worth sharing again.
#[test]
fn answers_to_hasty_peers_share_an_enter() {
    let mut peers = Peers::new(1);
    let rounds = [1000, 1000, 1000, 0, 0].map(|delay| peers.answered_at_once(delay));
    assert_eq!(rounds, [0, 1, 1, 0, 0]);
}

/// Only a loop that sleeps is to be woken by a call.
#[test]
fn waking_a_running_loop_costs_nothing() {
    for backend in [BackendKind::Uring, BackendKind::Epoll, BackendKind::Kqueue] {
        let model = Model::new(1, Character::default());
        let driver = Driver::new(model.clone(), &config(backend)).unwrap();
        let waker = driver.waker();
        let before = model.calls();
        (0..1000).for_each(|_| waker.wake());
        assert_eq!(model.calls(), before, "{}", backend.name());
    }
}
