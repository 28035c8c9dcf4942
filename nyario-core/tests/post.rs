//! What other threads ask of a loop: to run code, to end, and to end gently.

mod common;

use common::*;
use nyario_core::conn::Kind;
use nyario_core::driver::Config;
use nyario_core::net;
use nyario_core::runtime::Start;
use nyario_core::sys::{Errno, Kernel};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

scenarios!(on_loop: what_is_posted_runs_in_order, posts_wake_a_sleeping_loop, posts_wait_for_the_run, posts_wait_for_room,
    a_post_may_wait_and_post, what_was_posted_before_the_end_runs, a_drain_lets_fibers_end, a_drain_has_an_end,
    a_drain_is_shortened, a_drain_ends_a_loop_that_sleeps, a_drain_before_the_run_counts, a_loop_runs_again_after_a_drain);
mod apart {
    use super::*;
    scenarios!(on_config: a_post_meets_no_loop);
}

const NEVER: u64 = 3_600_000_000_000;

fn count_one(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Keeps a loop alive until somebody stops it.
fn stay(looped: Looped) {
    go(looped, move || told(looped.sleep(NEVER).map(|()| 0)));
}

fn what_is_posted_runs_in_order(looped: Looped) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let here = thread::current().id();
    stay(looped);
    let (poster, order) = (looped.poster(), seen.clone());
    run_beside(looped, move || {
        thread::scope(|scope| {
            for thread in 0..4 {
                let (poster, order) = (poster.clone(), &order);
                scope.spawn(move || {
                    for number in 0..500 {
                        let order = order.clone();
                        let code = move || {
                            assert_eq!(thread::current().id(), here);
                            order.lock().unwrap().push((thread, number));
                        };
                        poster.post(code).unwrap();
                    }
                });
            }
        });
        while order.lock().unwrap().len() < 2000 {
            thread::yield_now();
        }
    });
    let seen = seen.lock().unwrap();
    for thread in 0..4 {
        let numbers: Vec<_> = seen.iter().filter(|(from, _)| *from == thread).map(|(_, number)| *number).collect();
        assert_eq!(numbers, (0..500).collect::<Vec<_>>());
    }
}

fn posts_wake_a_sleeping_loop(looped: Looped) {
    stay(looped);
    let count = Arc::new(AtomicUsize::new(0));
    let poster = looped.poster();
    run_beside(looped, move || {
        // So many that the turns which come by themselves would not do.
        for number in 1..=1000 {
            let counted = count.clone();
            poster.post(move || count_one(&counted)).unwrap();
            while count.load(Ordering::Relaxed) < number {
                thread::yield_now();
            }
        }
    });
}

fn posts_wait_for_the_run(looped: Looped) {
    let ran = Arc::new(AtomicUsize::new(0));
    for round in 1..=2 {
        let (poster, runs) = (looped.poster(), ran.clone());
        thread::spawn(move || poster.post(move || count_one(&runs)).unwrap()).join().unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), round - 1);
        looped.run().unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), round);
    }
}

fn posts_wait_for_room(looped: Looped) {
    looped.set_fiber_limit(2).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    for number in 0..50 {
        let order = order.clone();
        looped.poster().post(move || order.lock().unwrap().push(number)).unwrap();
    }
    looped.run().unwrap();
    assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
}

fn a_post_may_wait_and_post(looped: Looped) {
    let done = Arc::new(AtomicUsize::new(0));
    let (poster, end) = (looped.poster(), done.clone());
    // The address of a loop that outlives its run.
    let place = std::ptr::from_ref(looped) as usize;
    let code = move || {
        // SAFETY: it runs on that loop, on the loop's thread.
        let looped: Looped = unsafe { &*(place as *const _) };
        assert!(looped.in_fiber());
        looped.sleep(100_000).unwrap();
        poster.clone().post(move || count_one(&end)).unwrap();
    };
    looped.poster().post(code).unwrap();
    looped.run().unwrap();
    assert_eq!(done.load(Ordering::Relaxed), 1);
}

fn what_was_posted_before_the_end_runs(looped: Looped) {
    let ran = Arc::new(AtomicUsize::new(0));
    let (poster, runs) = (looped.poster(), ran.clone());
    go(looped, move || {
        let place = std::ptr::from_ref(looped) as usize;
        let code = move || {
            // SAFETY: it runs on that loop, on the loop's thread.
            let looped: Looped = unsafe { &*(place as *const _) };
            assert_eq!(looped.sleep(1), Err(Errno(libc::ECANCELED)));
            runs.fetch_add(1, Ordering::Relaxed);
        };
        poster.post(code).unwrap();
        looped.stop();
        0
    });
    looped.run().unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

fn a_post_meets_no_loop(config: &Config) {
    let owned = Arc::new(());
    let (poster, kept) = with_loop(config, |looped| {
        let kept = owned.clone();
        looped.poster().post(move || panic!("it never runs: {kept:?}")).unwrap();
        (looped.poster(), owned.clone())
    });
    assert_eq!(Arc::strong_count(&owned), 2, "what nobody ran is dropped with the loop");
    assert_eq!(poster.post(move || panic!("it never runs: {kept:?}")), Err(Errno(libc::ESRCH)));
    assert_eq!(Arc::strong_count(&owned), 1);
}

/// A server with a connection that has spoken and waits for more, one that has not, and how they end.
fn drained(looped: Looped, ask: impl FnOnce() + Send + 'static, farewell: bool) {
    let (server, address) = listen();
    looped.register(server, Start::Lazy, move |fd| echo(looped, fd)).unwrap();
    let ended = thread::spawn(move || {
        let (mut idle, mut busy) = (TcpStream::connect(&address).unwrap(), TcpStream::connect(&address).unwrap());
        busy.write_all(b"x").unwrap();
        busy.read_exact(&mut [0]).unwrap();
        ask();
        assert!(matches!(idle.read(&mut [0]), Ok(0)), "a connection without a fiber is closed");
        while TcpStream::connect(&address).is_ok() {
            thread::yield_now();
        }
        if farewell {
            busy.write_all(b"y").unwrap();
            let mut answer = [0];
            busy.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"y", "whoever has a fiber is served to the end");
        } else {
            assert!(matches!(busy.read(&mut [0]), Ok(0)), "the grace is over");
        }
    });
    looped.run().unwrap();
    assert_eq!(looped.fibers(), 0);
    assert_eq!([Kind::Server, Kind::Accepted].map(|kind| looped.connections(kind)), [0, 0]);
    ended.join().unwrap();
}

fn a_drain_lets_fibers_end(looped: Looped) {
    let stopper = looped.stopper();
    drained(looped, move || stopper.drain(NEVER), true);
}

fn a_drain_has_an_end(looped: Looped) {
    let stopper = looped.stopper();
    drained(looped, move || stopper.drain(20_000_000), false);
}

fn a_drain_is_shortened(looped: Looped) {
    let stopper = looped.stopper();
    let ask = move || {
        stopper.drain(NEVER);
        thread::sleep(std::time::Duration::from_millis(5));
        stopper.drain(1_000_000);
        // It takes the shorter one, whichever comes last.
        stopper.drain(NEVER);
    };
    drained(looped, ask, false);
}

fn a_drain_ends_a_loop_that_sleeps(looped: Looped) {
    // The grace is over when the loop hears of it, or soon after.
    for grace in [0, 20_000_000] {
        stay(looped);
        let stopper = looped.stopper();
        let asks = thread::spawn(move || {
            // Until the house is in order and nothing but the drain itself will wake the loop.
            thread::sleep(std::time::Duration::from_millis(500));
            stopper.drain(grace);
        });
        looped.run().unwrap();
        asks.join().unwrap();
    }
}

fn a_drain_before_the_run_counts(looped: Looped) {
    let (server, _) = listen();
    looped.register(server, Start::Lazy, |_| panic!("nobody comes")).unwrap();
    looped.drain(NEVER);
    let slept = Rc::new(Cell::new(false));
    let sleeps = slept.clone();
    go(looped, move || {
        looped.sleep(2_000_000).unwrap();
        sleeps.set(true);
        0
    });
    looped.run().unwrap();
    assert!(slept.get());
}

fn a_loop_runs_again_after_a_drain(looped: Looped) {
    let results = Rc::new(RefCell::new(Vec::new()));
    for round in 0..3 {
        let told = results.clone();
        go(looped, move || {
            // The one that is cancelled must not come to its end by itself.
            told.borrow_mut().push(looped.sleep(if round == 1 { NEVER } else { 1_000_000 }));
            0
        });
        if round == 1 {
            looped.drain(0);
        }
        looped.run().unwrap();
    }
    let cancelled = Err(Errno(libc::ECANCELED));
    assert_eq!(*results.borrow(), [Ok(()), cancelled, Ok(())]);
    assert!(net::listen(looped.kernel(), "127.0.0.1:0").map(|fd| looped.kernel().close(fd)) == Ok(0));
}
