//! When timers call, by the model's clock, which nothing else moves.

use nyario_core::driver::{BackendKind, Config};
use nyario_core::fiber::{FiberId, Loop, Options, TimerId};
use nyario_core::sys::{Errno, Kernel};
use nyario_sim::model::{Character, Faults, Model};
use nyario_sim::random::Random;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

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

/// Fibers set most timers in case something takes too long, and it does not.
#[test]
fn a_timer_that_is_cancelled_in_its_turn_asks_for_no_time() {
    for backend in [BackendKind::Uring, BackendKind::Epoll] {
        let model = Model::new(1, Character::default());
        let config = Config { backend: Some(backend), ..Config::default() };
        let looped = Box::into_raw(Box::new(Loop::new(model.clone(), &config).unwrap()));
        // SAFETY: it is a box, freed below; what runs on the loop has ended by then.
        let shared: &'static Loop<Model> = unsafe { &*looped };
        let code = move || {
            let begin = model.now();
            for _ in 0..100 {
                let timer = shared.after(INTERVAL, || ()).unwrap();
                shared.cancel_timer(timer).unwrap();
            }
            let end = model.now();
            let asking = model.now() - end;
            (end - begin) - asking
        };
        let fiber = shared.spawn(Options::default(), code).unwrap();
        shared.run().unwrap();
        assert_eq!(shared.join(fiber), Ok(0), "in nanoseconds of the model");
        // SAFETY: it came from a box, and nothing runs any more.
        drop(unsafe { Box::from_raw(looped) });
    }
}

/// What became of one timer of a random program.
struct Fate {
    timer: Cell<Option<TimerId>>,
    set: Cell<u64>,
    nanos: u64,
    repeats: bool,
    calls: Cell<u64>,
    /// When its last call was over.
    over: Cell<u64>,
    running: Cell<bool>,
    cancelled: Cell<bool>,
}

/// A program of timers, whose calls sleep, exit, set and cancel timers and narrow their own deadlines.
struct Program {
    looped: Loop<Model>,
    model: Model,
    random: RefCell<Random>,
    /// Timers are told by their places here, which stay.
    fates: RefCell<Vec<&'static Fate>>,
    /// No timer is set any more.
    closed: Cell<bool>,
    ended: Cell<bool>,
    /// A panic ends a fiber alone, and reaches nobody.
    failed: Cell<bool>,
}

impl Program {
    fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().below(bound)
    }

    fn set_timer(&'static self) {
        const MOST: usize = 60;
        if self.closed.get() || self.fates.borrow().len() == MOST {
            return;
        }
        let (nanos, repeats) = (1 + self.below(2 * INTERVAL), self.below(3) == 0);
        let (set, none) = (Cell::new(self.model.now()), || Cell::new(false));
        let (calls, over) = (Cell::new(0), Cell::new(0));
        let fate =
            Fate { timer: Cell::new(None), set, nanos, repeats, calls, over, running: none(), cancelled: none() };
        let fate: &'static Fate = Box::leak(Box::new(fate));
        let call = move || self.call(fate);
        let timer = if repeats { self.looped.every(nanos, call) } else { self.looped.after(nanos, call) };
        match timer {
            Ok(timer) => fate.timer.set(Some(timer)),
            Err(error) => assert!(error == Errno(libc::ECANCELED) && self.ended.get(), "{error}"),
        }
        self.fates.borrow_mut().push(fate);
    }

    fn call(&'static self, fate: &'static Fate) {
        let acted = catch_unwind(AssertUnwindSafe(|| self.act(fate)));
        self.failed.set(self.failed.get() || acted.is_err());
    }

    fn act(&'static self, fate: &'static Fate) {
        let now = self.model.now();
        assert!(!fate.cancelled.get(), "a cancelled timer calls");
        assert!(!fate.running.replace(true), "two calls of a timer run at once");
        assert!(fate.repeats || fate.calls.get() == 0, "a timer calls once more");
        fate.calls.set(fate.calls.get() + 1);
        assert!(now >= fate.set.get() + fate.calls.get() * fate.nanos, "a call is early");
        // When the timer was set is known but for what the model's clock takes to be asked.
        let grid = now.saturating_sub(fate.set.get()) / fate.nanos * fate.nanos + fate.set.get();
        assert!(
            grid + fate.nanos / 1000 + 10_000 >= fate.over.get(),
            "a call that came due during another is made up for"
        );
        self.looped.push_cleanup(move || self.over(fate)).unwrap();
        for _ in 0..self.below(3) {
            match self.below(8) {
                0 | 1 => self.set_timer(),
                2 | 3 => self.cancel_one(),
                4 => _ = self.looped.yield_now(),
                5 => {
                    let outer = self.looped.within(self.below(INTERVAL)).unwrap();
                    let slept = self.looped.sleep(self.below(2 * INTERVAL));
                    let fine = [Ok(()), Err(Errno(libc::ETIMEDOUT)), Err(Errno(libc::ECANCELED))];
                    assert!(fine.contains(&slept));
                    self.looped.deadline(outer).unwrap();
                }
                _ => _ = self.looped.sleep(self.below(3 * INTERVAL)),
            }
        }
        if self.below(4) == 0 {
            // SAFETY: nothing lies on the stack that anybody relies on.
            let refused = unsafe { self.looped.exit(0) };
            panic!("on a fiber: {refused:?}");
        }
    }

    fn over(&self, fate: &Fate) {
        fate.running.set(false);
        fate.over.set(self.model.now());
    }

    fn cancel_one(&self) {
        let fates = self.fates.borrow();
        let fate = fates[self.below(fates.len() as u64) as usize];
        let Some(timer) = fate.timer.get() else { return };
        let gone = fate.cancelled.get() || (!fate.repeats && fate.calls.get() > 0);
        match self.looped.cancel_timer(timer) {
            Ok(()) => assert!(!gone && !fate.cancelled.replace(true), "a timer is cancelled that is gone"),
            Err(error) => assert!(gone || self.ended.get(), "a timer is not found: {error}"),
        }
    }

    /// A fiber ends the program when enough has happened, or lets the timers run out.
    fn conduct(&'static self) -> FiberId {
        let conduct = move || {
            for _ in 0..20 {
                let _ = self.looped.sleep(self.below(INTERVAL));
                self.set_timer();
                self.cancel_one();
            }
            if self.below(2) == 0 {
                self.looped.stop();
                self.ended.set(true);
                return 1;
            }
            self.closed.set(true);
            let repeating: Vec<_> = self.fates.borrow().iter().copied().filter(|fate| fate.repeats).collect();
            for fate in repeating.iter().filter(|fate| !fate.cancelled.replace(true)) {
                self.looped.cancel_timer(fate.timer.get().unwrap()).unwrap();
            }
            0
        };
        self.looped.spawn(Options { name: "conductor", ..Options::default() }, conduct).unwrap()
    }
}

#[test]
fn random_programs_keep_to_the_rules() {
    for seed in 0..400 {
        for backend in [BackendKind::Uring, BackendKind::Epoll] {
            play(seed, backend);
        }
    }
}

fn play(seed: u64, backend: BackendKind) {
    let mut random = Random::new(seed);
    let faults = Faults { interrupted: 30, spurious: 30, stall: 20, partial: 30, ..Faults::default() };
    let character = Character { faults, ..Character::default() };
    let model = Model::new(seed, character);
    let config = Config { backend: Some(backend), ..Config::default() };
    let looped = Loop::new(model.clone(), &config).unwrap();
    if random.below(2) == 0 {
        looped.set_fiber_limit(1 + random.below(4) as usize).unwrap();
    }
    let (random, fates, none) = (RefCell::new(random), RefCell::default(), || Cell::new(false));
    let program = Program { looped, model, random, fates, closed: none(), ended: none(), failed: none() };
    let program = Box::into_raw(Box::new(program));
    // SAFETY: it is a box, freed below; what runs on the loop has ended by then.
    let shared: &'static Program = unsafe { &*program };
    let conductor = shared.conduct();
    for _ in 0..10 {
        shared.set_timer();
    }
    shared.looped.run().unwrap();
    let stopped = shared.looped.join(conductor).unwrap() == 1;
    assert_eq!((shared.looped.timers(), shared.looped.fibers()), (0, 0), "seed {seed}");
    assert!(!shared.failed.get(), "seed {seed}: a call has failed");
    for fate in shared.fates.take() {
        let called = fate.calls.get() > 0;
        assert!(!fate.running.get(), "seed {seed}: a call has no end");
        assert!(stopped || fate.repeats || called != fate.cancelled.get(), "seed {seed}: a timer forgets to call");
        // SAFETY: it came from a box, and each is here once.
        drop(unsafe { Box::from_raw(std::ptr::from_ref(fate).cast_mut()) });
    }
    // SAFETY: it came from a box, and nothing runs any more.
    drop(unsafe { Box::from_raw(program) });
}
