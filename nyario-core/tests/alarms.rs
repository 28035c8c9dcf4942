//! Timers: what a loop calls later. That repeating ones do not drift is shown where time is the model's: see nyario-sim.

mod common;

use common::*;
use nyario_core::fiber::TimerId;
use nyario_core::sys::{Errno, Kernel, Linux};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

scenarios!(on_loop: a_call_comes_in_its_time_on_a_fiber, calls_come_in_order, a_timer_keeps_the_loop_running,
    a_cancelled_timer_never_calls, a_timer_that_is_due_can_be_cancelled, a_timer_repeats_until_it_is_cancelled,
    a_call_cancels_its_own_timer, one_call_runs_at_a_time, a_panic_ends_the_call_alone, timers_end_with_the_loop,
    a_call_that_runs_at_the_end_is_the_last, calls_wait_for_room, a_timer_that_waits_for_room_can_be_cancelled,
    no_memory_is_no_call_lost, what_timers_hold_is_dropped, a_name_is_one_timers, many_timers, warm_timers_take_no_memory,
    a_cancelled_timer_leaves_nothing_behind, what_waits_equally_long_keeps_its_order,
    a_call_may_set_timers);

const MILLI: u64 = 1_000_000;

/// What calls leave behind, in their order.
type Trace = Rc<RefCell<Vec<u64>>>;

fn leave(trace: &Trace, word: u64) -> impl Fn() + 'static {
    let trace = trace.clone();
    move || trace.borrow_mut().push(word)
}

fn a_call_comes_in_its_time_on_a_fiber(looped: Looped) {
    let called = Rc::new(Cell::new(0));
    let witness = called.clone();
    let begin = Linux.now();
    looped
        .after(
            2 * MILLI,
            Box::new(move || {
                assert!(looped.me().is_some());
                assert_eq!(looped.deadline(0), Ok(0));
                looped.sleep(1000).unwrap();
                witness.set(Linux.now());
            }),
        )
        .unwrap();
    looped.run().unwrap();
    assert!(called.get() >= begin + 2 * MILLI, "set outside a fiber");
    let witness = called.clone();
    in_fiber(looped, move || looped.after(0, Box::new(move || witness.set(1))).unwrap());
    assert_eq!(called.get(), 1, "set on a fiber");
}

fn calls_come_in_order(looped: Looped) {
    loop {
        let trace = Trace::default();
        let begin = Linux.now();
        for word in [3, 0, 4, 1, 2] {
            looped.after(20 * MILLI + word * MILLI, Box::new(leave(&trace, word))).unwrap();
        }
        // Each counts from a moment of its own, so their order is certain only where these lie close together.
        let close_together = Linux.now() < begin + MILLI;
        looped.run().unwrap();
        if close_together {
            assert_eq!(*trace.borrow(), [0, 1, 2, 3, 4]);
            return;
        }
    }
}

/// Those that a fiber sets count from one look at the clock; whoever begins to sleep after that does not overtake them.
fn what_waits_equally_long_keeps_its_order(looped: Looped) {
    const CANCELLED: [u64; 5] = [0, 7, 21, 30, 39];
    let calls = Trace::default();
    let trace = in_fiber(looped, move || {
        let set = |word| looped.after(MILLI, Box::new(leave(&calls, word))).unwrap();
        let timers: Vec<TimerId> = (0..40).map(set).collect();
        for word in CANCELLED {
            looped.cancel_timer(timers[word as usize]).unwrap();
        }
        looped.sleep(MILLI).unwrap();
        calls.take()
    });
    let expected: Vec<u64> = (0..40).filter(|word| !CANCELLED.contains(word)).collect();
    assert_eq!(trace, expected);
}

fn a_timer_keeps_the_loop_running(looped: Looped) {
    let trace = Trace::default();
    let timer = looped.after(MILLI, Box::new(leave(&trace, 7))).unwrap();
    assert_eq!(looped.timers(), 1);
    looped.run().unwrap();
    assert_eq!((looped.timers(), trace.borrow().len()), (0, 1));
    assert_eq!(looped.cancel_timer(timer), Err(Errno(libc::ESRCH)));
    let cancelled = looped.after(u64::MAX, || ()).unwrap();
    looped.cancel_timer(cancelled).unwrap();
    looped.run().unwrap();
}

fn a_cancelled_timer_never_calls(looped: Looped) {
    let trace = Trace::default();
    let timers = [0, 1, 1000, MILLI].map(|nanos| looped.after(nanos, Box::new(leave(&trace, 1))).unwrap());
    let again = looped.every(1, Box::new(leave(&trace, 2))).unwrap();
    for timer in timers.into_iter().chain([again]) {
        assert_eq!(looped.cancel_timer(timer), Ok(()));
        assert_eq!(looped.cancel_timer(timer), Err(Errno(libc::ESRCH)), "cancelled once");
    }
    in_fiber(looped, move || looped.sleep(3 * MILLI).unwrap());
    assert!(trace.borrow().is_empty());
    assert_eq!(looped.every(0, || ()), Err(Errno(libc::EINVAL)));
    assert_eq!(looped.cancel_timer(TimerId::from_word(1 << 40)), Err(Errno(libc::ESRCH)));
    assert_eq!(looped.cancel_timer(TimerId::from_word(0)), Err(Errno(libc::ESRCH)));
}

/// Several come due at the same look at the clock, and the first of them cancels the rest.
fn a_timer_that_is_due_can_be_cancelled(looped: Looped) {
    let trace = Trace::default();
    let timers: Rc<RefCell<Vec<TimerId>>> = Rc::default();
    for number in 0..5 {
        let (trace, others) = (trace.clone(), timers.clone());
        let call = move || {
            trace.borrow_mut().push(number);
            for &other in others.borrow().iter() {
                assert_eq!(looped.cancel_timer(other).is_ok(), others.borrow()[number as usize] != other);
            }
        };
        timers.borrow_mut().push(looped.after(1000 + number, Box::new(call)).unwrap());
    }
    std::thread::sleep(std::time::Duration::from_millis(1));
    looped.run().unwrap();
    assert_eq!(*trace.borrow(), [0]);
}

fn a_timer_repeats_until_it_is_cancelled(looped: Looped) {
    let trace = Trace::default();
    let begin = Linux.now();
    let witness = trace.clone();
    let timer = looped.every(200_000, Box::new(move || witness.borrow_mut().push(Linux.now()))).unwrap();
    let seen = trace.clone();
    in_fiber(looped, move || {
        until(looped, || seen.borrow().len() >= 10);
        looped.cancel_timer(timer).unwrap();
        let count = seen.borrow().len();
        looped.sleep(MILLI).unwrap();
        assert_eq!(seen.borrow().len(), count);
    });
    for (number, &time) in (1..).zip(trace.borrow().iter()) {
        assert!(time >= begin + number * 200_000, "call {number} is early");
    }
}

/// Not even until the next turn, which may be far.
fn a_cancelled_timer_leaves_nothing_behind(looped: Looped) {
    in_fiber(looped, move || {
        let pending = || looped.statistics().runtime.driver.pending;
        let before = pending();
        for _ in 0..100 {
            let fresh = looped.after(MILLI, || ()).unwrap();
            assert_eq!(pending(), before, "it is only written down");
            let again = looped.every(MILLI, || ()).unwrap();
            assert_eq!(pending(), before + 2, "the loop has looked at the clock");
            looped.cancel_timer(fresh).unwrap();
            looped.cancel_timer(again).unwrap();
        }
        assert_eq!(pending(), before);
    });
}

fn a_call_cancels_its_own_timer(looped: Looped) {
    let calls = Rc::new(Cell::new(0));
    let timer = Rc::new(Cell::new(None));
    let (witness, own) = (calls.clone(), timer.clone());
    let call = move || {
        witness.set(witness.get() + 1);
        if witness.get() == 3 {
            let own: TimerId = own.get().unwrap();
            assert_eq!(looped.cancel_timer(own), Ok(()));
            assert_eq!(looped.cancel_timer(own), Err(Errno(libc::ESRCH)));
            assert_eq!(looped.sleep(1000), Ok(()), "the call goes on");
            witness.set(100);
        }
    };
    timer.set(Some(looped.every(100_000, Box::new(call)).unwrap()));
    looped.run().unwrap();
    assert_eq!(calls.get(), 100);
    let (witness, own) = (calls.clone(), timer.clone());
    let once = move || witness.set(looped.cancel_timer(own.get().unwrap()).unwrap_err().0);
    timer.set(Some(looped.after(0, Box::new(once)).unwrap()));
    looped.run().unwrap();
    assert_eq!(calls.get(), libc::ESRCH, "the only call has begun");
}

fn one_call_runs_at_a_time(looped: Looped) {
    let (running, calls) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let (inside, count) = (running.clone(), calls.clone());
    let call = move || {
        assert!(!inside.replace(true));
        looped.sleep(MILLI).unwrap();
        inside.set(false);
        count.set(count.get() + 1);
    };
    let timer = looped.every(100_000, Box::new(call)).unwrap();
    in_fiber(looped, move || {
        until(looped, || calls.get() >= 4);
        looped.cancel_timer(timer).unwrap();
    });
}

fn a_panic_ends_the_call_alone(looped: Looped) {
    expect_panics(3);
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    let call = move || {
        count.set(count.get() + 1);
        assert!(count.get() > 3, "as the scenario wants it");
    };
    let timer = looped.every(100_000, Box::new(call)).unwrap();
    in_fiber(looped, move || {
        until(looped, || calls.get() >= 5);
        looped.cancel_timer(timer).unwrap();
    });
}

fn timers_end_with_the_loop(looped: Looped) {
    let trace = Trace::default();
    let timer = looped.after(u64::MAX, Box::new(leave(&trace, 1))).unwrap();
    looped.after(0, Box::new(leave(&trace, 2))).unwrap();
    looped.every(1000, Box::new(leave(&trace, 3))).unwrap();
    looped.stop();
    let refused = go(looped, move || told(looped.after(0, || ()).map(|_| 0)));
    looped.run().unwrap();
    assert!(trace.borrow().is_empty());
    assert_eq!(Rc::strong_count(&trace), 1);
    assert_eq!(looped.timers(), 0);
    assert_eq!(looped.cancel_timer(timer), Err(Errno(libc::ESRCH)));
    assert_eq!(looped.join(refused), Ok(failed(libc::ECANCELED)));
    // The next run has timers of its own.
    looped.after(0, Box::new(leave(&trace, 4))).unwrap();
    looped.run().unwrap();
    assert_eq!(*trace.borrow(), [4]);
}

fn a_call_that_runs_at_the_end_is_the_last(looped: Looped) {
    let told_of = Rc::new(Cell::new(Ok(())));
    let witness = told_of.clone();
    let call = move || {
        looped.stop();
        witness.set(looped.sleep(u64::MAX));
    };
    looped.every(100_000, Box::new(call)).unwrap();
    looped.run().unwrap();
    assert_eq!(told_of.get(), Err(Errno(libc::ECANCELED)));
    assert_eq!((looped.timers(), Rc::strong_count(&told_of)), (0, 1));
}

fn calls_wait_for_room(looped: Looped) {
    let (most, calls) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    looped.set_fiber_limit(2).unwrap();
    for _ in 0..20 {
        let (most, calls) = (most.clone(), calls.clone());
        let call = move || {
            most.set(most.get().max(looped.fibers()));
            looped.sleep(50_000).unwrap();
            calls.set(calls.get() + 1);
        };
        looped.after(0, Box::new(call)).unwrap();
    }
    looped.run().unwrap();
    assert_eq!((most.get(), calls.get()), (2, 20));
}

fn a_timer_that_waits_for_room_can_be_cancelled(looped: Looped) {
    let trace = Trace::default();
    looped.set_fiber_limit(1).unwrap();
    let timers = [0, 1].map(|word| looped.after(0, Box::new(leave(&trace, word))).unwrap());
    in_fiber(looped, move || {
        looped.sleep(MILLI).unwrap();
        looped.cancel_timer(timers[0]).unwrap();
    });
    assert_eq!(*trace.borrow(), [1]);
}

/// There is no room for a stack of that size, until somebody says that a smaller one will do.
fn no_memory_is_no_call_lost(looped: Looped) {
    if said_in_own_process().is_some() {
        return;
    }
    let trace = Trace::default();
    looped.after(0, Box::new(leave(&trace, 1))).unwrap();
    looped.every(MILLI, Box::new(leave(&trace, 2))).unwrap();
    let seen = trace.clone();
    in_fiber(looped, move || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let present = pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096;
        // Room for what else allocates, and not for a stack.
        let short = present + (16 << 20);
        let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the limit outlives the calls.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &mut before), 0);
            assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &libc::rlimit { rlim_cur: short, ..before }), 0);
        }
        looped.set_stack_size(64 << 20).unwrap();
        looped.sleep(3 * MILLI).unwrap();
        assert!(seen.borrow().is_empty());
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &before) }, 0);
        until(looped, || seen.borrow().contains(&1) && seen.borrow().contains(&2));
        looped.stop();
    });
}

fn what_timers_hold_is_dropped(looped: Looped) {
    let held = Rc::new(());
    let holder = || {
        let held = held.clone();
        Box::new(move || drop(held.clone()))
    };
    looped.after(0, holder()).unwrap();
    let cancelled = looped.after(0, holder()).unwrap();
    looped.cancel_timer(cancelled).unwrap();
    looped.run().unwrap();
    assert_eq!(Rc::strong_count(&held), 1);
    // And with the loop.
    looped.after(0, holder()).unwrap();
}

fn a_name_is_one_timers(looped: Looped) {
    let mut names = std::collections::HashSet::new();
    for _ in 0..100 {
        let timer = looped.after(0, || ()).unwrap();
        assert!(names.insert(timer) && timer.word() > 0);
        looped.cancel_timer(timer).unwrap();
    }
}

fn many_timers(looped: Looped) {
    const TIMERS: u64 = 100_000;
    let sum = Rc::new(Cell::new(0));
    for number in 0..TIMERS {
        let sum = sum.clone();
        // Two words: no box.
        looped.after(number * 7919 % MILLI, move || sum.set(sum.get() + number)).unwrap();
    }
    assert_eq!(looped.timers(), TIMERS as usize);
    let reserved = masked::mapped();
    looped.run().unwrap();
    assert_eq!(sum.get(), TIMERS * (TIMERS - 1) / 2);
    // One after the other, they need a few stacks.
    assert!(masked::mapped() - reserved <= 10 << 20);
}

fn warm_timers_take_no_memory(looped: Looped) {
    let allocations = in_fiber(looped, move || {
        let calls: &Cell<u32> = Box::leak(Box::new(Cell::new(0)));
        let round = move || {
            let call = move || calls.set(calls.get() + 1);
            let cancelled = looped.after(u64::MAX, call).unwrap();
            looped.after(1000, call).unwrap();
            let again = looped.every(1000, call).unwrap();
            let before = calls.get();
            until(looped, || calls.get() >= before + 3);
            looped.cancel_timer(cancelled).unwrap();
            looped.cancel_timer(again).unwrap();
        };
        (0..100).for_each(|_| round());
        memory::count();
        (0..300).for_each(|_| round());
        let allocations = memory::stop_counting();
        // SAFETY: leaked above; no call is to come.
        drop(unsafe { Box::from_raw(std::ptr::from_ref(calls).cast_mut()) });
        allocations
    });
    assert_eq!(allocations, Some(0));
}

fn a_call_may_set_timers(looped: Looped) {
    fn chain(looped: Looped, left: u64, trace: Trace) {
        let trace = Box::new(move || {
            trace.borrow_mut().push(left);
            if left > 0 {
                chain(looped, left - 1, trace.clone());
            }
        });
        looped.after(1000, trace).unwrap();
    }
    let trace = Trace::default();
    chain(looped, 50, trace.clone());
    looped.run().unwrap();
    assert!(trace.borrow().iter().copied().eq((0..=50).rev()));
}
