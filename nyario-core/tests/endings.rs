//! How fibers end: exits, what they push to be called then, and the values that they have under keys.

mod common;

use common::*;
use nyario_core::conn::Kind;
use nyario_core::fiber::{Key, Loop, Options};
use nyario_core::runtime::Start;
use nyario_core::sys::{Errno, Kernel};
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::io::Read;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

scenarios!(on_loop: an_exit_ends_from_any_depth, an_exit_outside_a_fiber_is_refused, a_handler_that_exits_closes_its_connection,
    a_call_that_exits_is_over, a_post_that_exits_leaves_nothing, what_was_pushed_is_called_backwards, what_is_popped_is_not_called_again,
    whoever_cleans_up_may_wait, whoever_cleans_up_may_exit_and_push, a_cancelled_fiber_cleans_up, a_panic_is_cleaned_up_after,
    a_panic_while_cleaning_up_is_told, values_are_each_fibers_own, values_are_destroyed_at_the_end,
    a_destructor_may_set_values_but_not_for_ever, a_deleted_key_destroys_nothing, the_loop_has_values_of_its_own,
    warm_endings_take_no_memory, scopes_nest_and_only_narrow, a_scope_that_is_over_restores);

type Trace = Rc<RefCell<Vec<u64>>>;

/// Has the running fiber leave a word behind when it ends.
fn push(looped: Looped, trace: &Trace, word: u64) {
    let trace = trace.clone();
    looped.push_cleanup(move || trace.borrow_mut().push(word)).unwrap();
}

fn exit(looped: Looped, value: u64) -> ! {
    // SAFETY: the scenarios leave nothing on the stack that anybody relies on.
    match unsafe { looped.exit(value) } {
        Err(error) => panic!("on a fiber: {error}"),
    }
}

fn an_exit_ends_from_any_depth(looped: Looped) {
    fn deep(looped: Looped, left: u64) -> u64 {
        if left == 0 {
            exit(looped, 77);
        }
        std::hint::black_box(deep(looped, left - 1)) + 1
    }
    in_fiber(looped, move || {
        all_told(looped, [go(looped, move || deep(looped, 100))], 77);
        let late = move || {
            looped.sleep(1000).unwrap();
            exit(looped, u64::MAX)
        };
        all_told(looped, [go(looped, late)], u64::MAX);
    });
}

fn an_exit_outside_a_fiber_is_refused(looped: Looped) {
    // SAFETY: nothing is given up, as nothing ends.
    assert_eq!(unsafe { looped.exit(1) }, Err(Errno(libc::EINVAL)));
    assert_eq!(looped.push_cleanup(|| ()), Err(Errno(libc::EINVAL)));
    assert_eq!(looped.pop_cleanup(true), Err(Errno(libc::EINVAL)));
    assert_eq!(looped.within(1), Err(Errno(libc::EINVAL)));
}

fn a_handler_that_exits_closes_its_connection(looped: Looped) {
    let (fd, address) = listen();
    let trace = Trace::default();
    let witness = trace.clone();
    looped
        .register(fd, Start::Eager, move |fd| {
            let trace = witness.clone();
            let clean = move || {
                say(looped, fd, b"bye");
                trace.borrow_mut().push(1);
            };
            looped.push_cleanup(Box::new(clean)).unwrap();
            exit(looped, 0);
        })
        .unwrap();
    run_beside(looped, move || {
        let mut said = String::new();
        TcpStream::connect(&address).unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "bye");
    });
    assert_eq!((trace.borrow().len(), looped.connections(Kind::Accepted)), (1, 0));
}

fn a_call_that_exits_is_over(looped: Looped) {
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    let call = move || {
        count.set(count.get() + 1);
        exit(looped, 0);
    };
    let timer = looped.every(100_000, Box::new(call)).unwrap();
    in_fiber(looped, move || {
        until(looped, || calls.get() >= 3);
        looped.cancel_timer(timer).unwrap();
    });
    assert_eq!(looped.timers(), 0);
}

/// What it would leave is seen by those who count the memory of the scenario.
fn a_post_that_exits_leaves_nothing(looped: Looped) {
    static BEGUN: AtomicUsize = AtomicUsize::new(0);
    BEGUN.store(0, Ordering::Relaxed);
    let poster = looped.poster();
    let address = &raw const *looped as usize;
    for _ in 0..3 {
        let code = move || {
            BEGUN.fetch_add(1, Ordering::Relaxed);
            // SAFETY: it runs on the loop's own thread, while the loop does.
            let looped = unsafe { &*(address as *const Loop<_>) };
            exit(looped, 0);
        };
        poster.post(code).unwrap();
    }
    looped.run().unwrap();
    assert_eq!(BEGUN.load(Ordering::Relaxed), 3);
}

fn what_was_pushed_is_called_backwards(looped: Looped) {
    let trace = Trace::default();
    for exits in [false, true] {
        let witness = trace.clone();
        go(looped, move || {
            (0..3).for_each(|word| push(looped, &witness, word));
            drop(witness);
            if exits { exit(looped, 0) } else { 0 }
        });
    }
    looped.run().unwrap();
    assert_eq!(*trace.borrow(), [2, 1, 0, 2, 1, 0]);
    assert_eq!(Rc::strong_count(&trace), 1);
}

fn what_is_popped_is_not_called_again(looped: Looped) {
    let trace = Trace::default();
    let witness = trace.clone();
    in_fiber(looped, move || {
        assert_eq!(looped.pop_cleanup(false), Err(Errno(libc::EINVAL)));
        (0..3).for_each(|word| push(looped, &witness, word));
        looped.pop_cleanup(true).unwrap();
        assert_eq!(*witness.borrow(), [2]);
        looped.pop_cleanup(false).unwrap();
        assert_eq!(*witness.borrow(), [2]);
        looped.pop_cleanup(true).unwrap();
        assert_eq!(*witness.borrow(), [2, 0]);
        assert_eq!(looped.pop_cleanup(true), Err(Errno(libc::EINVAL)));
    });
    assert_eq!(*trace.borrow(), [2, 0]);
}

fn whoever_cleans_up_may_wait(looped: Looped) {
    let trace = Trace::default();
    in_fiber(looped, move || {
        let witness = trace.clone();
        let fiber = go(looped, move || {
            push(looped, &witness, 1);
            looped.push_cleanup(move || looped.sleep(1000).unwrap()).unwrap();
            push(looped, &witness, 2);
            5
        });
        looped.yield_now().unwrap();
        assert_eq!(*trace.borrow(), [2]);
        assert_eq!(looped.join(fiber), Ok(5), "who joins waits for that, too");
        assert_eq!(*trace.borrow(), [2, 1]);
    });
}

fn whoever_cleans_up_may_exit_and_push(looped: Looped) {
    let trace = Trace::default();
    let witness = trace.clone();
    let fiber = go(looped, move || {
        push(looped, &witness, 1);
        looped.push_cleanup(move || exit(looped, 6)).unwrap();
        let pushes = Box::new(move || push(looped, &witness, 2));
        looped.push_cleanup(pushes).unwrap();
        5
    });
    looped.run().unwrap();
    assert_eq!(looped.join(fiber), Ok(6));
    assert_eq!(*trace.borrow(), [2, 1]);
}

fn a_cancelled_fiber_cleans_up(looped: Looped) {
    let trace = Trace::default();
    in_fiber(looped, move || {
        let witness = trace.clone();
        let fiber = go(looped, move || {
            let trace = witness.clone();
            let clean = move || {
                trace.borrow_mut().push(told(looped.sleep(1000).map(|()| 0)));
                looped.deadline(0).unwrap();
                trace.borrow_mut().push(told(looped.sleep(1000).map(|()| 0)));
            };
            looped.push_cleanup(Box::new(clean)).unwrap();
            looped.deadline(1).unwrap();
            told(looped.sleep(u64::MAX).map(|()| 0))
        });
        looped.cancel(fiber).unwrap();
        let result = looped.join(fiber).unwrap();
        let both = [failed(libc::ECANCELED), failed(libc::ETIMEDOUT)];
        // Which of the two comes first is no matter; the deadline is in force afterwards.
        assert!(both.contains(&result));
        assert!(both.contains(&trace.borrow()[0]));
        assert_eq!(trace.borrow()[1], 0);
    });
}

fn a_panic_is_cleaned_up_after(looped: Looped) {
    expect_panics(1);
    let trace = Trace::default();
    let witness = trace.clone();
    let fiber = go(looped, move || {
        push(looped, &witness, 1);
        panic!("as the scenario wants it");
    });
    looped.run().unwrap();
    assert_eq!(looped.join(fiber), Err(Errno(libc::ENOTRECOVERABLE)));
    assert_eq!(*trace.borrow(), [1]);
}

fn a_panic_while_cleaning_up_is_told(looped: Looped) {
    expect_panics(1);
    let trace = Trace::default();
    let witness = trace.clone();
    let fiber = go(looped, move || {
        push(looped, &witness, 1);
        looped.push_cleanup(|| panic!("as the scenario wants it")).unwrap();
        1
    });
    looped.run().unwrap();
    assert_eq!(looped.join(fiber), Err(Errno(libc::ENOTRECOVERABLE)));
    assert_eq!(*trace.borrow(), [1], "the others are called all the same");
}

fn value(number: usize) -> *mut c_void {
    std::ptr::without_provenance_mut(number)
}

fn values_are_each_fibers_own(looped: Looped) {
    let keys = [(); 3].map(|()| Key::create(None).unwrap());
    in_fiber(looped, move || {
        let crowd: Vec<_> = (1..=50)
            .map(|number| {
                go(looped, move || {
                    assert!(keys.iter().all(|&key| looped.get(key).is_null()));
                    keys.iter().for_each(|&key| looped.set(key, value(number)).unwrap());
                    looped.yield_now().unwrap();
                    looped.set(keys[1], value(0)).unwrap();
                    looped.yield_now().unwrap();
                    keys.map(|key| looped.get(key) as usize).iter().sum::<usize>() as u64 - 2 * number as u64
                })
            })
            .collect();
        all_told(looped, crowd, 0);
    });
    keys.iter().for_each(|key| key.delete().unwrap());
}

static DESTROYED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn adds_up(value: *mut c_void) {
    DESTROYED.fetch_add(value as usize, Ordering::Relaxed);
}

fn values_are_destroyed_at_the_end(looped: Looped) {
    let key = Key::create(Some(adds_up)).unwrap();
    DESTROYED.store(0, Ordering::Relaxed);
    for number in 1..=10 {
        go(looped, move || {
            looped.set(key, value(number)).unwrap();
            let kept = if number == 4 { 0 } else { number };
            looped.push_cleanup(Box::new(move || assert_eq!(looped.get(key), value(kept)))).unwrap();
            if number == 3 {
                exit(looped, 0);
            }
            if number == 4 {
                looped.set(key, value(0)).unwrap();
            }
            0
        });
    }
    looped.run().unwrap();
    assert_eq!(DESTROYED.load(Ordering::Relaxed), 55 - 4);
    key.delete().unwrap();
}

thread_local! {
    static HERE: Cell<Option<(Looped, Key)>> = const { Cell::new(None) };
}

unsafe extern "C" fn sets_again(left: *mut c_void) {
    let (looped, key) = HERE.get().unwrap();
    assert!(looped.me().is_some() && looped.get(key).is_null());
    looped.sleep(1).unwrap();
    DESTROYED.fetch_add(1, Ordering::Relaxed);
    if left as usize > 1 {
        looped.set(key, value(left as usize - 1)).unwrap();
    }
}

fn a_destructor_may_set_values_but_not_for_ever(looped: Looped) {
    let key = Key::create(Some(sets_again)).unwrap();
    HERE.set(Some((looped, key)));
    for (count, wanted) in [(3, 3), (10_000, 4096)] {
        DESTROYED.store(0, Ordering::Relaxed);
        in_fiber(looped, move || looped.set(key, value(count)).unwrap());
        assert_eq!(DESTROYED.load(Ordering::Relaxed), wanted);
    }
    key.delete().unwrap();
}

fn a_deleted_key_destroys_nothing(looped: Looped) {
    DESTROYED.store(0, Ordering::Relaxed);
    in_fiber(looped, move || {
        let key = Key::create(Some(adds_up)).unwrap();
        looped.set(key, value(1)).unwrap();
        key.delete().unwrap();
        assert!(looped.get(key).is_null());
        assert_eq!(looped.set(key, value(1)), Err(Errno(libc::EINVAL)));
        let next = Key::create(None).unwrap();
        assert!(looped.get(next).is_null());
        next.delete().unwrap();
    });
    assert_eq!(DESTROYED.load(Ordering::Relaxed), 0);
}

fn the_loop_has_values_of_its_own(looped: Looped) {
    let key = Key::create(Some(adds_up)).unwrap();
    DESTROYED.store(0, Ordering::Relaxed);
    looped.set(key, value(7)).unwrap();
    in_fiber(looped, move || {
        assert!(looped.get(key).is_null());
        looped.set(key, value(1)).unwrap();
    });
    assert_eq!((looped.get(key), DESTROYED.load(Ordering::Relaxed)), (value(7), 1));
    let config = nyario_core::driver::Config { backend: Some(looped.backend()), ..Default::default() };
    with_loop(&config, |other| {
        assert!(other.get(key).is_null());
        other.set(key, value(100)).unwrap();
    });
    assert_eq!(DESTROYED.load(Ordering::Relaxed), 101, "destroyed with its loop");
    looped.set(key, value(0)).unwrap();
    key.delete().unwrap();
}

fn warm_endings_take_no_memory(looped: Looped) {
    let key = Key::create(Some(adds_up)).unwrap();
    let allocations = in_fiber(looped, move || {
        let round = move || {
            let options = Options { name: "short of life", ..Options::default() };
            let fiber = looped.spawn(options, move || {
                looped.set(key, value(1)).unwrap();
                looped.push_cleanup(move || looped.set(key, value(2)).unwrap()).unwrap();
                0
            });
            looped.join(fiber.unwrap()).unwrap();
        };
        (0..100).for_each(|_| round());
        memory::count();
        (0..1000).for_each(|_| round());
        memory::stop_counting()
    });
    assert_eq!(allocations, Some(0));
    key.delete().unwrap();
}

fn scopes_nest_and_only_narrow(looped: Looped) {
    const HOUR: u64 = 3_600_000_000_000;
    in_fiber(looped, move || {
        let begin = looped.kernel().now();
        assert_eq!(looped.within(HOUR), Ok(0));
        let outer = looped.within(2 * HOUR).unwrap();
        assert!(outer >= begin + HOUR);
        assert_eq!(looped.deadline(outer), Ok(outer), "no wider than the one around it");
        assert_eq!(looped.within(0), Ok(outer));
        assert_eq!(looped.sleep(u64::MAX), Err(Errno(libc::ETIMEDOUT)));
        assert!(looped.deadline(outer).unwrap() < outer);
        assert_eq!(looped.sleep(1000), Ok(()));
        assert_eq!(looped.deadline(0), Ok(outer));
        assert_eq!(looped.within(u64::MAX), Ok(0));
        assert_eq!(looped.deadline(0), Ok(i64::MAX as u64), "what is told is a signed number");
    });
}

fn a_scope_that_is_over_restores(looped: Looped) {
    fn scope(looped: Looped, depth: u64) -> u64 {
        let outer = looped.within(depth * 1_000_000).unwrap();
        let inner = if depth > 1 { scope(looped, depth - 1) } else { 0 };
        let result = told(looped.sleep(u64::MAX).map(|()| 0));
        assert_eq!(result, failed(libc::ETIMEDOUT));
        looped.deadline(outer).unwrap();
        inner + 1
    }
    in_fiber(looped, move || {
        assert_eq!(scope(looped, 5), 5);
        assert_eq!(looped.deadline(0), Ok(0));
    });
}
