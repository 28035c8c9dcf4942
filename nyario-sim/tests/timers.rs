//! When timers call, by the model's clock, which nothing else moves.

use nyario_core::driver::{BackendKind, Config};
use nyario_core::fiber::Loop;
use nyario_core::sys::Kernel;
use nyario_sim::model::{Character, Model};
use std::cell::RefCell;

const INTERVAL: u64 = 1_000_000;

/// How far a call may be from its time: what the calls of the model cost, and no more however many came before.
const NEAR: u64 = INTERVAL / 20;

/// The times of so many calls, counted from when the timer was set; each takes so long.
fn calls(backend: BackendKind, count: usize, takes: u64) -> Vec<u64> {
    struct Scene {
        looped: Loop<Model>,
        model: Model,
        times: RefCell<Vec<u64>>,
    }
    let model = Model::new(1, Character::default());
    let config = Config { backend: Some(backend), ..Config::default() };
    let (looped, times) = (Loop::new(model.clone(), &config).unwrap(), RefCell::default());
    let scene = Box::into_raw(Box::new(Scene { looped, model, times }));
    // SAFETY: it is a box, freed below; what runs on the loop has ended by then.
    let shared: &'static Scene = unsafe { &*scene };
    let begin = shared.model.now();
    let call = move || {
        shared.times.borrow_mut().push(shared.model.now() - begin);
        if takes > 0 {
            shared.looped.sleep(takes).unwrap();
        }
        if shared.times.borrow().len() == count {
            shared.looped.stop();
        }
    };
    shared.looped.every(INTERVAL, Box::new(call)).unwrap();
    shared.looped.run().unwrap();
    // SAFETY: it came from a box, and nothing runs any more.
    unsafe { Box::from_raw(scene) }.times.take()
}

fn agree(times: &[u64], wanted: impl Fn(u64) -> u64) {
    for (number, &time) in (1..).zip(times) {
        let due = wanted(number) * INTERVAL;
        assert!((due..due + NEAR).contains(&time), "call {number} is due at {due} and comes at {time}");
    }
}

#[test]
fn a_repeating_timer_does_not_drift() {
    for backend in [BackendKind::Uring, BackendKind::Epoll] {
        agree(&calls(backend, 1000, 0), |number| number);
        agree(&calls(backend, 1000, INTERVAL / 2), |number| number);
    }
}

#[test]
fn what_comes_due_during_a_call_is_left_out() {
    for backend in [BackendKind::Uring, BackendKind::Epoll] {
        agree(&calls(backend, 100, 5 * INTERVAL / 2), |number| 3 * number - 2);
    }
}
