//! Offload: work on other threads, and every way in which its fiber may stop waiting for it.

mod common;

use common::*;
use nyario_core::driver::{Config, Driver, Op, OpId, Submitted};
use nyario_core::offload::{begin, run, run_owned};
use nyario_core::sys::{Errno, Kernel};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;

scenarios!(on_loop: work_runs_beside_the_loop, off_a_fiber_it_simply_runs, a_panic_is_told, what_has_not_begun_is_taken_back,
    jobs_wait_in_order, what_runs_is_waited_for, what_owns_its_work_is_left, a_refused_fiber_begins_nothing,
    the_end_of_a_loop_waits_for_what_runs, threads_take_no_signals);
mod apart {
    use super::*;
    scenarios!(on_config: what_is_left_outlives_its_loop, the_work_of_a_host_ends_its_park, a_host_leaves_its_work);
}

/// The bound of the pool.
const THREADS: usize = 64;

/// A door that work waits at.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
    passed: AtomicUsize,
}

impl Gate {
    fn new() -> Arc<Gate> {
        Arc::default()
    }

    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
        self.passed.fetch_add(1, Ordering::Relaxed);
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

/// Occupies so many threads of the pool until the gate opens.
fn occupy(looped: Looped, count: usize, gate: &Arc<Gate>) {
    let before = gate.waiting.load(Ordering::Relaxed);
    for _ in 0..count {
        let gate = gate.clone();
        go(looped, move || {
            run(looped, || gate.pass()).unwrap();
            0
        });
    }
    until(looped, || gate.waiting.load(Ordering::Relaxed) == before + count);
}

fn work_runs_beside_the_loop(looped: Looped) {
    let barrier = Arc::new(Barrier::new(10));
    let here = thread::current().id();
    for number in 0..10 {
        let barrier = barrier.clone();
        go(looped, move || {
            let mut borrowed = number;
            let there = run(looped, || {
                // All of them at once, and the loop beside them, or nobody passes.
                barrier.wait();
                borrowed += 100;
                thread::current().id()
            });
            assert_ne!(there.unwrap(), here);
            assert_eq!(borrowed, number + 100);
            assert_eq!(run_owned(looped, move || number), Ok(number));
            0
        });
    }
    looped.run().unwrap();
}

fn off_a_fiber_it_simply_runs(looped: Looped) {
    let here = thread::current().id();
    assert_eq!(run(looped, || thread::current().id()), Ok(here));
    assert_eq!(run_owned(looped, || thread::current().id()), Ok(here));
}

fn a_panic_is_told(looped: Looped) {
    expect_panics(2);
    in_fiber(looped, move || {
        assert_eq!(run(looped, || panic!("on purpose")), Err::<(), _>(Errno(libc::ENOTRECOVERABLE)));
        assert_eq!(run_owned(looped, || panic!("on purpose")), Err::<(), _>(Errno(libc::ENOTRECOVERABLE)));
        assert_eq!(run(looped, || 5), Ok(5));
    });
}

fn what_has_not_begun_is_taken_back(looped: Looped) {
    in_fiber(looped, move || {
        let gate = Gate::new();
        occupy(looped, THREADS, &gate);
        let owned = Arc::new(());
        for late in [false, true] {
            let begin = move |owned: Arc<()>| {
                let borrowing = go(looped, move || told(run(looped, || panic!("it never runs"))));
                let owning = go(looped, move || told(run_owned(looped, move || panic!("it never runs: {owned:?}"))));
                [borrowing, owning]
            };
            if late {
                let timed = owned.clone();
                let fiber = go(looped, move || {
                    looped.deadline(looped.kernel().now() + 2_000_000).unwrap();
                    assert_eq!(run(looped, || panic!("it never runs")), Err::<(), _>(Errno(libc::ETIMEDOUT)));
                    looped.deadline(looped.kernel().now() + 2_000_000).unwrap();
                    told(run_owned(looped, move || panic!("it never runs: {timed:?}")))
                });
                assert_eq!(looped.join(fiber), Ok(failed(libc::ETIMEDOUT)));
            } else {
                let fibers = begin(owned.clone());
                settle(looped);
                fibers.iter().for_each(|&fiber| looped.cancel(fiber).unwrap());
                all_told(looped, fibers, failed(libc::ECANCELED));
            }
            assert_eq!(Arc::strong_count(&owned), 1, "what it owned is dropped with it");
        }
        gate.open();
    });
}

fn jobs_wait_in_order(looped: Looped) {
    in_fiber(looped, move || {
        let (gate, last) = (Gate::new(), Gate::new());
        occupy(looped, THREADS - 1, &gate);
        occupy(looped, 1, &last);
        let order = Arc::new(Mutex::new(Vec::new()));
        let fibers: Vec<_> = (0..20)
            .map(|number| {
                let order = order.clone();
                go(looped, move || told(run(looped, || order.lock().unwrap().push(number)).map(|()| 0)))
            })
            .collect();
        settle(looped);
        // One from the middle, one from each end.
        [0, 7, 19].iter().for_each(|&number: &usize| looped.cancel(fibers[number]).unwrap());
        settle(looped);
        // The one thread that is free now takes them all.
        last.open();
        for (number, fiber) in fibers.into_iter().enumerate() {
            let cancelled = [0, 7, 19].contains(&number);
            assert_eq!(looped.join(fiber), Ok(if cancelled { failed(libc::ECANCELED) } else { 0 }));
        }
        assert_eq!(*order.lock().unwrap(), (1..7).chain(8..19).collect::<Vec<_>>());
        gate.open();
    });
}

fn what_runs_is_waited_for(looped: Looped) {
    in_fiber(looped, move || {
        for late in [false, true] {
            let gate = Gate::new();
            let door = gate.clone();
            let told = Rc::new(RefCell::new(Vec::new()));
            let tell = told.clone();
            let fiber = go(looped, move || {
                let tell = |result| tell.borrow_mut().push(result);
                let waiting = || door.waiting.load(Ordering::Relaxed);
                loop {
                    if late {
                        looped.deadline(looped.kernel().now() + 30_000_000).unwrap();
                    }
                    let result = run(looped, || door.pass());
                    // What no thread came for in time has never begun, and is asked for once more.
                    if result.is_ok() || waiting() > 0 {
                        break tell(result);
                    }
                }
                tell(looped.sleep(u64::MAX));
                looped.deadline(0).unwrap();
                tell(looped.sleep(1));
                0
            });
            until(looped, || gate.waiting.load(Ordering::Relaxed) == 1);
            if late {
                looped.sleep(40_000_000).unwrap();
            } else {
                looped.cancel(fiber).unwrap();
            }
            settle(looped);
            assert!(told.borrow().is_empty(), "it waits for what may still use its memory");
            gate.open();
            looped.join(fiber).unwrap();
            let reason = Errno(if late { libc::ETIMEDOUT } else { libc::ECANCELED });
            assert_eq!(*told.borrow(), [Ok(()), Err(reason), Ok(())]);
        }
    });
}

fn what_owns_its_work_is_left(looped: Looped) {
    in_fiber(looped, move || {
        for late in [false, true] {
            let gate = Gate::new();
            let (door, result) = (gate.clone(), Arc::new(()));
            let kept = result.clone();
            let fiber = go(looped, move || {
                loop {
                    if late {
                        looped.deadline(looped.kernel().now() + 30_000_000).unwrap();
                    }
                    let (door, held) = (door.clone(), kept.clone());
                    let work = move || {
                        door.pass();
                        held
                    };
                    let end = told(run_owned(looped, work).map(|_| 0));
                    // What no thread came for in time is dropped, and asked for once more.
                    if Arc::strong_count(&kept) > 2 {
                        return end;
                    }
                }
            });
            until(looped, || gate.waiting.load(Ordering::Relaxed) == 1);
            if !late {
                looped.cancel(fiber).unwrap();
            }
            let reason = if late { libc::ETIMEDOUT } else { libc::ECANCELED };
            assert_eq!(looped.join(fiber), Ok(failed(reason)), "it does not wait");
            assert_eq!(Arc::strong_count(&result), 2);
            gate.open();
            until(looped, || Arc::strong_count(&result) == 1);
        }
    });
}

fn a_refused_fiber_begins_nothing(looped: Looped) {
    in_fiber(looped, move || {
        let me = looped.me().unwrap();
        looped.cancel(me).unwrap();
        assert_eq!(run(looped, || panic!("it never runs")), Err::<(), _>(Errno(libc::ECANCELED)));
        looped.cancel(me).unwrap();
        assert_eq!(run_owned(looped, || panic!("it never runs")), Err::<(), _>(Errno(libc::ECANCELED)));
        looped.deadline(1).unwrap();
        assert_eq!(run(looped, || panic!("it never runs")), Err::<(), _>(Errno(libc::ETIMEDOUT)));
        assert_eq!(run_owned(looped, || panic!("it never runs")), Err::<(), _>(Errno(libc::ETIMEDOUT)));
        looped.deadline(0).unwrap();
        assert_eq!(run(looped, || 1), Ok(1));
    });
}

fn the_end_of_a_loop_waits_for_what_runs(looped: Looped) {
    let gate = Gate::new();
    let (door, ended) = (gate.clone(), Rc::new(Cell::new(false)));
    let end = ended.clone();
    go(looped, move || {
        assert_eq!(run(looped, || door.pass()), Ok(()));
        assert_eq!(run(looped, || panic!("it never runs")), Err::<(), _>(Errno(libc::ECANCELED)));
        end.set(true);
        0
    });
    let (waiting, stopper) = (gate.clone(), looped.stopper());
    let opener = thread::spawn(move || {
        while waiting.waiting.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        stopper.stop();
        thread::sleep(std::time::Duration::from_millis(20));
        waiting.open();
    });
    looped.run().unwrap();
    assert!(ended.get());
    assert_eq!(looped.fibers(), 0);
    opener.join().unwrap();
}

fn what_is_left_outlives_its_loop(config: &Config) {
    let gate = Gate::new();
    let door = gate.clone();
    let begun = Arc::new(AtomicBool::new(false));
    with_loop(config, |looped| {
        let begins = begun.clone();
        go(looped, move || {
            let work = move || {
                begins.store(true, Ordering::Relaxed);
                door.pass();
                door
            };
            told(run_owned(looped, work).map(|_| 0))
        });
        go(looped, move || {
            until(looped, || begun.load(Ordering::Relaxed));
            looped.stop();
            0
        });
        looped.run().unwrap();
    });
    assert_eq!(gate.passed.load(Ordering::Relaxed), 0, "the loop is gone before the work is over");
    gate.open();
    // The gate, and with it all that the work owned, comes back from the pool.
    while Arc::strong_count(&gate) > 1 {
        thread::yield_now();
    }
}

fn park(driver: &mut Driver<Masked>, waiter: u64) -> OpId {
    match submit(driver, Op::Park, waiter, 0) {
        Submitted::Pending(park) => park,
        Submitted::Done(result) => panic!("a park waits, and came to {result}"),
    }
}

fn the_work_of_a_host_ends_its_park(config: &Config) {
    let mut driver = Driver::new(Masked, config).unwrap();
    let here = thread::current().id();
    for number in 1..=3 {
        let park = park(&mut driver, number << 2);
        let work = begin(driver.waker(), park, move || (number, thread::current().id())).unwrap();
        let ended = completion(&mut driver);
        assert_eq!((ended.waiter, ended.result), (number << 2, 1));
        let (value, there) = work.end().unwrap();
        assert_eq!(value, number);
        assert_ne!(there, here);
    }
    expect_panics(1);
    let park = park(&mut driver, 4);
    let work = begin(driver.waker(), park, || panic!("on purpose")).unwrap();
    assert_eq!(completion(&mut driver).result, 1);
    assert_eq!(work.end(), None::<()>);
}

fn a_host_leaves_its_work(config: &Config) {
    let mut driver = Driver::new(Masked, config).unwrap();
    let (gate, owned) = (Gate::new(), Arc::new(()));
    for number in 0..THREADS {
        let (door, carried) = (gate.clone(), owned.clone());
        let park = park(&mut driver, 4);
        let work = begin(driver.waker(), park, move || {
            door.pass();
            carried
        });
        while gate.waiting.load(Ordering::Relaxed) == number {
            thread::yield_now();
        }
        drop(work);
    }
    // No thread is left, so this one does not begin, and goes with what it owns.
    let (last, carried) = (park(&mut driver, 8), owned.clone());
    let work = begin(driver.waker(), last, move || panic!("it never runs: {carried:?}")).unwrap();
    assert_eq!(Arc::strong_count(&owned), THREADS + 2);
    assert_eq!(work.end(), None::<()>);
    assert_eq!(Arc::strong_count(&owned), THREADS + 1);
    gate.open();
    while Arc::strong_count(&owned) > 1 {
        thread::yield_now();
    }
}

fn threads_take_no_signals(looped: Looped) {
    in_fiber(looped, move || {
        let blocked = run(looped, || {
            // SAFETY: the mask is plain data, and is filled in.
            unsafe {
                let mut mask: libc::sigset_t = std::mem::zeroed();
                libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
                [libc::SIGTERM, libc::SIGINT, libc::SIGALRM].map(|signal| libc::sigismember(&mask, signal))
            }
        });
        assert_eq!(blocked, Ok([1, 1, 1]));
    });
}
