//! How many system calls things cost, which the model counts exactly.

use nyario_core::driver::{BackendKind, Config, Driver};
use nyario_core::fiber::{Loop, Options};
use nyario_core::net;
use nyario_core::sys::Fd;
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
