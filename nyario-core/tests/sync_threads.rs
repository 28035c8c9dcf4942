//! What fibers synchronise with across threads: several loops, and threads that run none.

mod common;

use common::*;
use nyario_core::driver::Config;
use nyario_core::fiber::Loop;
use nyario_core::sync::{Case, Channel, Semaphore, choose};
use nyario_core::sys::{Errno, Kernel};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

scenarios!(on_config: permits_pass_between_threads, a_cancel_on_one_thread_races_with_a_post_on_another,
    a_loop_that_is_gone_is_not_woken, elements_pass_between_threads, a_cancel_on_one_thread_races_with_a_send_on_another,
    choices_meet_across_threads, who_receives_may_free_the_channel, a_close_ends_every_thread);

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

type Pipe = Channel<Masked>;

fn send(here: Option<&Loop<Masked>>, channel: &Pipe, value: u64) -> Result<(), Errno> {
    // SAFETY: the element is a local of eight bytes.
    unsafe { channel.send(here, (&raw const value).cast()) }
}

fn receive(here: Option<&Loop<Masked>>, channel: &Pipe) -> Result<u64, Errno> {
    let mut value = 0u64;
    // SAFETY: as above.
    unsafe { channel.receive(here, (&raw mut value).cast()) }.map(|()| value)
}

/// What a sender sends tells who it is and how much it has sent.
const SENDER: u64 = 1 << 32;

/// Everything arrives once, and what one sender sends to one receiver in order.
fn elements_pass_between_threads(config: &Config) {
    const SENDERS: u64 = 6;
    const EACH: u64 = 600;
    for capacity in [0, 1, 50, Pipe::UNBOUNDED] {
        let channel = Arc::new(Pipe::new(8, capacity));
        let sums = Arc::new(AtomicU64::new(0));
        thread::scope(|scope| {
            let work = |here: Option<&Loop<Masked>>, channel: &Pipe, me: u64| {
                (0..EACH).for_each(|number| send(here, channel, me * SENDER + number).unwrap());
            };
            let drain = |here: Option<&Loop<Masked>>, channel: &Pipe, sums: &AtomicU64| {
                let mut last = [None; SENDERS as usize];
                while let Ok(value) = receive(here, channel) {
                    let (sender, number) = ((value / SENDER) as usize, value % SENDER);
                    assert!(last[sender] < Some(number), "{number} of {sender} comes after {:?}", last[sender]);
                    last[sender] = Some(number);
                    sums.fetch_add(number + 1, Ordering::Relaxed);
                }
            };
            let (receivers, sends) = ((channel.clone(), sums.clone()), channel.clone());
            scope.spawn(move || {
                with_loop(config, |looped| {
                    for _ in 0..3 {
                        let (channel, sums) = receivers.clone();
                        go(looped, move || {
                            drain(Some(looped), &channel, &sums);
                            0
                        });
                    }
                    looped.run().unwrap();
                })
            });
            let receivers = (channel.clone(), sums.clone());
            scope.spawn(move || drain(None, &receivers.0, &receivers.1));
            let fibers = scope.spawn(move || {
                with_loop(config, |looped| {
                    for me in 0..SENDERS - 1 {
                        let channel = sends.clone();
                        go(looped, move || {
                            work(Some(looped), &channel, me);
                            0
                        });
                    }
                    looped.run().unwrap();
                })
            });
            work(None, &channel, SENDERS - 1);
            fibers.join().unwrap();
            channel.close(None).unwrap();
        });
        assert_eq!(sums.load(Ordering::Relaxed), SENDERS * (EACH * (EACH + 1) / 2), "capacity {capacity}");
    }
}

/// Whatever comes first, no element is lost and none comes twice.
fn a_cancel_on_one_thread_races_with_a_send_on_another(config: &Config) {
    const ROUNDS: u64 = 2000;
    let (channel, go_on) = (Arc::new(Pipe::new(8, 0)), Arc::new(Semaphore::<Masked>::new(0)));
    let (sends, waits_to) = (channel.clone(), go_on.clone());
    let sender = thread::spawn(move || {
        for number in 0..ROUNDS {
            waits_to.wait(None).unwrap();
            send(None, &sends, number).unwrap();
        }
    });
    with_loop(config, |looped| {
        in_fiber(looped, move || {
            for round in 0..ROUNDS {
                let other = channel.clone();
                let receiver = go(looped, move || told(receive(Some(looped), &other).map(|number| number as usize)));
                looped.yield_now().unwrap();
                go_on.post(Some(looped)).unwrap();
                let until = looped.kernel().now() + round % 50 * 400;
                while looped.kernel().now() < until {
                    std::hint::spin_loop();
                }
                looped.cancel(receiver).unwrap();
                let mut number = looped.join(receiver).unwrap();
                if number == failed(libc::ECANCELED) {
                    number = receive(Some(looped), &channel).unwrap();
                }
                assert_eq!(number, round);
            }
        });
    });
    sender.join().unwrap();
}

/// Each side offers and asks at the same time; what one has done the other has.
fn choices_meet_across_threads(config: &Config) {
    const EACH: u64 = 2000;
    let shared = Arc::new(([Pipe::new(8, 0), Pipe::new(8, 0)], AtomicU64::new(0), AtomicU64::new(0)));
    let exchange = |here: Option<&Loop<Masked>>, shared: &([Pipe; 2], AtomicU64, AtomicU64), side: usize| {
        let (channels, sent, received) = shared;
        for number in 1..=EACH {
            let (mut mine, mut theirs) = (number, 0u64);
            let mut cases = [
                Case::new(&channels[side], Case::<Masked>::SEND, (&raw mut mine).cast()),
                Case::new(&channels[1 - side], Case::<Masked>::RECEIVE, (&raw mut theirs).cast()),
            ];
            // SAFETY: the elements are locals of eight bytes.
            let done = unsafe { choose(here, &mut cases, true) };
            if done.is_ok_and(|number| cases[number].result == -libc::EPIPE) {
                return;
            }
            match done.unwrap() {
                0 => sent.fetch_add(mine, Ordering::Relaxed),
                _ => received.fetch_add(theirs, Ordering::Relaxed),
            };
        }
        // The other side may be waiting for more.
        for channel in channels {
            let _ = channel.close(here);
        }
    };
    thread::scope(|scope| {
        let other = shared.clone();
        scope.spawn(move || {
            with_loop(config, |looped| {
                in_fiber(looped, move || exchange(Some(looped), &other, 0));
            })
        });
        let other = shared.clone();
        scope.spawn(move || exchange(None, &other, 1));
    });
    let (_, sent, received) = &*shared;
    assert_eq!(sent.load(Ordering::Relaxed), received.load(Ordering::Relaxed));
    assert!(sent.load(Ordering::Relaxed) > 0);
}

/// Once an exchange is done, neither side touches the channel: whoever had the last word may overwrite it.
fn who_receives_may_free_the_channel(config: &Config) {
    const ROUNDS: usize = 1000;
    struct Place(*mut Pipe);
    // SAFETY: what it points to is shared as a channel is, until the receiver takes it apart.
    unsafe impl Send for Place {}
    let (places, inbox) = std::sync::mpsc::channel::<Place>();
    let receiver = thread::spawn(move || {
        for (round, Place(channel)) in inbox.into_iter().enumerate() {
            // SAFETY: it is a box, and nobody uses it after the one exchange.
            unsafe {
                assert_eq!(receive(None, &*channel), Ok(round as u64));
                assert_eq!((*channel).destroy(), Ok(()));
                channel.cast::<u8>().write_bytes(0xff, size_of::<Pipe>());
                drop(Box::from_raw(channel.cast::<std::mem::MaybeUninit<Pipe>>()));
            }
        }
    });
    with_loop(config, |looped| {
        in_fiber(looped, move || {
            for round in 0..ROUNDS {
                let channel = Box::into_raw(Box::new(Pipe::new(8, 0)));
                places.send(Place(channel)).unwrap();
                // SAFETY: it is there until this is received.
                send(Some(looped), unsafe { &*channel }, round as u64).unwrap();
            }
        });
    });
    receiver.join().unwrap();
}

fn a_close_ends_every_thread(config: &Config) {
    let channel = Arc::new(Pipe::new(8, 0));
    thread::scope(|scope| {
        for _ in 0..3 {
            let receives = channel.clone();
            scope.spawn(move || assert_eq!(receive(None, &receives), Err(Errno(libc::EPIPE))));
        }
        with_loop(config, |looped| {
            let (receives, closes) = (channel.clone(), channel.clone());
            let receiver = go(looped, move || told(receive(Some(looped), &receives).map(|_| 0)));
            go(looped, move || {
                settle(looped);
                closes.close(Some(looped)).unwrap();
                0
            });
            looped.run().unwrap();
            assert_eq!(looped.join(receiver), Ok(failed(libc::EPIPE)));
        });
    });
    assert_eq!(channel.destroy(), Ok(()));
}
