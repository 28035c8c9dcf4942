//! Waiting for several descriptors at once: the answers are the kernel's own, and nothing stays behind.

mod common;

use common::*;
use nyario_core::driver::Op;
use nyario_core::net;
use nyario_core::sys::{Errno, Fd, Kernel, Linux};
use std::cell::Cell;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::rc::Rc;

scenarios!(on_loop: answers_what_the_kernel_answers, selects_what_the_kernel_selects, the_first_one_wakes,
    many_of_them, one_of_them_twice, two_fibers_and_one_descriptor, what_was_received_ahead_counts,
    bytes_that_come_to_one_that_receives_ahead, not_waiting_needs_no_turn, the_time_is_up,
    the_deadline_comes_first, cancelled_at_rest, a_cancel_that_comes_too_late_is_kept, closed_meanwhile,
    closed_on_its_way_out, somebody_else_was_quicker, nothing_to_wait_for, a_hang_up_is_nothing_exceptional, off_a_fiber,
    off_a_fiber_and_received_ahead, the_loop_ends);

fn entry(fd: Fd, events: i16) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0x55 }
}

fn told_of(fds: &[libc::pollfd]) -> Vec<i16> {
    fds.iter().map(|entry| entry.revents).collect()
}

const IN: i16 = libc::POLLIN;
const OUT: i16 = libc::POLLOUT;
const ALL: i16 = IN | OUT | libc::POLLPRI | libc::POLLRDNORM | libc::POLLWRNORM | libc::POLLRDHUP;

/// Descriptors of every kind in every state, and what is to be closed in the end.
fn zoo() -> Vec<Fd> {
    let (empty, writer) = pipe();
    let (readable, fed) = pipe();
    let (hung_up, left) = pipe();
    let (orphan, broken) = pipe();
    close_behind(left);
    close_behind(orphan);
    let (stream, mut peer) = pair();
    let (deserted, gone) = pair();
    let (connection, mut client) = tcp_pair();
    let (quiet, other) = tcp_pair();
    drop(gone);
    peer.write_all(b"x").unwrap();
    client.write_all(b"x").unwrap();
    // SAFETY: one byte outlives the calls.
    unsafe {
        assert_eq!(libc::write(fed, b"x".as_ptr().cast(), 1), 1);
        assert_eq!(libc::send(client.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB), 1);
    }
    let (listener, address) = listen();
    let waiting = TcpStream::connect(address).unwrap().into_raw_fd();
    let file = std::fs::File::open("/proc/self/exe").unwrap().into_raw_fd();
    let unconnected = Linux.socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
    let mut all = vec![empty, writer, readable, fed, hung_up, broken, stream, deserted, connection, quiet];
    all.extend([listener, waiting, file, unconnected, peer.into_raw_fd(), other.into_raw_fd(), client.into_raw_fd()]);
    all
}

fn answers_what_the_kernel_answers(looped: Looped) {
    in_fiber(looped, move || {
        let zoo = zoo();
        settle(looped);
        for events in [IN, OUT, ALL, IN | OUT, libc::POLLPRI, libc::POLLRDHUP, 0] {
            let mut ours: Vec<_> = zoo.iter().map(|&fd| entry(fd, events)).collect();
            ours.extend([entry(-1, ALL), entry(9999, ALL)]);
            let mut theirs = ours.clone();
            let expected = Linux.poll(&mut theirs, Some(0)) as usize;
            for timeout in [Some(0), Some(1_000_000_000), None] {
                assert_eq!(net::poll(looped, &mut ours, timeout), Ok(expected));
                assert_eq!(told_of(&ours), told_of(&theirs), "{events:#x}");
            }
            // One by one, so that each has to be waited for if it has nothing to tell.
            for (one, other) in ours.iter().zip(&theirs) {
                let mut alone = [entry(one.fd, events)];
                let found = net::poll(looped, &mut alone, Some(300_000));
                assert_eq!((found, alone[0].revents), (Ok(usize::from(other.revents != 0)), other.revents));
            }
        }
        close(looped, &zoo);
    });
}

type Bits = [u64; 16];

fn bits(fds: &[Fd]) -> Bits {
    let mut bits = [0; 16];
    fds.iter().for_each(|&fd| bits[fd as usize / 64] |= 1 << (fd % 64));
    bits
}

fn select(looped: Looped, count: Fd, sets: &mut [Bits; 3], timeout: Option<u64>) -> Result<usize, Errno> {
    // SAFETY: the sets are as large as an fd_set and outlive the call.
    let sets = sets.each_mut().map(|set| unsafe { net::Set::new(set.as_mut_ptr().cast()) });
    net::select(looped, count, sets, timeout)
}

fn kernels_select(count: Fd, sets: &mut [Bits; 3]) -> i32 {
    let [read, write, except] = sets.each_mut().map(|set| set.as_mut_ptr().cast());
    let mut now = libc::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the sets are as large as an fd_set and outlive the call.
    unsafe { libc::select(count, read, write, except, &mut now) }
}

fn selects_what_the_kernel_selects(looped: Looped) {
    in_fiber(looped, move || {
        let zoo = zoo();
        settle(looped);
        let count = zoo.iter().max().unwrap() + 1;
        let all = bits(&zoo);
        let some = bits(&zoo.iter().copied().step_by(3).collect::<Vec<_>>());
        let none = [0; 16];
        for asked in [[all, none, none], [none, all, none], [none, none, all], [all, all, all], [some, all, some]] {
            let (mut ours, mut theirs) = (asked, asked);
            let expected = kernels_select(count, &mut theirs);
            assert_eq!(select(looped, count, &mut ours, Some(0)), Ok(expected as usize));
            assert_eq!(ours, theirs);
        }
        for fd in 0..count {
            for side in 0..3 {
                let mut ours = [none; 3];
                if zoo.contains(&fd) {
                    ours[side] = bits(&[fd]);
                }
                let mut theirs = ours;
                let expected = kernels_select(count, &mut theirs);
                assert_eq!(select(looped, count, &mut ours, Some(300_000)), Ok(expected as usize));
                assert_eq!(ours, theirs);
            }
        }
        let mut unknown = [bits(&[zoo[0], 700]), none, none];
        let before = unknown;
        assert_eq!(select(looped, 701, &mut unknown, None), Err(Errno(libc::EBADF)));
        assert_eq!(unknown, before);
        assert_eq!(select(looped, 700, &mut unknown, Some(0)), Ok(0), "places from the count on are not looked at");
        assert_eq!(select(looped, -1, &mut unknown, None), Err(Errno(libc::EINVAL)));
        close(looped, &zoo);
    });
}

/// Writes a byte past the loop.
fn feed(fd: Fd) {
    // SAFETY: one byte outlives the call.
    assert_eq!(unsafe { libc::write(fd, b"x".as_ptr().cast(), 1) }, 1);
}

fn the_first_one_wakes(looped: Looped) {
    in_fiber(looped, move || {
        let pipes = [pipe(), pipe(), pipe()];
        for round in 0..3 {
            let fiber = go(looped, move || {
                let mut fds = pipes.map(|(read, _)| entry(read, IN));
                assert_eq!(net::poll(looped, &mut fds, None), Ok(1));
                fds.iter().position(|entry| entry.revents == IN).unwrap() as u64
            });
            settle(looped);
            feed(pipes[round].1);
            assert_eq!(looped.join(fiber), Ok(round as u64));
            // Whoever waits for one of them next is not in the way of what is over.
            for (read, write) in pipes {
                if read != pipes[round].0 {
                    feed(write);
                }
                assert_eq!(read_exactly(looped, read, 1), b"x");
            }
        }
        pipes.iter().for_each(|&(read, write)| close(looped, &[read, write]));
    });
}

fn many_of_them(looped: Looped) {
    const MANY: usize = 300;
    in_fiber(looped, move || {
        let pipes: Vec<_> = (0..MANY).map(|_| pipe()).collect();
        for turn in [0, 7, MANY - 1] {
            let (read, write) = pipes[turn];
            let mut fds: Vec<_> = pipes.iter().map(|&(read, _)| entry(read, IN)).collect();
            let fiber = go(looped, move || {
                let found = net::poll(looped, &mut fds, None);
                assert_eq!(fds[turn].revents, IN);
                told(found)
            });
            settle(looped);
            feed(write);
            assert_eq!(looped.join(fiber), Ok(1));
            assert_eq!(read_exactly(looped, read, 1), b"x");
        }
        pipes.iter().for_each(|&(read, write)| close(looped, &[read, write]));
    });
}

fn one_of_them_twice(looped: Looped) {
    in_fiber(looped, move || {
        let (fd, mut theirs) = pair();
        fill(looped, fd);
        let fiber = go(looped, move || {
            let mut fds = [entry(fd, IN), entry(fd, OUT), entry(-7, IN), entry(fd, IN | libc::POLLRDNORM)];
            assert_eq!(net::poll(looped, &mut fds, None), Ok(2));
            assert_eq!(told_of(&fds), [IN, 0, 0, IN | libc::POLLRDNORM]);
            0
        });
        settle(looped);
        theirs.write_all(b"x").unwrap();
        assert_eq!(looped.join(fiber), Ok(0));
        close(looped, &[fd]);
    });
}

fn fill(looped: Looped, fd: Fd) {
    while net::send(looped, fd, &[0; 4096], libc::MSG_DONTWAIT) != Err(Errno(libc::EAGAIN)) {}
}

fn two_fibers_and_one_descriptor(looped: Looped) {
    in_fiber(looped, move || {
        let (read, write) = pipe();
        let fibers: Vec<_> = (0..2).map(|_| go(looped, move || told(one(looped, read, None)))).collect();
        settle(looped);
        feed(write);
        all_told(looped, fibers, 1);
        close(looped, &[read, write]);
    });
}

/// Polls one descriptor for something to read.
fn one(looped: Looped, fd: Fd, timeout: Option<u64>) -> Result<usize, Errno> {
    net::poll(looped, &mut [entry(fd, IN)], timeout)
}

/// A connection of our own that already receives ahead, where the backend does.
fn received_ahead(looped: Looped) -> (Fd, TcpStream) {
    let (fd, mut theirs) = tcp_pair();
    looped.opened(fd, false).unwrap();
    let reading = go(looped, move || told(net::read(looped, fd, &mut [0; 1])));
    settle(looped);
    theirs.write_all(b"x").unwrap();
    assert_eq!(looped.join(reading), Ok(1));
    (fd, theirs)
}

fn what_was_received_ahead_counts(looped: Looped) {
    in_fiber(looped, move || {
        let (fd, mut theirs) = received_ahead(looped);
        theirs.write_all(b"more").unwrap();
        for timeout in [None, Some(0), Some(1_000_000)] {
            assert_eq!(one(looped, fd, timeout), Ok(1));
            assert_eq!(select(looped, fd + 1, &mut [bits(&[fd]), [0; 16], [0; 16]], timeout), Ok(1));
        }
        assert_eq!(read_exactly(looped, fd, 4), b"more");
        assert_eq!(one(looped, fd, Some(0)), Ok(0));
        drop(theirs);
        assert_eq!(net::poll(looped, &mut [entry(fd, libc::POLLRDHUP)], None), Ok(1));
        let mut entry = [entry(fd, ALL)];
        assert_eq!(net::poll(looped, &mut entry, Some(0)), Ok(1));
        assert_eq!(entry[0].revents, IN | OUT | libc::POLLRDNORM | libc::POLLWRNORM | libc::POLLRDHUP);
        close(looped, &[fd]);
    });
}

fn bytes_that_come_to_one_that_receives_ahead(looped: Looped) {
    in_fiber(looped, move || {
        let (fd, mut theirs) = received_ahead(looped);
        for round in 0..3 {
            let fiber = go(looped, move || told(one(looped, fd, None)));
            settle(looped);
            theirs.write_all(&[round]).unwrap();
            assert_eq!(looped.join(fiber), Ok(1));
            assert_eq!(read_exactly(looped, fd, 1), [round]);
            // The next read waits for its bytes as ever, and may receive ahead again.
            let reading = go(looped, move || told(net::read(looped, fd, &mut [0; 8])));
            settle(looped);
            theirs.write_all(b"ab").unwrap();
            assert_eq!(looped.join(reading), Ok(2));
        }
        close(looped, &[fd]);
    });
}

fn not_waiting_needs_no_turn(looped: Looped) {
    in_fiber(looped, move || {
        let (fd, mut theirs) = received_ahead(looped);
        assert_eq!(one(looped, fd, Some(0)), Ok(0));
        theirs.write_all(b"x").unwrap();
        while one(looped, fd, Some(0)) == Ok(0) {}
        assert_eq!(read_exactly(looped, fd, 1), b"x");
        close(looped, &[fd]);
    });
}

fn the_time_is_up(looped: Looped) {
    in_fiber(looped, move || {
        let (read, write) = pipe();
        let before = looped.kernel().now();
        assert_eq!(one(looped, read, Some(2_000_000)), Ok(0));
        assert_eq!(select(looped, read + 1, &mut [bits(&[read]), [0; 16], [0; 16]], Some(2_000_000)), Ok(0));
        assert!(looped.kernel().now() - before >= 4_000_000);
        feed(write);
        assert_eq!(one(looped, read, Some(2_000_000)), Ok(1));
        close(looped, &[read, write]);
    });
}

fn the_deadline_comes_first(looped: Looped) {
    in_fiber(looped, move || {
        let (read, write) = pipe();
        looped.deadline(looped.kernel().now() + 2_000_000).unwrap();
        for timeout in [None, Some(1_000_000_000_000)] {
            assert_eq!(one(looped, read, timeout), Err(Errno(libc::ETIMEDOUT)));
            assert_eq!(net::poll(looped, &mut [], timeout), Err(Errno(libc::ETIMEDOUT)));
        }
        feed(write);
        assert_eq!(one(looped, read, None), Ok(1), "what need not suspend has no deadline");
        looped.deadline(looped.kernel().now() + 1_000_000_000_000).unwrap();
        assert_eq!(net::poll(looped, &mut [], Some(1_000_000)), Ok(0));
        close(looped, &[read, write]);
    });
}

fn cancelled_at_rest(looped: Looped) {
    in_fiber(looped, move || {
        let (read, write) = pipe();
        let fiber = go(looped, move || {
            let told = told(one(looped, read, None));
            looped.yield_now().expect("the cancel was told once");
            told
        });
        settle(looped);
        looped.cancel(fiber).unwrap();
        assert_eq!(looped.join(fiber), Ok(failed(libc::ECANCELED)));
        let early = go(looped, move || told(one(looped, read, None)));
        looped.cancel(early).unwrap();
        assert_eq!(looped.join(early), Ok(failed(libc::ECANCELED)));
        close(looped, &[read, write]);
    });
}

fn a_cancel_that_comes_too_late_is_kept(looped: Looped) {
    in_fiber(looped, move || {
        let (fd, peer) = pair();
        let (other, quiet) = pipe();
        let fiber = go(looped, move || {
            let found = net::poll(looped, &mut [entry(fd, IN), entry(other, IN)], None);
            assert_eq!(looped.yield_now(), Err(Errno(libc::ECANCELED)), "it is for the next suspension");
            told(found)
        });
        settle(looped);
        // The close of a descriptor ends a poll at once, so that the cancel comes behind it on every backend.
        close(looped, &[fd]);
        looped.cancel(fiber).unwrap();
        assert_eq!(looped.join(fiber), Ok(failed(libc::EBADF)));
        close(looped, &[other, quiet]);
        drop(peer);
    });
}

fn closed_meanwhile(looped: Looped) {
    in_fiber(looped, move || {
        for owned in [false, true] {
            let (fd, theirs) = if owned { received_ahead(looped) } else { tcp_pair() };
            let (other, quiet) = pipe();
            let polling = go(looped, move || told(net::poll(looped, &mut [entry(other, IN), entry(fd, IN)], None)));
            let mut sets = [bits(&[fd, other]), [0; 16], [0; 16]];
            let selecting = go(looped, move || told(select(looped, 1024, &mut sets, None)));
            settle(looped);
            close(looped, &[fd]);
            all_told(looped, [polling, selecting], failed(libc::EBADF));
            close(looped, &[other, quiet]);
            drop(theirs);
        }
    });
}

/// Whoever is woken by the same event may be first, and close the descriptor, whose number the next file gets. Backends wake
/// them in their own order, so one that closes it waits before the one that is looked at, and one behind.
fn closed_on_its_way_out(looped: Looped) {
    in_fiber(looped, move || {
        let (fd, mut theirs) = pair();
        let closed = Rc::new(Cell::new(false));
        let closing = || {
            let closed = closed.clone();
            go(looped, move || {
                assert_eq!(perform(looped, Op::Poll { fd, events: IN as u32 }), IN.into());
                if closed.replace(true) {
                    return 0;
                }
                close(looped, &[fd]);
                pair_at(fd).into_raw_fd() as u64
            })
        };
        let before = closing();
        settle(looped);
        let waiting = go(looped, move || told(one(looped, fd, None)));
        settle(looped);
        let behind = closing();
        settle(looped);
        theirs.write_all(b"x").unwrap();
        let other: u64 = [before, behind].map(|fiber| looped.join(fiber).unwrap()).iter().sum();
        settle(looped);
        looped.cancel(waiting).ok();
        assert_eq!(looped.join(waiting), Ok(failed(libc::EBADF)));
        close(looped, &[fd, other as Fd]);
    });
}

/// A wake-up whose cause is gone by the time it is looked at is none.
fn somebody_else_was_quicker(looped: Looped) {
    in_fiber(looped, move || {
        let (fd, mut theirs) = pair();
        let thief = go(looped, move || u64::from(read_exactly(looped, fd, 1)[0]));
        settle(looped);
        let waiting = go(looped, move || told(one(looped, fd, None)));
        settle(looped);
        theirs.write_all(b"1").unwrap();
        settle(looped);
        assert_eq!(looped.join(thief), Ok(u64::from(b'1')));
        theirs.write_all(b"2").unwrap();
        assert_eq!(looped.join(waiting), Ok(1));
        assert_eq!(read_exactly(looped, fd, 1).len(), 1);
        close(looped, &[fd]);
    });
}

fn nothing_to_wait_for(looped: Looped) {
    in_fiber(looped, move || {
        let before = looped.kernel().now();
        assert_eq!(net::poll(looped, &mut [], Some(1_000_000)), Ok(0));
        assert_eq!(net::poll(looped, &mut [entry(-1, ALL)], Some(1_000_000)), Ok(0));
        assert_eq!(select(looped, 0, &mut [[0; 16]; 3], Some(1_000_000)), Ok(0));
        assert!(looped.kernel().now() - before >= 3_000_000);
        let for_ever = go(looped, move || told(net::poll(looped, &mut [], None)));
        settle(looped);
        looped.cancel(for_ever).unwrap();
        assert_eq!(looped.join(for_ever), Ok(failed(libc::ECANCELED)));
    });
}

fn a_hang_up_is_nothing_exceptional(looped: Looped) {
    in_fiber(looped, move || {
        let (hung_up, write) = pipe();
        let (quiet, other) = pipe();
        close_behind(write);
        let mut sets = [bits(&[quiet]), [0; 16], bits(&[hung_up])];
        assert_eq!(select(looped, 1024, &mut sets, Some(2_000_000)), Ok(0));
        assert_eq!(sets, [[0; 16]; 3]);
        let fiber = go(looped, move || {
            let mut sets = [bits(&[quiet]), [0; 16], bits(&[hung_up])];
            let left = select(looped, 1024, &mut sets, None);
            assert_eq!(sets, [bits(&[quiet]), [0; 16], [0; 16]]);
            told(left)
        });
        settle(looped);
        feed(other);
        assert_eq!(looped.join(fiber), Ok(1));
        close(looped, &[hung_up, quiet, other]);
    });
}

fn off_a_fiber(looped: Looped) {
    let (read, write) = pipe();
    assert_eq!(one(looped, read, Some(0)), Ok(0));
    assert_eq!(one(looped, read, Some(1_000_000)), Ok(0));
    assert_eq!(net::poll(looped, &mut [], Some(1_000_000)), Ok(0));
    std::thread::scope(|scope| {
        scope.spawn(|| feed(write));
        assert_eq!(one(looped, read, None), Ok(1));
    });
    assert_eq!(select(looped, read + 1, &mut [bits(&[read]), [0; 16], [0; 16]], None), Ok(1));
    [read, write].into_iter().for_each(close_behind);
}

fn off_a_fiber_and_received_ahead(looped: Looped) {
    let (fd, mut theirs) = in_fiber(looped, move || received_ahead(looped));
    assert_eq!(one(looped, fd, Some(1_000_000)), Ok(0));
    std::thread::scope(|scope| {
        scope.spawn(|| theirs.write_all(b"word").unwrap());
        assert_eq!(one(looped, fd, None), Ok(1));
    });
    assert_eq!(one(looped, fd, Some(0)), Ok(1));
    assert_eq!(read_exactly(looped, fd, 4), b"word");
    close(looped, &[fd]);
}

fn the_loop_ends(looped: Looped) {
    let (read, write) = pipe();
    let (other, quiet) = pipe();
    go(looped, move || {
        let waited = net::poll(looped, &mut [entry(read, IN), entry(other, IN)], None);
        assert_eq!(waited, Err(Errno(libc::ECANCELED)));
        assert_eq!(one(looped, read, None), Err(Errno(libc::ECANCELED)));
        0
    });
    go(looped, move || {
        settle(looped);
        looped.stop();
        0
    });
    looped.run().unwrap();
    [read, write, other, quiet].into_iter().for_each(close_behind);
}
