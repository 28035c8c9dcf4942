//! Descriptors of every kind, many fibers on one of them, greedy and broken peers.

mod common;

use common::*;
use nyario_core::conn::Kind;
use nyario_core::driver::{BackendKind, Op};
use nyario_core::fiber::FiberId;
use nyario_core::net;
use nyario_core::runtime::Start;
use nyario_core::sys::{Errno, Fd, Kernel, Linux};
use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

scenarios!(on_loop: pipes, an_event_counter, dev_null, a_regular_file, vectors_on_a_socket, vectors_on_a_pipe,
    vectors_from_what_was_received_ahead, datagrams_stay_apart, our_own_datagrams_stay_apart, receiving_needs_a_socket,
    polls_tell_what_holds, a_poll_waits_and_takes_nothing, a_poll_sees_what_was_received_ahead,
    a_poll_for_something_rare_hides_nothing, polls_by_their_other_names, a_unix_server_by_path,
    a_dead_server_leaves_its_path, a_living_server_keeps_its_path, connecting_to_nobody_is_refused,
    a_full_backlog_is_waited_for, readers_share_a_descriptor, readers_are_served_in_order, writers_share_a_descriptor,
    a_peer_that_never_reads_stalls_nobody, a_flood_is_bounded_and_stalls_nobody,
    a_trickle_is_bounded_too, what_others_share_keeps_its_mode, an_end_right_behind_the_bytes, an_end_ends_a_read,
    bytes_behind_something_urgent, a_reset_ends_a_read, a_reset_ends_a_write, a_broken_pipe_raises_no_signal,
    an_operation_that_goes_on_is_no_fibers);

fn pipes(looped: Looped) {
    let (read, write) = pipe();
    in_fiber(looped, move || {
        let reader = go(looped, move || {
            let mut all = Vec::new();
            let mut buf = [0; 1000];
            while let Ok(count @ 1..) = net::read(looped, read, &mut buf) {
                all.extend_from_slice(&buf[..count]);
            }
            assert!(all == pattern(500_000));
            all.len() as u64
        });
        assert_eq!(net::write(looped, write, &pattern(500_000)), Ok(500_000));
        close(looped, &[write]);
        assert_eq!(looped.join(reader), Ok(500_000));
        close(looped, &[read]);
    });
}

fn an_event_counter(looped: Looped) {
    let fd = Linux.eventfd();
    in_fiber(looped, move || {
        let reader = go(looped, move || u64::from_le_bytes(read_exactly(looped, fd, 8).try_into().unwrap()));
        settle(looped);
        say(looped, fd, &5u64.to_le_bytes());
        assert_eq!(looped.join(reader), Ok(5));
        assert_eq!(net::read(looped, fd, &mut [0; 4]), Err(Errno(libc::EINVAL)), "a counter is eight bytes");
        close(looped, &[fd]);
    });
}

fn dev_null(looped: Looped) {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null").unwrap().into_raw_fd();
    in_fiber(looped, move || {
        assert_eq!(net::write(looped, null, &[0; 100_000]), Ok(100_000));
        assert_eq!(net::read(looped, null, &mut [0; 8]), Ok(0));
        close(looped, &[null]);
    });
}

fn scratch(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("nyario-{}-{name}", std::process::id()))
}

fn a_regular_file(looped: Looped) {
    let path = scratch("file");
    let open = || std::fs::File::options().create(true).read(true).append(true).open(&path).unwrap().into_raw_fd();
    let (to, from) = (open(), open());
    in_fiber(looped, move || {
        assert_eq!(net::write(looped, to, &pattern(300_000)), Ok(300_000));
        assert!(read_exactly(looped, from, 300_000) == pattern(300_000));
        assert_eq!(net::read(looped, from, &mut [0; 8]), Ok(0));
        say(looped, to, b"more");
        assert_eq!(read_exactly(looped, from, 4), b"more", "the end of a file is no end for good");
        close(looped, &[to, from]);
    });
    std::fs::remove_file(path).unwrap();
}

/// Writes a pattern from several buffers, and reads it into several others.
fn vectors(looped: Looped, to: Fd, from: Fd) {
    const LEN: usize = 400_000;
    let writer = go(looped, move || {
        let bytes = pattern(LEN);
        let mut sent = 0;
        while sent < LEN {
            let (first, second) = bytes[sent..].split_at((LEN - sent) / 3);
            let part = |part: &[u8]| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
            let iov = [part(first), part(&[]), part(second)];
            let count = perform(looped, Op::Writev { fd: to, iov: iov.as_ptr(), count: iov.len() });
            assert!(count > 0, "{count}");
            sent += count as usize;
        }
        0
    });
    let mut all = Vec::<u8>::new();
    while all.len() < LEN {
        let (mut first, mut second) = ([0u8; 5], [0u8; 3000]);
        let part = |part: &mut [u8]| libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() };
        let iov = [part(&mut first), part(&mut []), part(&mut second)];
        let count = perform(looped, Op::Readv { fd: from, iov: iov.as_ptr(), count: iov.len() });
        assert!(count > 0, "{count}");
        all.extend(first.iter().chain(&second).take(count as usize));
    }
    assert!(all == pattern(LEN));
    assert_eq!(looped.join(writer), Ok(0));
    close(looped, &[to, from]);
}

fn vectors_on_a_socket(looped: Looped) {
    let (to, from) = UnixStream::pair().unwrap();
    in_fiber(looped, move || vectors(looped, to.into_raw_fd(), from.into_raw_fd()));
}

fn vectors_on_a_pipe(looped: Looped) {
    let (from, to) = pipe();
    in_fiber(looped, move || vectors(looped, to, from));
}

fn vectors_from_what_was_received_ahead(looped: Looped) {
    let (to, from) = UnixStream::pair().unwrap();
    let (to, from) = (to.into_raw_fd(), from.into_raw_fd());
    looped.opened(from, false).unwrap();
    in_fiber(looped, move || vectors(looped, to, from));
}

/// Messages shorter than the buffers that they are read into.
fn datagrams(looped: Looped, fd: Fd, theirs: UnixDatagram) {
    in_fiber(looped, move || {
        for round in 0..3u8 {
            for message in [&b"one"[..], b"two!", b"three"] {
                theirs.send(message).unwrap();
            }
            let mut buf = [0; 100];
            for message in [&b"one"[..], b"two!", b"three"] {
                assert_eq!(net::read(looped, fd, &mut buf), Ok(message.len()));
                assert_eq!(&buf[..message.len()], message);
            }
            let reader = go(looped, move || told(net::read(looped, fd, &mut [0; 100])));
            settle(looped);
            theirs.send(&[round; 7]).unwrap();
            assert_eq!(looped.join(reader), Ok(7));
        }
        say(looped, fd, b"back");
        let mut buf = [0; 8];
        assert_eq!(theirs.recv(&mut buf).unwrap(), 4);
        close(looped, &[fd]);
    });
}

fn datagrams_stay_apart(looped: Looped) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    datagrams(looped, ours.into_raw_fd(), theirs);
}

fn our_own_datagrams_stay_apart(looped: Looped) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let fd = ours.into_raw_fd();
    looped.opened(fd, false).unwrap();
    datagrams(looped, fd, theirs);
}

fn receiving_needs_a_socket(looped: Looped) {
    let (read, write) = pipe();
    in_fiber(looped, move || {
        let mut byte = 0;
        assert_eq!(perform(looped, Op::Recv { fd: read, buf: &mut byte, len: 1 }), -libc::ENOTSOCK);
        assert_eq!(perform(looped, Op::Send { fd: write, buf: &byte, len: 1 }), -libc::ENOTSOCK);
        assert_eq!(perform(looped, Op::Accept { fd: read, multi: false }), -libc::ENOTSOCK);
        close(looped, &[read, write]);
    });
}

const IN: u32 = libc::POLLIN as u32;
const OUT: u32 = libc::POLLOUT as u32;
const HUP: u32 = libc::POLLHUP as u32;
const RDHUP: u32 = libc::POLLRDHUP as u32;

fn polls_tell_what_holds(looped: Looped) {
    let (fd, mut theirs) = pair();
    let (read, write) = pipe();
    in_fiber(looped, move || {
        assert_eq!(perform(looped, Op::Poll { fd, events: IN | OUT }), OUT as i32);
        theirs.write_all(b"x").unwrap();
        assert_eq!(perform(looped, Op::Poll { fd, events: IN | OUT }), (IN | OUT) as i32);
        assert_eq!(perform(looped, Op::Poll { fd, events: IN }), IN as i32);
        drop(theirs);
        let gone = perform(looped, Op::Poll { fd, events: IN | RDHUP });
        assert_eq!(gone as u32 & (IN | RDHUP | HUP), IN | RDHUP | HUP, "a hang-up is told unasked");
        close(looped, &[write]);
        assert_eq!(perform(looped, Op::Poll { fd: read, events: 0 }), HUP as i32);
        close(looped, &[fd, read]);
    });
}

fn polling(looped: Looped, fd: Fd, events: u32) -> FiberId {
    go(looped, move || word(perform(looped, Op::Poll { fd, events })))
}

fn a_poll_waits_and_takes_nothing(looped: Looped) {
    for owned in [false, true] {
        let (fd, mut theirs) = pair();
        if owned {
            looped.opened(fd, false).unwrap();
        }
        in_fiber(looped, move || {
            // A read that was given up may have left a receive behind.
            let reader = go(looped, move || told(net::read(looped, fd, &mut [0; 1])));
            settle(looped);
            looped.cancel(reader).unwrap();
            assert_eq!(looped.join(reader), Ok(failed(libc::ECANCELED)));
            for round in 0..5 {
                let polls = [(); 3].map(|()| polling(looped, fd, IN));
                settle(looped);
                theirs.write_all(&[round; 40]).unwrap();
                all_told(looped, polls, IN.into());
                // It may be read past the loop as well, as whoever polls does.
                let mut byte = 0;
                // SAFETY: one byte is lent.
                assert_eq!(unsafe { Linux.recv(fd, &mut byte, 1, libc::MSG_DONTWAIT) }, 1);
                assert_eq!(read_exactly(looped, fd, 39), [round; 39]);
            }
            close(looped, &[fd]);
        });
    }
}

fn a_poll_sees_what_was_received_ahead(looped: Looped) {
    let (fd, mut theirs) = pair();
    looped.opened(fd, false).unwrap();
    in_fiber(looped, move || {
        let reader = go(looped, move || told(net::read(looped, fd, &mut [0; 1])));
        settle(looped);
        theirs.write_all(b"12345").unwrap();
        assert_eq!(looped.join(reader), Ok(1));
        for _ in 0..2 {
            assert_eq!(perform(looped, Op::Poll { fd, events: IN }), IN as i32);
            assert_eq!(perform(looped, Op::Poll { fd, events: OUT }), OUT as i32);
        }
        assert_eq!(read_exactly(looped, fd, 4), b"2345");
        // A poll and a read wait side by side; the poll is told though the read takes the byte.
        let reader = go(looped, move || told(net::read(looped, fd, &mut [0; 8])));
        settle(looped);
        let poll = polling(looped, fd, IN);
        settle(looped);
        theirs.write_all(b"67").unwrap();
        assert_eq!(looped.join(reader), Ok(2));
        theirs.write_all(b"8").unwrap();
        assert_eq!(looped.join(poll), Ok(IN.into()));
        assert_eq!(read_exactly(looped, fd, 1), b"8");
        drop(theirs);
        assert_eq!(net::read(looped, fd, &mut [0; 8]), Ok(0));
        assert_eq!(perform(looped, Op::Poll { fd, events: IN }) as u32 & IN, IN, "an end is readable");
        close(looped, &[fd]);
    });
}

fn a_poll_for_something_rare_hides_nothing(looped: Looped) {
    let (fd, mut theirs) = tcp_pair();
    in_fiber(looped, move || {
        theirs.write_all(b"plain").unwrap();
        // The second pair asks when the news of the bytes is old.
        let rare = [libc::POLLPRI as u32, RDHUP];
        let first = rare.map(|events| polling(looped, fd, events));
        settle(looped);
        let second = rare.map(|events| polling(looped, fd, events));
        settle(looped);
        let reader = go(looped, move || told(net::read(looped, fd, &mut [0; 8])));
        assert_eq!(looped.join(reader), Ok(5));
        drop(theirs);
        for [urgent, end] in [first, second] {
            assert_eq!(looped.join(end).unwrap() as u32 & RDHUP, RDHUP);
            looped.cancel(urgent).ok();
            looped.join(urgent).unwrap();
        }
        close(looped, &[fd]);
    });
}

fn polls_by_their_other_names(looped: Looped) {
    let (fd, mut theirs) = pair();
    in_fiber(looped, move || {
        let (read, write) = (libc::POLLRDNORM as u32, libc::POLLWRNORM as u32);
        assert_eq!(perform(looped, Op::Poll { fd, events: write }), write as i32);
        let poll = polling(looped, fd, read);
        settle(looped);
        theirs.write_all(b"x").unwrap();
        assert_eq!(looped.join(poll), Ok(read.into()));
        close(looped, &[fd]);
    });
}

fn a_unix_server_by_path(looped: Looped) {
    let path = scratch("server");
    let address = path.to_str().unwrap().to_string();
    let fd = net::listen(&Linux, &address).unwrap();
    assert_eq!(net::Address::of_socket(&Linux, fd).unwrap().to_string(), address);
    looped.register(fd, Start::Lazy, move |fd| echo(looped, fd)).unwrap();
    go(looped, move || {
        let client = net::dial(looped, &address).unwrap();
        say(looped, client, b"through the file system");
        assert_eq!(read_exactly(looped, client, 23), b"through the file system");
        close(looped, &[client]);
        looped.stop();
        0
    });
    looped.run().unwrap();
    std::fs::remove_file(path).unwrap();
}

fn a_dead_server_leaves_its_path(looped: Looped) {
    let path = scratch("leftover");
    drop(UnixListener::bind(&path).unwrap());
    let fd = net::listen(&Linux, path.to_str().unwrap()).unwrap();
    assert!(UnixStream::connect(&path).is_ok());
    close(looped, &[fd]);
    std::fs::remove_file(path).unwrap();
}

fn a_living_server_keeps_its_path(_looped: Looped) {
    let path = scratch("living");
    let living = UnixListener::bind(&path).unwrap();
    assert_eq!(net::listen(&Linux, path.to_str().unwrap()), Err(Errno(libc::EADDRINUSE)));
    assert!(UnixStream::connect(&path).is_ok());
    drop(living);
    std::fs::remove_file(&path).unwrap();
    // Neither does a file that is no socket give way.
    std::fs::write(&path, "mine").unwrap();
    assert_eq!(net::listen(&Linux, path.to_str().unwrap()), Err(Errno(libc::EADDRINUSE)));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    std::fs::remove_file(path).unwrap();
}

fn connecting_to_nobody_is_refused(looped: Looped) {
    let path = scratch("nobody");
    drop(UnixListener::bind(&path).unwrap());
    let (fd, address) = listen();
    close_behind(fd);
    let refused = [address, path.to_str().unwrap().to_string()];
    in_fiber(looped, move || {
        for address in refused {
            assert_eq!(net::dial(looped, &address), Err(Errno(libc::ECONNREFUSED)), "{address}");
        }
        assert_eq!(net::dial(looped, "/nowhere/at/all"), Err(Errno(libc::ENOENT)));
        assert_eq!(net::dial(looped, "what:is:this"), Err(Errno(libc::EINVAL)));
        assert_eq!(looped.connections(Kind::Client), 0);
    });
    std::fs::remove_file(path).unwrap();
}

fn a_full_backlog_is_waited_for(looped: Looped) {
    let path = scratch("backlog");
    let address = path.to_str().unwrap().to_string();
    let server = net::listen(&Linux, &address).unwrap();
    // SAFETY: a call without memory. Listening again narrows the queue.
    assert_eq!(unsafe { libc::listen(server, 0) }, 0);
    in_fiber(looped, move || {
        let clients = [(); 4].map(|()| {
            let address = address.clone();
            go(looped, move || told(net::dial(looped, &address).map(|fd| fd as usize)))
        });
        settle(looped);
        // Each tries again after a while of its own, so nobody knows whose turn it is.
        let accepted = [(); 4].map(|()| perform(looped, Op::Accept { fd: server, multi: false }));
        close(looped, &accepted);
        close(looped, &clients.map(|client| looped.join(client).unwrap() as Fd));
        close(looped, &[server]);
    });
    std::fs::remove_file(path).unwrap();
}

fn readers_share_a_descriptor(looped: Looped) {
    const LEN: usize = 100_000;
    for owned in [false, true] {
        let (fd, mut theirs) = pair();
        if owned {
            looped.opened(fd, false).unwrap();
        }
        in_fiber(looped, move || {
            let all = Rc::new(RefCell::new(Vec::new()));
            let readers: Vec<FiberId> = (1..=5)
                .map(|size| {
                    let all = all.clone();
                    go(looped, move || {
                        let mut buf = vec![0u8; size * 37];
                        while let Ok(count @ 1..) = net::read(looped, fd, &mut buf) {
                            all.borrow_mut().extend_from_slice(&buf[..count]);
                        }
                        0
                    })
                })
                .collect();
            let writer = std::thread::spawn(move || theirs.write_all(&pattern(LEN)).unwrap());
            all_told(looped, readers, 0);
            writer.join().unwrap();
            let mut all = all.take();
            let mut sent = pattern(LEN);
            all.sort();
            sent.sort();
            assert!(all == sent, "each byte is read once");
            close(looped, &[fd]);
        });
    }
}

fn readers_are_served_in_order(looped: Looped) {
    for owned in [false, true] {
        let (fd, mut theirs) = pair();
        if owned {
            looped.opened(fd, false).unwrap();
        }
        in_fiber(looped, move || {
            for round in 0..20 {
                let readers = [(); 6].map(|()| go(looped, move || read_exactly(looped, fd, 1)[0].into()));
                looped.yield_now().unwrap();
                if round % 2 == 0 {
                    theirs.write_all(&[0, 1, 2, 3, 4, 5]).unwrap();
                } else {
                    for byte in 0..6 {
                        theirs.write_all(&[byte]).unwrap();
                        looped.sleep(100_000).unwrap();
                    }
                }
                for (place, reader) in readers.into_iter().enumerate() {
                    assert_eq!(looped.join(reader), Ok(place as u64));
                }
            }
            close(looped, &[fd]);
        });
    }
}

fn writers_share_a_descriptor(looped: Looped) {
    const EACH: u32 = 20_000;
    let (fd, mut theirs) = pair();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        all
    });
    in_fiber(looped, move || {
        let writers: Vec<FiberId> = (0..4u32)
            .map(|writer| {
                go(looped, move || {
                    for number in 0..EACH {
                        say(looped, fd, &(writer << 24 | number).to_le_bytes());
                    }
                    0
                })
            })
            .collect();
        all_told(looped, writers, 0);
        close(looped, &[fd]);
    });
    let mut next = [0; 4];
    for word in reader.join().unwrap().chunks(4) {
        let word = u32::from_le_bytes(word.try_into().unwrap());
        let writer = &mut next[(word >> 24) as usize];
        assert_eq!(word & 0xff_ffff, *writer, "each writer's words are whole and in order");
        *writer += 1;
    }
    assert_eq!(next, [EACH; 4]);
}

/// Messages between two fibers over a pair of their own, as a sign of life.
fn rounds(looped: Looped, count: usize) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (ours, theirs) = (ours.into_raw_fd(), theirs.into_raw_fd());
    looped.opened(ours, false).unwrap();
    looped.opened(theirs, false).unwrap();
    let answerer = go(looped, move || {
        echo(looped, theirs);
        0
    });
    for round in 0..count {
        let message = pattern(1 + round % 50);
        say(looped, ours, &message);
        assert_eq!(read_exactly(looped, ours, message.len()), message);
    }
    close(looped, &[ours]);
    looped.join(answerer).unwrap();
    close(looped, &[theirs]);
}

fn a_peer_that_never_reads_stalls_nobody(looped: Looped) {
    let (fd, theirs) = tcp_pair();
    in_fiber(looped, move || {
        let writer = go(looped, move || told(net::write(looped, fd, &pattern(16 << 20))));
        settle(looped);
        rounds(looped, 1000);
        looped.cancel(writer).unwrap();
        let written = looped.join(writer).unwrap();
        assert!(written < 16 << 20, "it waits for its reader: {written}");
        close(looped, &[fd]);
        drop(theirs);
    });
}

/// A sender that its reader does not keep up with is held back by the kernel: what is received ahead of the reader has
/// a bound, and leaves buffers for the others.
fn a_flood_is_bounded_and_stalls_nobody(looped: Looped) {
    const LIMIT: usize = 64 << 20;
    // What the kernel buffers, and a few dozen buffers of our own, out of thousands.
    const BOUND: usize = 2 << 20;
    let (fd, theirs) = pair();
    looped.opened(fd, false).unwrap();
    static SENT: AtomicUsize = AtomicUsize::new(0);
    SENT.store(0, Ordering::Relaxed);
    in_fiber(looped, move || {
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stop = done.clone();
        let flood = std::thread::spawn(move || {
            theirs.set_nonblocking(true).unwrap();
            let block = pattern(1 << 16);
            while SENT.load(Ordering::Relaxed) < LIMIT && !stop.load(Ordering::Relaxed) {
                let from = SENT.load(Ordering::Relaxed) % block.len();
                match (&theirs).write(&block[from..]) {
                    Ok(count) => drop(SENT.fetch_add(count, Ordering::Relaxed)),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        std::thread::yield_now();
                    }
                }
            }
        });
        let mut have = read_exactly(looped, fd, 1);
        rounds(looped, 500);
        have.extend(read_exactly(looped, fd, 1));
        rounds(looped, 500);
        done.store(true, Ordering::Relaxed);
        flood.join().unwrap();
        let sent = SENT.load(Ordering::Relaxed);
        assert!(sent < BOUND, "nobody read it, and {sent} bytes of it were taken");
        let mut buf = vec![0; 10_000];
        loop {
            match net::read(looped, fd, &mut buf).unwrap() {
                0 => break,
                count => have.extend_from_slice(&buf[..count]),
            }
        }
        assert_eq!(have.len(), sent);
        let block = pattern(1 << 16);
        assert!(have.chunks(block.len()).all(|chunk| *chunk == block[..chunk.len()]), "in order");
        close(looped, &[fd]);
    });
}

/// Small messages take a provided buffer each, however little they bring: a connection that nobody reads leaves all but
/// a few of them with the kernel.
fn a_trickle_is_bounded_too(looped: Looped) {
    const MESSAGES: usize = 200;
    const BOUND: usize = 32;
    let (fd, mut theirs) = pair();
    looped.opened(fd, false).unwrap();
    in_fiber(looped, move || {
        // A read that has to wait begins the receiving.
        let reader = go(looped, move || read_exactly(looped, fd, 1)[0].into());
        settle(looped);
        theirs.write_all(&[0]).unwrap();
        assert_eq!(looped.join(reader), Ok(0));
        for number in 0..MESSAGES {
            theirs.write_all(&[number as u8]).unwrap();
            looped.sleep(20_000).unwrap();
        }
        settle(looped);
        let mut left = 0i32;
        // SAFETY: the count outlives the call.
        assert_eq!(unsafe { libc::ioctl(fd, libc::FIONREAD, &mut left) }, 0);
        assert!(left as usize >= MESSAGES - BOUND, "{left} of {MESSAGES} messages are left with the kernel");
        let all: Vec<u8> = (0..MESSAGES).map(|number| number as u8).collect();
        assert_eq!(read_exactly(looped, fd, MESSAGES), all);
        close(looped, &[fd]);
    });
}

/// Whether a descriptor blocks is its file's, which other processes may share: a wait leaves it as it was.
fn what_others_share_keeps_its_mode(looped: Looped) {
    let (fd, mut theirs) = pair();
    let (read, write) = pipe();
    let (listener, address) = listen();
    let blocks = move || [fd, read, write, listener].map(|fd| Linux.flags(fd) & libc::O_NONBLOCK == 0);
    let before = blocks();
    let (meanwhile, after) = in_fiber(looped, move || {
        let readers = [fd, read].map(|fd| go(looped, move || told(net::read(looped, fd, &mut [0; 8]))));
        let acceptor = go(looped, move || word(perform(looped, Op::Accept { fd: listener, multi: false })));
        settle(looped);
        let meanwhile = blocks();
        theirs.write_all(b"x").unwrap();
        say(looped, write, b"x");
        let client = TcpStream::connect(&address).unwrap();
        all_told(looped, readers, 1);
        let connection = looped.join(acceptor).unwrap() as Fd;
        let after = blocks();
        close(looped, &[fd, read, write, listener, connection]);
        drop(client);
        (meanwhile, after)
    });
    assert_eq!((meanwhile, after), (before, before));
}

fn an_end_right_behind_the_bytes(looped: Looped) {
    for owned in [false, true] {
        let (fd, mut theirs) = tcp_pair();
        if owned {
            looped.opened(fd, false).unwrap();
        }
        in_fiber(looped, move || {
            theirs.write_all(b"x").unwrap();
            assert_eq!(read_exactly(looped, fd, 1), b"x");
            theirs.write_all(b"the last").unwrap();
            drop(theirs);
            // Both have come before anybody asks.
            settle(looped);
            assert_eq!(net::read(looped, fd, &mut [0; 100]), Ok(8));
            assert_eq!(net::read(looped, fd, &mut [0; 100]), Ok(0));
            close(looped, &[fd]);
        });
    }
}

fn an_end_ends_a_read(looped: Looped) {
    for owned in [false, true] {
        let (fd, theirs) = tcp_pair();
        if owned {
            looped.opened(fd, false).unwrap();
        }
        in_fiber(looped, move || {
            let readers = [(); 3].map(|()| go(looped, move || told(net::read(looped, fd, &mut [0; 8]))));
            settle(looped);
            drop(theirs);
            all_told(looped, readers, 0);
            assert_eq!(net::read(looped, fd, &mut [0; 8]), Ok(0), "an end stays an end");
            close(looped, &[fd]);
        });
    }
}

/// A read stops at what is urgent, and has not drained the connection for all that it is short.
fn bytes_behind_something_urgent(looped: Looped) {
    const BULK: usize = 60_000;
    let (fd, mut client) = tcp_pair();
    in_fiber(looped, move || {
        looped.opened(fd, false).unwrap();
        let reader = go(looped, move || {
            let (mut buf, mut all) = ([0; 8192], 0);
            while all < BULK + 200 {
                all += net::read(looped, fd, &mut buf).unwrap();
            }
            all as u64
        });
        // Filled buffers make a bulk reader of it, on io_uring.
        client.write_all(&pattern(BULK)).unwrap();
        settle(looped);
        let part = [0; 100];
        let send = |bytes: &[u8], flags| {
            // SAFETY: the bytes outlive the call.
            let sent = unsafe { libc::send(client.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
            assert_eq!(sent, bytes.len() as isize);
        };
        send(&part, 0);
        // kqueue's events do not tell of what is urgent.
        if looped.backend() != BackendKind::Kqueue {
            send(b"!", libc::MSG_OOB);
        }
        send(&part, 0);
        assert_eq!(looped.join(reader), Ok(BULK as u64 + 200));
        close(looped, &[fd]);
    });
}

fn a_reset_ends_a_read(looped: Looped) {
    for owned in [false, true] {
        let (fd, theirs) = tcp_pair();
        if owned {
            looped.opened(fd, false).unwrap();
        }
        in_fiber(looped, move || {
            let reader = go(looped, move || told(net::read(looped, fd, &mut [0; 8])));
            settle(looped);
            reset(&theirs);
            drop(theirs);
            assert_eq!(looped.join(reader), Ok(failed(libc::ECONNRESET)));
            assert_eq!(net::read(looped, fd, &mut [0; 8]), Ok(0), "an error is told once");
            assert!(net::write(looped, fd, b"x").is_err());
            close(looped, &[fd]);
        });
    }
}

fn a_reset_ends_a_write(looped: Looped) {
    for owned in [false, true] {
        let (fd, theirs) = tcp_pair();
        if owned {
            looped.opened(fd, false).unwrap();
        }
        in_fiber(looped, move || {
            let writer = go(looped, move || {
                let block = pattern(1 << 20);
                loop {
                    if let Err(error) = net::write(looped, fd, &block) {
                        return failed(error.0);
                    }
                }
            });
            settle(looped);
            reset(&theirs);
            drop(theirs);
            let end = looped.join(writer).unwrap();
            assert!([libc::ECONNRESET, libc::EPIPE].map(failed).contains(&end), "{}", end as i64);
            close(looped, &[fd]);
        });
    }
}

fn a_broken_pipe_raises_no_signal(looped: Looped) {
    static SIGNALS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: i32) {
        SIGNALS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler does one atomic addition.
    let before = unsafe { libc::signal(libc::SIGPIPE, count as *const () as libc::sighandler_t) };
    in_fiber(looped, move || {
        let fulls = [(); 3].map(|()| {
            let (fd, theirs) = pair();
            looped.deadline(Linux.now() + 2_000_000).unwrap();
            while net::write(looped, fd, &[0; 1 << 16]).is_ok() {}
            looped.deadline(0).unwrap();
            (fd, theirs)
        });
        static BLOCK: [u8; 5000] = [0; 5000];
        let fds = fulls.each_ref().map(|&(fd, _)| fd);
        let iov = libc::iovec { iov_base: BLOCK.as_ptr().cast_mut().cast(), iov_len: BLOCK.len() };
        // On this fiber's stack, which outlives the writers.
        let iov = &raw const iov;
        let writers = [
            Op::Write { fd: fds[0], buf: BLOCK.as_ptr(), len: 1 },
            Op::Send { fd: fds[1], buf: BLOCK.as_ptr(), len: BLOCK.len() },
            Op::Writev { fd: fds[2], iov, count: 1 },
        ]
        .map(|op| go(looped, move || word(perform(looped, op))));
        settle(looped);
        drop(fulls);
        all_told(looped, writers, failed(libc::EPIPE));
        // Neither those that need not wait.
        assert_eq!(net::write(looped, fds[0], b"x"), Err(Errno(libc::EPIPE)));
        assert_eq!(perform(looped, Op::Writev { fd: fds[2], iov, count: 1 }), -libc::EPIPE);
        close(looped, &fds);
    });
    // SAFETY: what was there before.
    unsafe { libc::signal(libc::SIGPIPE, before) };
    assert_eq!(SIGNALS.load(Ordering::Relaxed), 0);
}

fn an_operation_that_goes_on_is_no_fibers(looped: Looped) {
    let (fd, address) = listen();
    let refused = Rc::new(Cell::new(0));
    let witness = refused.clone();
    let client = TcpStream::connect(address).unwrap();
    in_fiber(looped, move || {
        witness.set(perform(looped, Op::Accept { fd, multi: true }));
        close(looped, &[fd]);
    });
    assert_eq!(refused.get(), -libc::EINVAL);
    drop(client);
}
