//! What fibers synchronise with across threads: several loops, and threads that run none.

mod common;

use common::*;
use nyario_core::driver::Config;
use nyario_core::sync::Semaphore;
use nyario_core::sys::{Errno, Kernel};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

scenarios!(on_config: permits_pass_between_threads, a_cancel_on_one_thread_races_with_a_post_on_another,
    a_loop_that_is_gone_is_not_woken);

/// Each permit is taken once, whoever waits and whoever posts.
fn permits_pass_between_threads(config: &Config) {
    const PERMITS: u64 = 4000;
    let shared = Arc::new((Semaphore::<Masked>::new(0), AtomicU64::new(0)));
    let (semaphore, taken) = &*shared;
    thread::scope(|scope| {
        for _ in 0..2 {
            let shared = shared.clone();
            scope.spawn(move || {
                with_loop(config, |looped| {
                    for _ in 0..10 {
                        let shared = shared.clone();
                        go(looped, move || {
                            let (semaphore, taken) = &*shared;
                            for _ in 0..PERMITS / 40 {
                                semaphore.wait(Some(looped)).unwrap();
                                taken.fetch_add(1, Ordering::Relaxed);
                            }
                            0
                        });
                    }
                    looped.run().unwrap();
                });
            });
            scope.spawn(move || {
                for _ in 0..PERMITS / 4 {
                    semaphore.wait(None).unwrap();
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            });
            scope.spawn(move || (0..PERMITS / 2).for_each(|_| semaphore.post(None).unwrap()));
        }
    });
    assert_eq!((taken.load(Ordering::Relaxed), semaphore.permits()), (PERMITS, 0));
}

/// Whatever comes first, no permit is lost and none is taken twice.
fn a_cancel_on_one_thread_races_with_a_post_on_another(config: &Config) {
    const ROUNDS: u64 = 2000;
    let (semaphore, go_on) = (Arc::new(Semaphore::<Masked>::new(0)), Arc::new(Semaphore::<Masked>::new(0)));
    let (posts, waits_to) = (semaphore.clone(), go_on.clone());
    let poster = thread::spawn(move || {
        for _ in 0..ROUNDS {
            waits_to.wait(None).unwrap();
            posts.post(None).unwrap();
        }
    });
    let (waits, tells) = (semaphore.clone(), go_on.clone());
    with_loop(config, |looped| {
        in_fiber(looped, move || {
            for round in 0..ROUNDS {
                let (waits, again) = (waits.clone(), waits.clone());
                let waiter = go(looped, move || told(waits.wait(Some(looped)).map(|()| 1)));
                looped.yield_now().unwrap();
                tells.post(Some(looped)).unwrap();
                let until = looped.kernel().now() + round % 50 * 400;
                while looped.kernel().now() < until {
                    std::hint::spin_loop();
                }
                looped.cancel(waiter).unwrap();
                match looped.join(waiter).unwrap() {
                    1 => {}
                    error => {
                        assert_eq!(error, failed(libc::ECANCELED));
                        again.wait(Some(looped)).unwrap();
                    }
                }
            }
        });
    });
    poster.join().unwrap();
    assert_eq!(semaphore.permits(), 0);
}

/// The waker outlives its loop, and a fiber that is gone is in no queue.
fn a_loop_that_is_gone_is_not_woken(config: &Config) {
    let semaphore = Arc::new(Semaphore::<Masked>::new(0));
    with_loop(config, |looped| {
        let waits = semaphore.clone();
        let waiter = go(looped, move || told(waits.wait(Some(looped)).map(|()| 0)));
        go(looped, move || {
            looped.stop();
            0
        });
        looped.run().unwrap();
        assert_eq!(looped.join(waiter), Ok(failed(libc::ECANCELED)));
    });
    semaphore.post(None).unwrap();
    assert_eq!(semaphore.try_wait(), Ok(()));
    assert_eq!(semaphore.try_wait(), Err(Errno(libc::EAGAIN)));
}
