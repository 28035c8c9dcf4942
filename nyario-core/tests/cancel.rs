//! Cancelling fibers, wherever they are.

mod common;

use common::*;
use nyario_core::driver::Op;
use nyario_core::fiber::FiberId;
use nyario_core::net;
use nyario_core::sys::{Errno, Fd};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

scenarios!(on_loop: not_yet_started, running_itself, yielding, sleeping, joining, reading, reading_what_is_ours,
    reading_a_pipe, polling, writing, writing_vectors, accepting, connecting, closing, at_the_head_of_the_queue,
    in_the_middle_of_the_queue, after_the_bytes_came, too_late_for_one_call, once_is_once, already_ended);

/// Cancels a fiber that has gone as far as it comes by itself, and joins it.
fn cancelled(looped: Looped, fiber: FiberId) -> Result<u64, Errno> {
    settle(looped);
    looped.cancel(fiber).unwrap();
    looped.join(fiber)
}

/// What becomes of an operation that waits when it is cancelled.
fn cancelled_op(looped: Looped, op: Op) -> i32 {
    let fiber = go(looped, move || word(perform(looped, op)));
    cancelled(looped, fiber).unwrap() as i64 as i32
}

fn not_yet_started(looped: Looped) {
    in_fiber(looped, move || {
        let began = Rc::new(Cell::new(false));
        let witness = began.clone();
        let fiber = go(looped, move || {
            witness.set(true);
            told(looped.sleep(u64::MAX).map(|()| 0))
        });
        looped.cancel(fiber).unwrap();
        assert_eq!(looped.join(fiber), Ok(failed(libc::ECANCELED)));
        assert!(began.get(), "it runs up to its first suspension");
    });
}

fn running_itself(looped: Looped) {
    let (fd, mut theirs) = pair();
    in_fiber(looped, move || {
        looped.cancel(looped.me().unwrap()).unwrap();
        theirs.write_all(b"at hand").unwrap();
        assert_eq!(net::read(looped, fd, &mut [0; 7]), Ok(7), "what need not suspend is not cancelled");
        assert_eq!(net::read(looped, fd, &mut [0; 7]), Err(Errno(libc::ECANCELED)));
        looped.cancel(looped.me().unwrap()).unwrap();
        assert_eq!(looped.yield_now(), Err(Errno(libc::ECANCELED)));
        net::close(looped, fd).unwrap();
    });
}

fn yielding(looped: Looped) {
    in_fiber(looped, move || {
        let fiber = go(looped, move || {
            loop {
                if let Err(error) = looped.yield_now() {
                    return failed(error.0);
                }
            }
        });
        assert_eq!(cancelled(looped, fiber), Ok(failed(libc::ECANCELED)));
    });
}

fn sleeping(looped: Looped) {
    in_fiber(looped, move || {
        let fiber = go(looped, move || told(looped.sleep(u64::MAX).map(|()| 0)));
        assert_eq!(cancelled(looped, fiber), Ok(failed(libc::ECANCELED)));
    });
}

fn joining(looped: Looped) {
    in_fiber(looped, move || {
        let target = go(looped, move || told(looped.sleep(u64::MAX).map(|()| 0)));
        let joiner = go(looped, move || looped.join(target).unwrap_or_else(|error| failed(error.0)));
        assert_eq!(cancelled(looped, joiner), Ok(failed(libc::ECANCELED)));
        looped.cancel(target).unwrap();
        assert_eq!(looped.join(target), Ok(failed(libc::ECANCELED)), "it was not joined");
    });
}

/// A read that is cancelled leaves the descriptor as it was.
fn reads(looped: Looped, fd: Fd, theirs: impl Write + 'static) {
    let mut theirs = theirs;
    in_fiber(looped, move || {
        for round in 0..3 {
            let fiber = go(looped, move || told(net::read(looped, fd, &mut [0; 8])));
            assert_eq!(cancelled(looped, fiber), Ok(failed(libc::ECANCELED)));
            theirs.write_all(&[round]).unwrap();
            assert_eq!(read_exactly(looped, fd, 1), [round]);
        }
        net::close(looped, fd).unwrap();
    });
}

fn reading(looped: Looped) {
    let (fd, theirs) = pair();
    reads(looped, fd, theirs);
}

fn reading_what_is_ours(looped: Looped) {
    let (fd, theirs) = tcp_pair();
    looped.opened(fd, false).unwrap();
    reads(looped, fd, theirs);
}

fn reading_a_pipe(looped: Looped) {
    let (read, write) = std::io::pipe().unwrap();
    reads(looped, std::os::fd::IntoRawFd::into_raw_fd(read), write);
}

fn polling(looped: Looped) {
    let (fd, theirs) = pair();
    in_fiber(looped, move || {
        assert_eq!(cancelled_op(looped, Op::Poll { fd, events: libc::POLLIN as u32 }), -libc::ECANCELED);
        net::close(looped, fd).unwrap();
        drop(theirs);
    });
}

/// Fills what can be filled; the next write has to wait.
fn fill(looped: Looped, fd: Fd) -> usize {
    let block = [7u8; 1 << 16];
    let mut filled = 0;
    loop {
        looped.deadline(nyario_core::sys::Kernel::now(&nyario_core::sys::Linux) + 2_000_000).unwrap();
        let written = net::write(looped, fd, &block);
        looped.deadline(0).unwrap();
        match written {
            Ok(count) => filled += count,
            Err(error) => {
                assert_eq!(error, Errno(libc::ETIMEDOUT));
                return filled;
            }
        }
    }
}

fn writing(looped: Looped) {
    let (fd, mut theirs) = pair();
    in_fiber(looped, move || {
        let filled = fill(looped, fd);
        static BLOCK: [u8; 8192] = [1; 8192];
        for len in [1, BLOCK.len()] {
            assert_eq!(cancelled_op(looped, Op::Write { fd, buf: BLOCK.as_ptr(), len }), -libc::ECANCELED);
        }
        net::close(looped, fd).unwrap();
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        assert!(all.len() == filled && all.iter().all(|&byte| byte == 7), "nothing of the cancelled writes went out");
    });
}

fn writing_vectors(looped: Looped) {
    let (fd, theirs) = pair();
    let (read, full) = pipe();
    in_fiber(looped, move || {
        let block = vec![1u8; 70_000];
        let iov = libc::iovec { iov_base: block.as_ptr().cast_mut().cast(), iov_len: block.len() };
        let iov = (&raw const iov) as usize;
        for fd in [fd, full] {
            fill(looped, fd);
            let fiber = go(looped, move || word(perform(looped, Op::Writev { fd, iov: iov as *const _, count: 1 })));
            assert_eq!(cancelled(looped, fiber), Ok(failed(libc::ECANCELED)));
        }
        close(looped, &[fd, read, full]);
        drop(theirs);
    });
}

fn accepting(looped: Looped) {
    let (fd, address) = listen();
    in_fiber(looped, move || {
        assert_eq!(cancelled_op(looped, Op::Accept { fd, multi: false }), -libc::ECANCELED);
        let peer = TcpStream::connect(address).unwrap();
        let accepted = perform(looped, Op::Accept { fd, multi: false });
        assert!(accepted >= 0, "no connection is lost to the cancelled one");
        close(looped, &[fd, accepted]);
        drop(peer);
    });
}

fn connecting(looped: Looped) {
    // A listener whose queue is full drops whoever comes: connecting to it takes minutes.
    let listener = socket2_listener();
    let address = net::Address::of_socket(&nyario_core::sys::Linux, listener).unwrap().to_string();
    let filler = TcpStream::connect(&address).unwrap();
    in_fiber(looped, move || {
        let mut waiting: Vec<FiberId> = Vec::new();
        for _ in 0..4 {
            let address = address.clone();
            waiting.push(go(looped, move || match net::dial(looped, &address) {
                Ok(fd) => told(net::close(looped, fd).map(|()| 0)),
                Err(error) => failed(error.0),
            }));
        }
        settle(looped);
        let last = waiting.pop().unwrap();
        looped.cancel(last).unwrap();
        assert_eq!(looped.join(last), Ok(failed(libc::ECANCELED)));
        for fiber in waiting {
            looped.cancel(fiber).ok();
            looped.join(fiber).unwrap();
        }
        net::close(looped, listener).unwrap();
        drop(filler);
    });
}

fn socket2_listener() -> Fd {
    let (fd, _) = listen();
    // SAFETY: a call without memory. Listening again narrows the queue.
    assert_eq!(unsafe { libc::listen(fd, 0) }, 0);
    fd
}

/// A close has nothing to give up half-way.
fn closing(looped: Looped) {
    let (fd, theirs) = pair();
    in_fiber(looped, move || {
        let reader = go(looped, move || told(net::read(looped, fd, &mut [0; 8])));
        settle(looped);
        let closer = go(looped, move || told(net::close(looped, fd).map(|()| 0)));
        looped.yield_now().unwrap();
        looped.cancel(closer).ok();
        assert_eq!(looped.join(closer), Ok(0));
        assert_eq!(looped.join(reader), Ok(failed(libc::EBADF)));
        drop(theirs);
    });
}

/// Whoever waits behind a cancelled fiber takes its place.
fn queue(looped: Looped, leaver: usize) {
    let (fd, mut theirs) = pair();
    in_fiber(looped, move || {
        let mut fibers: Vec<FiberId> = (0..3)
            .map(|_| {
                go(looped, move || {
                    let mut byte = [0];
                    net::read(looped, fd, &mut byte).map_or_else(|error| failed(error.0), |_| byte[0].into())
                })
            })
            .collect();
        assert_eq!(cancelled(looped, fibers.remove(leaver)), Ok(failed(libc::ECANCELED)));
        for (byte, fiber) in fibers.into_iter().enumerate() {
            theirs.write_all(&[byte as u8]).unwrap();
            assert_eq!(looped.join(fiber), Ok(byte as u64));
        }
        net::close(looped, fd).unwrap();
    });
}

fn at_the_head_of_the_queue(looped: Looped) {
    queue(looped, 0);
}

fn in_the_middle_of_the_queue(looped: Looped) {
    queue(looped, 1);
}

fn after_the_bytes_came(looped: Looped) {
    for owned in [false, true] {
        let (fd, mut theirs) = pair();
        if owned {
            looped.opened(fd, false).unwrap();
        }
        in_fiber(looped, move || {
            let reader = go(looped, move || told(net::read(looped, fd, &mut [0; 8])));
            settle(looped);
            theirs.write_all(b"bytes").unwrap();
            looped.cancel(reader).unwrap();
            // Either the bytes were at hand before the cancel was, or they are still there.
            let first = looped.join(reader).unwrap();
            if first != 5 {
                assert_eq!(first, failed(libc::ECANCELED));
                assert_eq!(read_exactly(looped, fd, 5), b"bytes");
            }
            theirs.write_all(b"more").unwrap();
            assert_eq!(read_exactly(looped, fd, 4), b"more");
            net::close(looped, fd).unwrap();
        });
    }
}

/// A cancel is told exactly once: by the call that it meets, or, where that has its bytes already, by the next.
fn too_late_for_one_call(looped: Looped) {
    for owned in [false, true] {
        let (fd, mut theirs) = pair();
        if owned {
            looped.opened(fd, false).unwrap();
        }
        in_fiber(looped, move || {
            for _ in 0..20 {
                let reader = go(looped, move || {
                    let read = net::read(looped, fd, &mut [0; 5]);
                    let slept = looped.sleep(1000);
                    match (read, slept) {
                        (Ok(5), Err(Errno(libc::ECANCELED))) => 5,
                        (Err(Errno(libc::ECANCELED)), Ok(())) => 0,
                        other => panic!("{other:?}"),
                    }
                });
                settle(looped);
                theirs.write_all(b"bytes").unwrap();
                looped.cancel(reader).unwrap();
                if looped.join(reader) == Ok(0) {
                    assert_eq!(read_exactly(looped, fd, 5), b"bytes");
                }
            }
            close(looped, &[fd]);
        });
    }
}

fn once_is_once(looped: Looped) {
    in_fiber(looped, move || {
        let fiber = go(looped, move || {
            let first = looped.sleep(u64::MAX);
            let second = looped.sleep(1000);
            u64::from(first == Err(Errno(libc::ECANCELED)) && second == Ok(()))
        });
        settle(looped);
        looped.cancel(fiber).unwrap();
        looped.cancel(fiber).unwrap();
        assert_eq!(looped.join(fiber), Ok(1));
    });
}

fn already_ended(looped: Looped) {
    in_fiber(looped, move || {
        let fiber = go(looped, || 5);
        settle(looped);
        assert_eq!(looped.cancel(fiber), Err(Errno(libc::ESRCH)), "ended, not joined");
        assert_eq!(looped.join(fiber), Ok(5));
        assert_eq!(looped.cancel(fiber), Err(Errno(libc::ESRCH)), "joined");
        assert_eq!(looped.cancel(FiberId::from_word(0)), Err(Errno(libc::ESRCH)));
    });
}
