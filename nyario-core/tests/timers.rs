//! Sleeping, and deadlines on everything that suspends.

mod common;

use common::*;
use nyario_core::driver::Op;
use nyario_core::net;
use nyario_core::sys::{Errno, Kernel, Linux};
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

scenarios!(on_loop: sleepers_wake_in_order, ten_thousand_sleepers_wake, nobody_wakes_early,
    a_deadline_ends_whatever_waits, a_deadline_is_not_met_early, a_passed_deadline_leaves_what_is_at_hand,
    a_deadline_loses_nothing, what_came_in_time_comes_before_the_deadline, deadlines_nest, no_deadline_is_none, a_deadline_ends_a_sleep,
    a_deadline_ends_a_join_and_not_the_fiber, a_deadline_outside_a_fiber_is_refused);

const MILLI: u64 = 1_000_000;

fn soon(looped: Looped) -> u64 {
    looped.kernel().now() + MILLI
}

fn sleepers_wake_in_order(looped: Looped) {
    let woken = Rc::new(RefCell::new(Vec::new()));
    let begin = Linux.now();
    for number in [3u64, 0, 4, 1, 2] {
        let woken = woken.clone();
        go(looped, move || {
            // Moments and not spans, so that it is no matter how long a spawn takes and who is held up on the way.
            looped.deadline(begin + 20 * MILLI + number * 1000).unwrap();
            assert_eq!(looped.sleep(u64::MAX), Err(Errno(libc::ETIMEDOUT)));
            woken.borrow_mut().push(number);
            0
        });
    }
    looped.run().unwrap();
    assert_eq!(*woken.borrow(), [0, 1, 2, 3, 4]);
}

fn ten_thousand_sleepers_wake(looped: Looped) {
    let woken = Rc::new(RefCell::new(0));
    for number in 0..10_000u64 {
        let woken = woken.clone();
        go(looped, move || {
            looped.sleep(number * 7919 % 10_000 * 1000).unwrap();
            *woken.borrow_mut() += 1;
            0
        });
    }
    looped.run().unwrap();
    assert_eq!(*woken.borrow(), 10_000);
}

fn nobody_wakes_early(looped: Looped) {
    in_fiber(looped, move || {
        for nanos in [0, 1, 999, 100_000, 1_234_567] {
            let begin = Linux.now();
            looped.sleep(nanos).unwrap();
            assert!(Linux.now() >= begin + nanos);
        }
    });
}

/// Each operation that can be made to wait, under a deadline.
fn a_deadline_ends_whatever_waits(looped: Looped) {
    let (fd, theirs) = pair();
    let (empty, full) = pipe();
    let (listener, address) = listen();
    in_fiber(looped, move || {
        let mut buf = [0u8; 8];
        let iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: 8 };
        let (buf, len) = (buf.as_mut_ptr(), 8);
        for op in [
            Op::Read { fd, buf, len },
            Op::Recv { fd, buf, len },
            Op::Readv { fd, iov: &iov, count: 1 },
            Op::Read { fd: empty, buf, len },
            Op::Readv { fd: empty, iov: &iov, count: 1 },
            Op::Poll { fd, events: libc::POLLIN as u32 },
            Op::Poll { fd: empty, events: libc::POLLIN as u32 },
            Op::Accept { fd: listener, multi: false },
        ] {
            let when = soon(looped);
            assert_eq!(looped.deadline(when), Ok(0));
            assert_eq!(perform(looped, op), -libc::ETIMEDOUT, "{op:?}");
            assert!(Linux.now() >= when, "{op:?} does not end early");
            looped.deadline(0).unwrap();
        }
        // A write waits only on what is full.
        looped.deadline(soon(looped) + 50 * MILLI).unwrap();
        let block = vec![0u8; 100_000];
        let iov = libc::iovec { iov_base: block.as_ptr().cast_mut().cast(), iov_len: block.len() };
        for fd in [fd, full] {
            while net::write(looped, fd, &block) == Ok(block.len()) {}
            for op in [
                Op::Write { fd, buf: block.as_ptr(), len: 8 },
                Op::Write { fd, buf: block.as_ptr(), len: block.len() },
                Op::Writev { fd, iov: &iov, count: 1 },
                Op::Poll { fd, events: libc::POLLOUT as u32 },
            ] {
                assert_eq!(perform(looped, op), -libc::ETIMEDOUT, "{op:?}");
            }
        }
        looped.deadline(0).unwrap();
        drop((theirs, address));
        close(looped, &[fd, empty, full, listener]);
    });
}

fn a_deadline_is_not_met_early(looped: Looped) {
    let (fd, theirs) = pair();
    looped.opened(fd, false).unwrap();
    in_fiber(looped, move || {
        for nanos in [1, 50_000, MILLI, 3 * MILLI] {
            let when = Linux.now() + nanos;
            looped.deadline(when).unwrap();
            assert_eq!(net::read(looped, fd, &mut [0; 8]), Err(Errno(libc::ETIMEDOUT)));
            assert!(Linux.now() >= when);
        }
        net::close(looped, fd).unwrap();
        drop(theirs);
    });
}

fn a_passed_deadline_leaves_what_is_at_hand(looped: Looped) {
    let (fd, mut theirs) = pair();
    in_fiber(looped, move || {
        theirs.write_all(b"at hand").unwrap();
        looped.deadline(1).unwrap();
        assert_eq!(net::read(looped, fd, &mut [0; 7]), Ok(7));
        assert_eq!(net::read(looped, fd, &mut [0; 7]), Err(Errno(libc::ETIMEDOUT)));
        net::close(looped, fd).unwrap();
    });
}

/// However the race between bytes and deadlines goes, each byte is read once.
fn a_deadline_loses_nothing(looped: Looped) {
    const BYTES: u64 = 2000;
    for owned in [false, true] {
        let (fd, mut theirs) = pair();
        if owned {
            looped.opened(fd, false).unwrap();
        }
        let read = in_fiber(looped, move || {
            let writer = std::thread::spawn(move || {
                for byte in 0..BYTES {
                    theirs.write_all(&byte.to_le_bytes()).unwrap();
                    std::thread::yield_now();
                }
                theirs
            });
            let (mut have, mut late) = (Vec::new(), 0);
            let mut buf = [0; 24];
            while have.len() < BYTES as usize * 8 {
                looped.deadline(Linux.now() + late % 7 * 3000 + 1).unwrap();
                match net::read(looped, fd, &mut buf) {
                    Ok(count) => have.extend_from_slice(&buf[..count]),
                    Err(error) => assert_eq!(error, Errno(libc::ETIMEDOUT)),
                }
                late += 1;
            }
            net::close(looped, fd).unwrap();
            drop(writer.join().unwrap());
            have
        });
        let numbers: Vec<u64> = read.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
        assert!(numbers == (0..BYTES).collect::<Vec<u64>>());
    }
}

fn what_came_in_time_comes_before_the_deadline(looped: Looped) {
    let (fd, mut peer) = pair();
    let reader = go(looped, move || {
        looped.deadline(soon(looped)).unwrap();
        let mut buf = [0; 8];
        told(net::read(looped, fd, &mut buf))
    });
    // It runs in the same round, after the reader, so the loop sees the bytes and the deadline in the same turn.
    go(looped, move || {
        peer.write_all(b"in time").unwrap();
        let until = soon(looped) + MILLI;
        while looped.kernel().now() < until {}
        assert_eq!(looped.join(reader), Ok(7));
        close(looped, &[fd]);
        0
    });
    looped.run().unwrap();
}

fn deadlines_nest(looped: Looped) {
    let (fd, mut theirs) = pair();
    in_fiber(looped, move || {
        let outer = Linux.now() + 20 * MILLI;
        assert_eq!(looped.deadline(outer), Ok(0));
        let inner = soon(looped);
        assert_eq!(looped.deadline(inner), Ok(outer));
        assert_eq!(net::read(looped, fd, &mut [0; 8]), Err(Errno(libc::ETIMEDOUT)));
        assert_eq!(looped.deadline(outer), Ok(inner));
        theirs.write_all(b"x").unwrap();
        assert_eq!(net::read(looped, fd, &mut [0; 8]), Ok(1), "the outer one has not passed");
        assert_eq!(net::read(looped, fd, &mut [0; 8]), Err(Errno(libc::ETIMEDOUT)));
        assert!(Linux.now() >= outer);
        assert_eq!(looped.deadline(0), Ok(outer));
        net::close(looped, fd).unwrap();
    });
}

fn no_deadline_is_none(looped: Looped) {
    let (fd, mut theirs) = pair();
    let reader = go(looped, move || {
        looped.deadline(soon(looped)).unwrap();
        looped.deadline(0).unwrap();
        told(net::read(looped, fd, &mut [0; 8]))
    });
    in_fiber(looped, move || {
        looped.sleep(3 * MILLI).unwrap();
        theirs.write_all(b"at last").unwrap();
        assert_eq!(looped.join(reader), Ok(7));
        net::close(looped, fd).unwrap();
    });
}

fn a_deadline_ends_a_sleep(looped: Looped) {
    in_fiber(looped, move || {
        let when = soon(looped);
        looped.deadline(when).unwrap();
        assert_eq!(looped.sleep(3600 * 1000 * MILLI), Err(Errno(libc::ETIMEDOUT)));
        assert!(Linux.now() >= when);
        looped.deadline(Linux.now() + 3600 * 1000 * MILLI).unwrap();
        assert_eq!(looped.sleep(1000), Ok(()), "a shorter sleep than the deadline is a sleep");
        looped.deadline(1).unwrap();
        assert_eq!(looped.sleep(1000), Err(Errno(libc::ETIMEDOUT)));
    });
}

fn a_deadline_ends_a_join_and_not_the_fiber(looped: Looped) {
    let (fd, mut theirs) = pair();
    let reader = go(looped, move || told(net::read(looped, fd, &mut [0; 8])));
    in_fiber(looped, move || {
        looped.deadline(soon(looped)).unwrap();
        assert_eq!(looped.join(reader), Err(Errno(libc::ETIMEDOUT)));
        looped.deadline(0).unwrap();
        settle(looped);
        theirs.write_all(b"abc").unwrap();
        assert_eq!(looped.join(reader), Ok(3));
        net::close(looped, fd).unwrap();
    });
}

fn a_deadline_outside_a_fiber_is_refused(looped: Looped) {
    assert_eq!(looped.deadline(1), Err(Errno(libc::EINVAL)));
}
