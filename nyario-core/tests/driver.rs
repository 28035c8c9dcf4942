//! The driver by itself: what a host of its own builds on.

mod common;

use common::*;
use nyario_core::driver::{BackendKind, Carries, Config, Driver, Op, OpId, Submitted};
use nyario_core::sys::{Fd, Kernel, Linux};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;

scenarios!(on_config: a_read_waits_for_bytes, bytes_at_hand, what_is_at_hand_can_be_looked_at, nothing_is_used_up_twice,
    what_is_left_behind_is_seen_in_the_kernel, several_strings_go_at_once, a_file_is_told_from_the_rest,
    accepting_goes_on, a_close_gives_buffers_back, a_crowd_comes_in_portions, a_cancelled_accept_loses_none,
    a_second_accept_takes_over, a_park_ends_as_it_is_told, a_park_ends_at_its_deadline, a_stale_name_meets_nothing,
    a_completion_passes_deadlines_by, other_threads_end_parks, a_note_comes_before_its_bell, a_waker_outlives_its_loop,
    a_wake_ends_the_wait, a_turn_waits_no_longer_than_it_is_told, a_driver_goes_with_operations_in_flight,
    a_driver_goes_with_a_connection_that_came_early, a_driver_goes_with_results_that_nobody_took, a_driver_goes_with_connections_that_nobody_took,
    a_number_begins_anew_with_operations_in_flight,
    nothing_is_lost_while_a_number_begins_anew,
    results_at_hand_do_not_keep_the_kernels_back, who_vouched_for_a_number_is_told_that_it_is_another, a_number_that_is_vouched_for_is_waited_for_as_it_is,
    reads_that_are_vouched_for_are_served_in_turn,
    an_event_of_an_older_life_is_not_told, a_poll_that_the_kernel_refuses_tells_why_it_was_ended,
    a_foreign_loop_sees_when_a_turn_is_due, a_crowd_of_operations);

fn driver(config: &Config) -> Driver<Masked> {
    Driver::new(Masked, config).unwrap()
}

fn pending(submitted: Submitted) -> OpId {
    match submitted {
        Submitted::Pending(id) => id,
        Submitted::Done(result) => panic!("done at once, with {result}"),
    }
}

fn read(fd: Fd, buf: &mut [u8]) -> Op {
    Op::Read { fd, buf: buf.as_mut_ptr(), len: buf.len() }
}

fn a_read_waits_for_bytes(config: &Config) {
    let mut driver = driver(config);
    let (fd, mut theirs) = pair();
    let mut buf = [0; 8];
    let id = pending(submit(&mut driver, read(fd, &mut buf), 40, 0));
    assert_ne!(id, OpId::NONE);
    driver.turn(Some(0));
    assert_eq!(driver.next(), None);
    assert_eq!(driver.pending(), 1);
    theirs.write_all(b"bytes").unwrap();
    let completion = completion(&mut driver);
    assert_eq!((completion.waiter, completion.result, completion.more), (40, 5, false));
    assert_eq!(&buf[..5], b"bytes");
    assert_eq!(driver.pending(), 0);
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

/// Two that begin anew as soon as they are told leave room for what the kernel has.
fn results_at_hand_do_not_keep_the_kernels_back(config: &Config) {
    let mut driver = driver(config);
    let (fd, mut theirs) = pair();
    let mut buf = [0; 8];
    pending(submit(&mut driver, read(fd, &mut buf), 4, 0));
    driver.turn(Some(0));
    theirs.write_all(b"bytes").unwrap();
    let again = |driver: &mut Driver<Masked>| {
        let park = pending(submit(driver, Op::Park, 8, 0));
        driver.complete(park, 0);
    };
    again(&mut driver);
    again(&mut driver);
    for told in 0.. {
        assert!(told < 1000, "the read is never told");
        match driver.next() {
            Some(completion) if completion.waiter == 4 => {
                assert_eq!(completion.result, 5);
                break;
            }
            Some(_) => again(&mut driver),
            None => panic!("two have been completed"),
        }
        if told % 100 == 0 {
            driver.turn(Some(0));
        }
    }
    while driver.next().is_some() {}
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

fn submit_vouched(driver: &mut Driver<Masked>, op: Op, waiter: u64) -> Submitted {
    // SAFETY: the buffers outlive their operations, which each test sees to the end of.
    unsafe { driver.submit_vouched(op, waiter, 0) }
}

/// Of two that wait on a number that has come to another file, the one that vouched for it is to look again.
fn who_vouched_for_a_number_is_told_that_it_is_another(config: &Config) {
    let mut driver = driver(config);
    let (fd, theirs) = pair();
    let (mut first, mut second) = ([0; 8], [0; 8]);
    pending(submit(&mut driver, read(fd, &mut first), 4, 0));
    pending(submit_vouched(&mut driver, read(fd, &mut second), 8));
    driver.turn(Some(0));
    let mut new = pair_at(fd);
    driver.sweep(1000);
    let told: HashSet<_> = [(); 2].map(|()| completion(&mut driver)).iter().map(|c| (c.waiter, c.result)).collect();
    assert_eq!(told, HashSet::from([(4, -libc::EBADF), (8, -libc::ESTALE)]));
    let id = submit(&mut driver, read(fd, &mut second), 12, 0);
    pending(id);
    new.write_all(b"new").unwrap();
    assert_eq!(completion(&mut driver).result, 3);
    assert_eq!(&second[..3], b"new");
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
    drop(theirs);
}

/// Who vouches waits in line like everybody.
fn reads_that_are_vouched_for_are_served_in_turn(config: &Config) {
    let mut driver = driver(config);
    let (fd, mut theirs) = pair();
    let mut bufs = [[0; 3]; 3];
    theirs.write_all(b"0").unwrap();
    // It finds that nothing follows.
    assert_eq!(finish(&mut driver, read(fd, &mut [0; 8])), 1);
    for (at, buf) in bufs.iter_mut().enumerate() {
        pending(submit_vouched(&mut driver, read(fd, buf), 4 * at as u64));
    }
    for (at, word) in [b"one", b"two", b"six"].into_iter().enumerate() {
        driver.turn(Some(0));
        theirs.write_all(word).unwrap();
        let told = completion(&mut driver);
        assert_eq!((told.waiter, told.result), (4 * at as u64, 3));
    }
    assert_eq!(bufs, [*b"one", *b"two", *b"six"]);
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

/// Whoever vouches wrongly loses nothing: what was begun on the new file yields its bytes, or is to be begun again.
fn a_number_that_is_vouched_for_is_waited_for_as_it_is(config: &Config) {
    let mut driver = driver(config);
    let (fd, mut theirs) = pair();
    let mut buf = [0; 8];
    pending(submit(&mut driver, read(fd, &mut buf), 4, 0));
    theirs.write_all(b"old").unwrap();
    assert_eq!(completion(&mut driver).result, 3);
    let mut new = pair_at(fd);
    pending(submit_vouched(&mut driver, read(fd, &mut buf), 8));
    driver.turn(Some(0));
    driver.sweep(1000);
    let told = completion(&mut driver);
    assert_eq!((told.waiter, told.result), (8, -libc::ESTALE));
    new.write_all(b"new").unwrap();
    let result = match submit(&mut driver, read(fd, &mut buf), 12, 0) {
        Submitted::Done(result) => result,
        Submitted::Pending(_) => completion(&mut driver).result,
    };
    assert_eq!((result, &buf[..3]), (3, &b"new"[..]));
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

/// Told that something is at hand, a host takes it; told that nothing is, it asks to be told.
fn bytes_at_hand(config: &Config) {
    for owned in [false, true] {
        let mut driver = driver(config);
        let (fd, mut theirs) = pair();
        if owned {
            driver.own(fd, false, Carries::Bytes).unwrap();
        }
        let mut have = Vec::new();
        let writer = std::thread::spawn(move || {
            for chunk in pattern(20_000).chunks(77) {
                theirs.write_all(chunk).unwrap();
            }
            theirs
        });
        let mut buf = [0; 100];
        while have.len() < 20_000 {
            match driver.try_read(fd, &mut buf) {
                again if again == -libc::EAGAIN => assert!(finish(&mut driver, Op::AtHand { fd }) > 0),
                count => have.extend_from_slice(&buf[..usize::try_from(count).unwrap()]),
            }
        }
        assert!(have == pattern(20_000));
        assert_eq!(driver.try_read(fd, &mut buf), -libc::EAGAIN);
        drop(writer.join().unwrap());
        while finish(&mut driver, Op::AtHand { fd }) > 0 && driver.try_read(fd, &mut buf) == -libc::EAGAIN {}
        assert_eq!(driver.try_read(fd, &mut buf), 0, "the end is at hand");
        assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
    }
}

fn what_is_at_hand_can_be_looked_at(config: &Config) {
    let mut driver = driver(config);
    let (fd, mut theirs) = pair();
    driver.own(fd, false, Carries::Bytes).unwrap();
    assert_eq!(driver.peek(fd), b"");
    pending(submit(&mut driver, Op::AtHand { fd }, 4, 0));
    driver.turn(Some(0));
    theirs.write_all(b"look").unwrap();
    assert!(completion(&mut driver).result > 0);
    let mut have = driver.peek(fd).to_vec();
    if !have.is_empty() {
        assert_eq!(driver.peek(fd), have, "looking uses nothing up");
        driver.consume(fd, 1);
        assert_eq!(driver.peek(fd), &have[1..]);
        have.truncate(1);
    }
    let mut buf = [0; 8];
    let count = driver.try_read(fd, &mut buf);
    have.extend_from_slice(&buf[..usize::try_from(count).unwrap()]);
    assert_eq!(have, b"look");
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
    assert_eq!(driver.peek(fd), b"");
    assert_eq!(driver.peek(-1), b"");
    assert!(!driver.owns(fd) && !driver.owns(-1) && !driver.owns(i32::MAX));
}

/// What was received ahead stays to be read; what comes later, whoever reads the socket itself sees.
fn what_is_left_behind_is_seen_in_the_kernel(config: &Config) {
    let mut driver = driver(config);
    let (fd, mut theirs) = listening_pair(&mut driver);
    let ahead = driver.peek(fd).to_vec();
    driver.stay_behind(fd);
    driver.consume(fd, ahead.len());
    let mut buf = [0; 16];
    let mut own = |expected: &[u8]| {
        // SAFETY: the buffer outlives the call.
        let count = unsafe { Masked.recv(fd, buf.as_mut_ptr(), buf.len(), libc::MSG_DONTWAIT) };
        assert_eq!(&buf[..usize::try_from(count).unwrap()], expected);
    };
    if ahead.is_empty() {
        own(b"more");
    }
    // A read that waits does not make it receive ahead anew.
    assert_eq!(driver.try_read(fd, &mut [0; 4]), -libc::EAGAIN);
    pending(submit(&mut driver, Op::AtHand { fd }, 9, 0));
    driver.turn(Some(0));
    theirs.write_all(b"later").unwrap();
    assert!(completion(&mut driver).result > 0);
    assert_eq!(driver.peek(fd), b"");
    own(b"later");
    driver.stay_behind(-1);
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

fn several_strings_go_at_once(config: &Config) {
    let mut driver = driver(config);
    let (fd, mut theirs) = pair();
    driver.own(fd, false, Carries::Bytes).unwrap();
    let parts = [&b"one "[..], b"", b"two"];
    let iov = parts.map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
    // SAFETY: the parts outlive the call.
    assert_eq!(unsafe { driver.try_writev(fd, &iov) }, 7);
    let mut buf = [0; 16];
    assert_eq!((theirs.read(&mut buf).unwrap(), &buf[..7]), (7, &b"one two"[..]));
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

fn a_file_is_told_from_the_rest(config: &Config) {
    let mut driver = driver(config);
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let (fd, _theirs) = pair();
    assert!(driver.is_file(file.as_raw_fd()));
    assert!(!driver.is_file(fd) && !driver.is_file(-1) && !driver.is_file(i32::MAX));
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

fn nothing_is_used_up_twice(config: &Config) {
    let mut driver = driver(config);
    let (fd, _theirs) = pair();
    driver.own(fd, false, Carries::Bytes).unwrap();
    expect_panics(1);
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| driver.consume(fd, 1)));
    assert!(refused.is_err());
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

/// What has been received ahead of its reader, shortly after it was sent.
fn received_ahead(driver: &mut Driver<Masked>) -> Vec<u8> {
    let (fd, theirs) = listening_pair(driver);
    let ahead = driver.peek(fd).to_vec();
    close_under_way(driver, fd);
    drop(theirs);
    ahead
}

/// A connection that was read once, and for which more has come than was asked for: what the kernel has made of that is
/// yet to be worked off.
fn untold_pair(driver: &mut Driver<Masked>) -> (Fd, UnixStream) {
    let (fd, mut theirs) = pair();
    driver.own(fd, false, Carries::Bytes).unwrap();
    let mut byte = [0];
    pending(submit(driver, read(fd, &mut byte), 5, 0));
    driver.turn(Some(0));
    theirs.write_all(b"1").unwrap();
    assert_eq!(completion(driver).result, 1);
    theirs.write_all(b"more").unwrap();
    driver.turn(Some(0));
    (fd, theirs)
}

/// Like [`untold_pair`], worked off.
fn listening_pair(driver: &mut Driver<Masked>) -> (Fd, UnixStream) {
    let pair = untold_pair(driver);
    assert_eq!(driver.next(), None);
    pair
}

/// Connections that are closed with unread bytes take no provided buffer with them, neither for what they held nor for
/// what came at the last moment.
fn a_close_gives_buffers_back(config: &Config) {
    let mut driver = driver(config);
    let before = received_ahead(&mut driver);
    for _ in 0..=config.buffers {
        for connect in [untold_pair, listening_pair] {
            let (fd, theirs) = connect(&mut driver);
            close_under_way(&mut driver, fd);
            drop(theirs);
        }
    }
    assert_eq!(received_ahead(&mut driver), before);
}

fn accepting_goes_on(config: &Config) {
    let mut driver = driver(config);
    let (fd, address) = listen();
    let id = pending(submit(&mut driver, Op::Accept { fd, multi: true }, 8, 0));
    for _ in 0..3 {
        let clients: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(&address).unwrap()).collect();
        for _ in &clients {
            let connection = completion(&mut driver);
            assert!(connection.result >= 0 && connection.more && connection.waiter == 8);
            close_behind(connection.result);
        }
    }
    driver.cancel(id);
    let end = completion(&mut driver);
    assert_eq!((end.result, end.more), (-libc::ECANCELED, false));
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

/// Two accept at one listener. When the first ends with connections left, the second gets those.
fn a_second_accept_takes_over(config: &Config) {
    let mut driver = driver(config);
    let (fd, address) = listen();
    let first = pending(submit(&mut driver, Op::Accept { fd, multi: true }, 4, 0));
    let second = pending(submit(&mut driver, Op::Accept { fd, multi: true }, 8, 0));
    driver.turn(Some(0));
    while driver.next().is_some() {}
    let clients: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let connection = completion(&mut driver);
    assert!(connection.result >= 0 && connection.more);
    close_behind(connection.result);
    driver.cancel(first);
    let (mut taken, mut ended) = (1, false);
    while taken < clients.len() || !ended {
        let completion = completion(&mut driver);
        if completion.more {
            close_behind(completion.result);
            taken += 1;
        } else {
            assert_eq!((completion.waiter, completion.result), (4, -libc::ECANCELED));
            ended = true;
        }
    }
    driver.cancel(second);
    let end = completion(&mut driver);
    assert_eq!((end.waiter, end.result, end.more), (8, -libc::ECANCELED, false));
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

/// A listener with a long queue leaves the loop time for those who are here already. The ring has its own bound: what
/// finds room in its queue.
fn a_crowd_comes_in_portions(config: &Config) {
    const CROWD: usize = 300;
    const PORTION: usize = 64;
    let mut driver = driver(config);
    let (fd, address) = listen();
    let clients: Vec<TcpStream> = (0..CROWD).map(|_| TcpStream::connect(&address).unwrap()).collect();
    pending(submit(&mut driver, Op::Accept { fd, multi: true }, 8, 0));
    let mut taken = 0;
    while taken < CROWD {
        driver.turn(None);
        let mut portion = 0;
        while let Some(connection) = driver.next() {
            assert!(connection.result >= 0 && connection.more);
            close_behind(connection.result);
            portion += 1;
        }
        assert!(portion <= PORTION || driver.backend() == BackendKind::Uring, "{portion} connections in one turn");
        taken += portion;
    }
    drop(clients);
    close_under_way(&mut driver, fd);
}

/// Connections that come while an accept is being cancelled are handed out before its end, or left to the next.
fn a_cancelled_accept_loses_none(config: &Config) {
    let mut driver = driver(config);
    let (fd, address) = listen();
    for _ in 0..30 {
        let id = pending(submit(&mut driver, Op::Accept { fd, multi: true }, 8, 0));
        driver.turn(Some(0));
        let clients: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(&address).unwrap()).collect();
        driver.cancel(id);
        let mut taken = 0;
        loop {
            let completion = completion(&mut driver);
            if !completion.more {
                assert_eq!(completion.result, -libc::ECANCELED);
                break;
            }
            close_behind(completion.result);
            taken += 1;
        }
        for _ in taken..clients.len() {
            close_behind(finish(&mut driver, Op::Accept { fd, multi: false }));
        }
        for mut client in clients {
            assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "each was accepted");
        }
    }
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

fn a_park_ends_as_it_is_told(config: &Config) {
    let mut driver = driver(config);
    let parks = [4, 8, 12].map(|waiter| pending(submit(&mut driver, Op::Park, waiter, 0)));
    driver.complete(parks[2], 33);
    driver.cancel(parks[0]);
    driver.complete(parks[0], 11);
    driver.complete(parks[1], 22);
    driver.complete(parks[1], 44);
    let ends = [(); 3].map(|()| driver.next().map(|end| (end.waiter, end.result)));
    assert_eq!(ends, [Some((12, 33)), Some((4, -libc::ECANCELED)), Some((8, 22))], "each once, in order");
    assert_eq!(driver.next(), None);
}

fn a_park_ends_at_its_deadline(config: &Config) {
    let mut driver = driver(config);
    let begin = Linux.now();
    for (waiter, nanos) in [(4, 3_000_000), (8, 1_000_000), (12, 2_000_000), (16, 0)] {
        pending(submit(&mut driver, Op::Park, waiter, begin + nanos));
    }
    pending(submit(&mut driver, Op::Park, 20, 0));
    let ends = [(); 4].map(|()| completion(&mut driver).waiter);
    assert_eq!(ends, [16, 8, 12, 4]);
    assert!(Linux.now() >= begin + 3_000_000);
    assert_eq!(driver.pending(), 1, "without a deadline there is none");
}

fn a_stale_name_meets_nothing(config: &Config) {
    let mut driver = driver(config);
    let old = pending(submit(&mut driver, Op::Park, 4, 0));
    driver.complete(old, 1);
    assert_eq!(driver.next().unwrap().result, 1);
    let new = pending(submit(&mut driver, Op::Park, 8, 0));
    driver.cancel(old);
    driver.complete(old, 2);
    driver.cancel(OpId::NONE);
    assert_eq!(driver.next(), None);
    driver.complete(new, 3);
    assert_eq!(driver.next().unwrap().result, 3);
    // What is no park is not completed by word.
    let (fd, theirs) = pair();
    let mut buf = [0; 8];
    let reading = pending(submit(&mut driver, read(fd, &mut buf), 4, 0));
    driver.complete(reading, 5);
    assert_eq!(driver.next(), None);
    drop(theirs);
    assert_eq!(completion(&mut driver).result, 0);
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

/// An operation that is over by the time its deadline passes has its own result.
fn a_completion_passes_deadlines_by(config: &Config) {
    let mut driver = driver(config);
    let (fd, mut theirs) = pair();
    let mut buf = [0; 8];
    let when = loop {
        let when = Linux.now() + 50_000_000;
        pending(submit(&mut driver, read(fd, &mut buf), 4, when));
        driver.turn(Some(0));
        theirs.write_all(b"in time").unwrap();
        driver.turn(Some(0));
        let result = completion(&mut driver).result;
        if result == 7 {
            break when;
        }
        // Held up past the deadline; the bytes are still there.
        assert!(result == -libc::ETIMEDOUT && Linux.now() >= when, "{result}");
        assert_eq!(finish(&mut driver, read(fd, &mut buf)), 7);
    };
    while Linux.now() <= when {
        driver.turn(Some(10_000_000));
        assert_eq!((driver.next(), driver.pending()), (None, 0));
    }
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

fn other_threads_end_parks(config: &Config) {
    const THREADS: u64 = 4;
    const EACH: u64 = 2000;
    let mut driver = driver(config);
    let parks: Vec<OpId> =
        (0..THREADS * EACH).map(|number| pending(submit(&mut driver, Op::Park, number * 4, 0))).collect();
    let waker = driver.waker();
    let mut seen = HashSet::new();
    std::thread::scope(|scope| {
        for (thread, parks) in parks.chunks(EACH as usize).enumerate() {
            let waker = waker.clone();
            scope.spawn(move || {
                for (place, &park) in parks.iter().enumerate() {
                    waker.complete(park, thread as i32);
                    if place % 64 == 0 {
                        std::thread::sleep(std::time::Duration::from_micros(50));
                    }
                }
            });
        }
        for _ in 0..THREADS * EACH {
            let end = completion(&mut driver);
            assert!(seen.insert(end.waiter), "each ends once");
            assert_eq!(end.result as u64, end.waiter / 4 / EACH);
        }
    });
    assert_eq!((driver.next(), driver.pending()), (None, 0));
}

/// Where two threads share one processor, a thread that rings is often put aside for the one that it wakes: whatever it
/// has to say has to be there by then.
fn a_note_comes_before_its_bell(config: &Config) {
    const ROUNDS: usize = 5000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stay_on_this_processor();
            let mut driver = driver(config);
            let waker = driver.waker();
            let (ask, asked) = std::sync::mpsc::channel();
            let other = std::thread::spawn(move || asked.into_iter().for_each(|park| waker.complete(park, 7)));
            for _ in 0..ROUNDS {
                ask.send(pending(submit(&mut driver, Op::Park, 8, 0))).unwrap();
                assert_eq!(completion(&mut driver).result, 7);
            }
            drop(ask);
            other.join().unwrap();
        });
    });
}

/// Keeps the thread, and those that it starts, on one processor.
fn stay_on_this_processor() {
    // SAFETY: zeroes are an empty set, which outlives the calls.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu() as usize, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &set), 0);
    }
}

fn a_waker_outlives_its_loop(config: &Config) {
    let mut driver = driver(config);
    let waker = driver.waker();
    let park = pending(submit(&mut driver, Op::Park, 4, 0));
    driver.turn(Some(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..1000 {
                waker.wake_always();
                waker.complete(park, 1);
            }
        });
        drop(driver);
    });
    waker.wake();
}

fn a_wake_ends_the_wait(config: &Config) {
    let mut driver = driver(config);
    for round in 0..300 {
        let waker = driver.waker();
        let thread = std::thread::spawn(move || if round % 2 == 0 { waker.wake() } else { waker.wake_always() });
        // Without the wake-up this would never return.
        driver.turn(None);
        thread.join().unwrap();
        driver.turn(Some(0));
        driver.turn(Some(0));
    }
}

fn a_turn_waits_no_longer_than_it_is_told(config: &Config) {
    let mut driver = driver(config);
    for nanos in [0, 1, 1_000_000] {
        driver.turn(Some(nanos));
        assert_eq!(driver.next(), None);
    }
    // Waiting for ever ends here only because a result is at hand.
    let park = pending(submit(&mut driver, Op::Park, 4, 0));
    driver.complete(park, 1);
    driver.turn(None);
    assert_eq!(driver.next().unwrap().result, 1);
}

/// Every kind of operation is under way when the driver goes, its buffers with it.
fn a_driver_goes_with_operations_in_flight(config: &Config) {
    let mut driver = driver(config);
    let (socket, _theirs) = pair();
    let (owned, mut theirs) = pair();
    driver.own(owned, false, Carries::Bytes).unwrap();
    let (from, to) = pipe();
    let (listener, _) = listen();
    let mut buf = vec![0; 100];
    for fd in [socket, owned, from, socket, owned] {
        pending(submit(&mut driver, read(fd, &mut buf), 4, Linux.now() + 1));
    }
    pending(submit(&mut driver, Op::Poll { fd: from, events: 1 }, 4, 0));
    pending(submit(&mut driver, Op::Poll { fd: owned, events: 1 }, 4, 0));
    pending(submit(&mut driver, Op::Accept { fd: listener, multi: true }, 4, 0));
    pending(submit(&mut driver, Op::Accept { fd: listener, multi: false }, 4, 0));
    pending(submit(&mut driver, Op::Park, 4, 0));
    driver.turn(Some(0));
    theirs.write_all(&[1; 300]).unwrap();
    submit(&mut driver, Op::Close { fd: socket }, 4, 0);
    drop(driver);
    // Nobody writes to it any more.
    let before = buf.clone();
    theirs.write_all(&[2; 300]).unwrap();
    assert_eq!(buf, before);
    [owned, from, to, listener].into_iter().for_each(close_behind);
}

/// What comes while the thread waits for something else, is kept for later; and there may be no later.
fn a_driver_goes_with_a_connection_that_came_early(config: &Config) {
    let mut driver = driver(config);
    let (fd, address) = listen();
    pending(submit(&mut driver, Op::Accept { fd, multi: false }, 4, 0));
    driver.turn(Some(0));
    let client = TcpStream::connect(&address).unwrap();
    let (ours, mut theirs) = pair();
    driver.own(ours, false, Carries::Bytes).unwrap();
    let writer = std::thread::spawn(move || {
        // Time for the connection to be seen first; without it the test shows less, and passes.
        std::thread::sleep(std::time::Duration::from_millis(20));
        theirs.write_all(b"x").unwrap();
        theirs
    });
    let mut buf = [0; 8];
    // SAFETY: the buffer outlives the call.
    assert_eq!(unsafe { driver.perform(read(ours, &mut buf)) }, Some(1));
    assert_eq!(driver.pending(), 1);
    drop(driver);
    drop((client, writer.join().unwrap()));
    [fd, ours].into_iter().for_each(close_behind);
}

/// A result that nobody took is a count of bytes, not a connection to be closed.
fn a_driver_goes_with_results_that_nobody_took(config: &Config) {
    let mut driver = driver(config);
    let (from, to) = pipe();
    let (socket, mut theirs) = pair();
    driver.own(socket, false, Carries::Bytes).unwrap();
    let mut bufs = [[0; 4096]; 2];
    // As many bytes as make the counts the numbers of descriptors that are ours.
    let counts = [from, to].map(|fd| vec![1; fd as usize]);
    pending(submit(&mut driver, read(from, &mut bufs[0]), 4, 0));
    pending(submit(&mut driver, read(socket, &mut bufs[1]), 4, 0));
    driver.turn(Some(0));
    // SAFETY: the bytes are lent for the call.
    unsafe {
        let iov = libc::iovec { iov_base: counts[0].as_ptr().cast_mut().cast(), iov_len: counts[0].len() };
        assert_eq!(Linux.writev(to, &iov, 1, 0), counts[0].len() as isize);
    }
    theirs.write_all(&counts[1]).unwrap();
    submit(&mut driver, Op::Write { fd: socket, buf: counts[1].as_ptr(), len: counts[1].len() }, 4, 0);
    drop(driver);
    [from, to, socket].into_iter().for_each(close_behind);
}

fn a_driver_goes_with_connections_that_nobody_took(config: &Config) {
    for multi in [false, true] {
        for settled in [false, true] {
            let mut driver = driver(config);
            let (fd, address) = listen();
            pending(submit(&mut driver, Op::Accept { fd, multi }, 4, 0));
            driver.turn(Some(0));
            let clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(&address).unwrap()).collect();
            if settled {
                driver.turn(Some(0));
            }
            drop(driver);
            close_behind(fd);
            for mut client in clients {
                // Closed, or reset with the listener: in any case it does not stay.
                assert!(!matches!(client.read(&mut [0; 8]), Ok(1..)));
            }
        }
    }
}

/// A number that was closed behind our back, with operations in flight, begins a new life.
fn a_number_begins_anew_with_operations_in_flight(config: &Config) {
    let mut driver = driver(config);
    let mut buf = [0; 8];
    let (fd, mut old) = pair();
    for round in 0..10u8 {
        driver.own(fd, false, Carries::Bytes).unwrap();
        pending(submit(&mut driver, read(fd, &mut buf), 4, 0));
        driver.turn(Some(0));
        if round % 2 == 0 {
            // Received for a reader that never comes for it.
            old.write_all(&[99; 40]).unwrap();
        }
        let mut theirs = pair_at(fd);
        driver.own(fd, false, Carries::Bytes).unwrap();
        let told = completion(&mut driver);
        assert!(told.result == -libc::EBADF || (told.result == 8 && buf == [99; 8]), "{told:?}");
        theirs.write_all(&[round]).unwrap();
        assert_eq!(finish(&mut driver, read(fd, &mut buf)), 1);
        assert_eq!(buf[0], round);
        old = theirs;
    }
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

/// What comes while an older life of a number is being ended is handed out all the same.
fn nothing_is_lost_while_a_number_begins_anew(config: &Config) {
    let mut driver = driver(config);
    let (fd, _old) = pair();
    let (other, mut theirs) = pair();
    let (listener, address) = listen();
    let mut bufs = [[0; 8]; 2];
    driver.own(fd, false, Carries::Bytes).unwrap();
    driver.own(other, false, Carries::Bytes).unwrap();
    pending(submit(&mut driver, read(fd, &mut bufs[0]), 4, 0));
    pending(submit(&mut driver, read(other, &mut bufs[1]), 8, 0));
    pending(submit(&mut driver, Op::Accept { fd: listener, multi: true }, 12, 0));
    driver.turn(Some(0));
    while driver.next().is_some() {}
    theirs.write_all(b"bytes").unwrap();
    let clients = [(); 3].map(|()| TcpStream::connect(&address).unwrap());
    let _new = pair_at(fd);
    driver.own(fd, false, Carries::Bytes).unwrap();
    let mut ends = [(); 5].map(|()| completion(&mut driver));
    ends.sort_by_key(|end| end.waiter);
    assert_eq!(ends.map(|end| end.waiter), [4, 8, 12, 12, 12]);
    assert_eq!([ends[0].result, ends[1].result], [-libc::EBADF, 5]);
    ends[2..].iter().for_each(|connection| close_behind(connection.result));
    drop(clients);
    for fd in [fd, other, listener] {
        close_under_way(&mut driver, fd);
    }
}

/// Closes what something may still wait on.
fn close_under_way(driver: &mut Driver<Masked>, fd: Fd) {
    if let Submitted::Pending(_) = submit(driver, Op::Close { fd }, 100, 0) {
        while completion(driver).waiter != 100 {}
    }
}

/// What the kernel had to say of a number's older life is not told to those who wait on the new one.
fn an_event_of_an_older_life_is_not_told(config: &Config) {
    let mut driver = driver(config);
    let (other, mut their_other) = pair();
    let (fd, mut theirs) = pair();
    let mut bufs = [[0; 8]; 2];
    pending(submit(&mut driver, read(other, &mut bufs[0]), 4, 0));
    pending(submit(&mut driver, read(fd, &mut bufs[1]), 8, 0));
    driver.turn(Some(0));
    assert_eq!(driver.next(), None);
    their_other.write_all(b"first").unwrap();
    theirs.write_all(b"second").unwrap();
    driver.turn(Some(0));
    assert_eq!(driver.next().map(|end| (end.waiter, end.result)), Some((4, 5)));
    let closed = submit(&mut driver, Op::Close { fd }, 12, 0);
    let mut ends = vec![completion(&mut driver)];
    if closed != Submitted::Done(0) {
        ends.push(completion(&mut driver));
    }
    assert!(ends.iter().any(|end| end.waiter == 8 && [-libc::EBADF, 6].contains(&end.result)), "{ends:?}");
    let _theirs = pair_at(fd);
    let poll = pending(submit(&mut driver, Op::Poll { fd, events: libc::POLLIN as u32 }, 16, 0));
    driver.turn(Some(1_000_000));
    assert_eq!(driver.next(), None);
    driver.cancel(poll);
    assert_eq!(completion(&mut driver).result, -libc::ECANCELED);
    for fd in [fd, other] {
        assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
    }
}

/// A regular file has no events. The ring says so when it is asked, and by then somebody may have ended the poll.
fn a_poll_that_the_kernel_refuses_tells_why_it_was_ended(config: &Config) {
    let mut driver = driver(config);
    let file = std::fs::File::open("/proc/self/exe").unwrap().into_raw_fd();
    let never = Op::Poll { fd: file, events: libc::POLLPRI as u32 };
    let cancelled = pending(submit(&mut driver, never, 4, 0));
    driver.cancel(cancelled);
    assert_eq!(completion(&mut driver).result, -libc::ECANCELED);
    pending(submit(&mut driver, never, 4, 0));
    let closed = submit(&mut driver, Op::Close { fd: file }, 8, 0);
    let mut ends = vec![completion(&mut driver)];
    if closed != Submitted::Done(0) {
        ends.push(completion(&mut driver));
    }
    assert!(ends.iter().any(|end| (end.waiter, end.result) == (4, -libc::EBADF)), "{ends:?}");
}

fn a_foreign_loop_sees_when_a_turn_is_due(config: &Config) {
    let mut driver = driver(config);
    let due = |driver: &mut Driver<Masked>| {
        let mut fds = [libc::pollfd { fd: driver.descriptor().unwrap(), events: libc::POLLIN, revents: 0 }];
        Linux.poll(&mut fds, Some(50_000_000)) == 1
    };
    let (fd, mut theirs) = pair();
    let mut buf = [0; 8];
    pending(submit(&mut driver, read(fd, &mut buf), 4, 0));
    driver.turn(Some(0));
    assert!(driver.next().is_none() && !driver.has_news());
    theirs.write_all(b"x").unwrap();
    assert!(due(&mut driver));
    driver.turn(Some(0));
    assert!(driver.has_news());
    assert_eq!(driver.next().unwrap().result, 1);
    let waker = driver.waker();
    std::thread::spawn(move || waker.wake_always()).join().unwrap();
    assert!(due(&mut driver), "a wake-up makes one due");
    driver.turn(Some(0));
    while driver.next().is_some() {}
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

/// More operations than any queue holds, begun and ended without a turn between.
fn a_crowd_of_operations(config: &Config) {
    let mut driver = driver(config);
    let mut pairs: Vec<(Fd, UnixStream)> = (0..300).map(|_| pair()).collect();
    let mut bufs = vec![[0u8; 4]; pairs.len()];
    for round in 0..3 {
        let ids: Vec<OpId> = pairs
            .iter()
            .zip(&mut bufs)
            .enumerate()
            .map(|(number, (&(fd, _), buf))| pending(submit(&mut driver, read(fd, buf), number as u64 * 4, 0)))
            .collect();
        if round == 1 {
            ids.iter().for_each(|&id| driver.cancel(id));
        }
        for (_, theirs) in &mut pairs {
            theirs.write_all(&[round; 4]).unwrap();
        }
        let mut ended = HashSet::new();
        let mut left = Vec::new();
        for _ in &pairs {
            let end = completion(&mut driver);
            assert!(ended.insert(end.waiter));
            match end.result {
                4 => assert_eq!(bufs[end.waiter as usize / 4], [round; 4]),
                result => {
                    assert_eq!((result, round), (-libc::ECANCELED, 1));
                    left.push(pairs[end.waiter as usize / 4].0);
                }
            }
        }
        for fd in left {
            assert_eq!(finish(&mut driver, read(fd, &mut bufs[0])), 4);
        }
    }
    for (fd, _) in pairs {
        assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
    }
}
