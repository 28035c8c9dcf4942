//! Socket calls with flags, addresses and control data: nothing is lost or reordered, whoever asks and however.

mod common;

use common::*;
use nyario_core::driver::Op;
use nyario_core::net;
use nyario_core::sys::{Errno, Fd, Kernel, Linux};
use std::cell::Cell;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::rc::Rc;

scenarios!(on_loop: every_way_of_receiving_in_one_stream, an_end_has_no_sender, looking_takes_nothing, looking_sees_everything,
    not_waiting_needs_no_turn, not_waiting_gives_way, a_trunc_throws_away, descriptors_are_not_lost,
    descriptors_of_accepted_connections_are_not_lost, messages_stay_whole, a_full_inbox_is_waited_for,
    a_full_inbox_honours_deadlines_and_cancels, parts_go_out_whole, what_waits_is_ended_by_a_close,
    what_waits_is_cancelled, a_dialled_connection_off_a_fiber, accepted_with_an_address);

/// A connection of our own that already receives ahead, where the backend does.
fn received_ahead(looped: Looped) -> (Fd, std::net::TcpStream) {
    let (fd, mut theirs) = tcp_pair();
    looped.opened(fd, false).unwrap();
    let reading = go(looped, move || told(net::read(looped, fd, &mut [0; 1])));
    settle(looped);
    theirs.write_all(b"x").unwrap();
    assert_eq!(looped.join(reading), Ok(1));
    (fd, theirs)
}

/// A message that says that the end has come is filled in like any other.
fn an_end_has_no_sender(looped: Looped) {
    in_fiber(looped, move || {
        let (fd, theirs) = received_ahead(looped);
        let reading = go(looped, move || told(net::read(looped, fd, &mut [0; 1])));
        settle(looped);
        drop(theirs);
        assert_eq!(looped.join(reading), Ok(0));
        for flags in [libc::MSG_PEEK, 0, libc::MSG_DONTWAIT] {
            let (mut byte, mut name, mut control) = (0u8, [0u64; 4], [0u64; 8]);
            let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
            // SAFETY: a msghdr of zeroes is one without address, vectors and control data; what it gets outlives the call.
            unsafe {
                let mut msg: libc::msghdr = std::mem::zeroed();
                (msg.msg_iov, msg.msg_iovlen) = (&mut part, 1);
                (msg.msg_name, msg.msg_namelen) = (name.as_mut_ptr().cast(), 32);
                (msg.msg_control, msg.msg_controllen) = (control.as_mut_ptr().cast(), 64);
                assert_eq!(net::recvmsg(looped, fd, &mut msg, flags), Ok(0));
                assert_eq!((msg.msg_namelen, msg.msg_controllen), (0, 0));
            }
        }
        close(looped, &[fd]);
        0
    });
}

fn every_way_of_receiving_in_one_stream(looped: Looped) {
    const LEN: usize = 300_000;
    let bytes = pattern(LEN);
    let (fd, mut theirs) = tcp_pair();
    let sent = bytes.clone();
    let peer = move || {
        let mut random = 7u32;
        let mut rest = &sent[..];
        while !rest.is_empty() {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let count = (1 + (random >> 20) as usize).min(rest.len());
            theirs.write_all(&rest[..count]).unwrap();
            rest = &rest[count..];
            if random >> 16 & 7 == 0 {
                std::thread::sleep(std::time::Duration::from_micros(50));
            }
        }
        // Until everything has been received.
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    };
    go(looped, move || {
        looped.opened(fd, false).unwrap();
        let mut random = 11u32;
        let mut at = 0;
        let mut buf = vec![0u8; 6000];
        while at < LEN {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let len = (1 + (random >> 18) as usize % 5000).min(LEN - at);
            let buf = &mut buf[..len];
            buf.fill(0);
            let half = len / 2;
            let (one, other) = buf.split_at_mut(half);
            let part = |bytes: &mut [u8]| libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            let mut parts = [part(one), part(other)];
            // SAFETY: a msghdr of zeroes is one without address, vectors and control data.
            let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
            msg.msg_iov = parts.as_mut_ptr();
            msg.msg_iovlen = 2;
            let (mut kept, mut whole) = (false, false);
            let count = match random >> 28 {
                0 | 1 => net::read(looped, fd, buf),
                2 => net::recv(looped, fd, buf, 0),
                3 => net::recv(looped, fd, buf, libc::MSG_DONTWAIT),
                4 | 5 => {
                    kept = true;
                    net::recv(looped, fd, buf, libc::MSG_PEEK)
                }
                6 => {
                    kept = true;
                    net::recv(looped, fd, buf, libc::MSG_PEEK | libc::MSG_DONTWAIT)
                }
                7 => {
                    whole = true;
                    net::recv(looped, fd, buf, libc::MSG_WAITALL)
                }
                // SAFETY: the parts are valid until the calls return.
                8 | 9 => unsafe { net::recvmsg(looped, fd, &mut msg, 0) },
                10 => {
                    kept = true;
                    // SAFETY: as above.
                    unsafe { net::recvmsg(looped, fd, &mut msg, libc::MSG_PEEK) }
                }
                11 => {
                    whole = true;
                    // SAFETY: as above.
                    unsafe { net::recvmsg(looped, fd, &mut msg, libc::MSG_WAITALL) }
                }
                // SAFETY: as above.
                12 => unsafe { net::recvmsg(looped, fd, &mut msg, libc::MSG_DONTWAIT) },
                // SAFETY: as above.
                13 => unsafe { net::readv(looped, fd, &parts) },
                14 => net::recv(looped, fd, buf, libc::MSG_NOSIGNAL),
                _ => {
                    looped.yield_now().unwrap();
                    continue;
                }
            };
            let count = match count {
                Err(Errno(libc::EAGAIN)) => continue,
                count => count.unwrap(),
            };
            assert!(count > 0 && (!whole || count == len), "{count} of {len} at {at}");
            assert!(buf[..count] == bytes[at..at + count], "the bytes at {at} are others");
            at += if kept { 0 } else { count };
        }
        close(looped, &[fd]);
        0
    });
    run_beside(looped, peer);
}

fn looking_takes_nothing(looped: Looped) {
    in_fiber(looped, move || {
        let (fd, mut theirs) = received_ahead(looped);
        theirs.write_all(b"look here").unwrap();
        settle(looped);
        for _ in 0..3 {
            let mut buf = [0; 4];
            assert_eq!(net::recv(looped, fd, &mut buf, libc::MSG_PEEK), Ok(4));
            assert_eq!(&buf, b"look");
        }
        assert_eq!(read_exactly(looped, fd, 9), b"look here");
        // Who looks while nothing is there is shown what comes, and whoever reads next gets it.
        let looking = go(looped, move || told(net::recv(looped, fd, &mut [0; 3], libc::MSG_PEEK)));
        settle(looped);
        let reading = go(looped, move || told(net::read(looped, fd, &mut [0; 8])));
        settle(looped);
        theirs.write_all(b"abc").unwrap();
        assert_eq!((looped.join(looking), looped.join(reading)), (Ok(3), Ok(3)));
        drop(theirs);
        assert_eq!(net::recv(looped, fd, &mut [0; 3], libc::MSG_PEEK), Ok(0));
        assert_eq!(net::recv(looped, fd, &mut [0; 3], 0), Ok(0));
        close(looped, &[fd]);
    });
}

/// Programs look until as much is there as they need.
fn looking_sees_everything(looped: Looped) {
    const LEN: usize = 40_000;
    in_fiber(looped, move || {
        let (fd, mut theirs) = received_ahead(looped);
        let bytes = pattern(LEN);
        for piece in [&bytes[..10], &bytes[10..300], &bytes[300..]] {
            theirs.write_all(piece).unwrap();
            settle(looped);
        }
        let mut seen = vec![0; LEN];
        while net::recv(looped, fd, &mut seen, libc::MSG_PEEK).unwrap() < LEN {
            looped.yield_now().unwrap();
        }
        assert!(seen == bytes);
        assert!(read_exactly(looped, fd, LEN) == bytes);
        close(looped, &[fd]);
    });
}

fn not_waiting_needs_no_turn(looped: Looped) {
    in_fiber(looped, move || {
        for ahead in [true, false] {
            let (fd, mut theirs) = if ahead { received_ahead(looped) } else { tcp_pair() };
            let now = |buf: &mut [u8]| net::recv(looped, fd, buf, libc::MSG_DONTWAIT);
            assert_eq!(now(&mut [0; 4]), Err(Errno(libc::EAGAIN)));
            theirs.write_all(b"word").unwrap();
            // Nobody lets the loop look at the kernel here.
            let mut buf = [0; 4];
            while now(&mut buf) == Err(Errno(libc::EAGAIN)) {}
            assert_eq!(&buf, b"word");
            assert_eq!(now(&mut buf), Err(Errno(libc::EAGAIN)));
            drop(theirs);
            while now(&mut buf) == Err(Errno(libc::EAGAIN)) {}
            assert_eq!(now(&mut buf), Ok(0));
            close(looped, &[fd]);
        }
    });
}

/// Whoever waits comes before whoever does not.
fn not_waiting_gives_way(looped: Looped) {
    in_fiber(looped, move || {
        let (fd, mut theirs) = received_ahead(looped);
        let reading = go(looped, move || {
            let bytes = read_exactly(looped, fd, 1);
            u64::from(bytes[0])
        });
        settle(looped);
        theirs.write_all(b"12").unwrap();
        assert_eq!(net::recv(looped, fd, &mut [0; 2], libc::MSG_DONTWAIT), Err(Errno(libc::EAGAIN)));
        assert_eq!(looped.join(reading), Ok(u64::from(b'1')));
        assert_eq!(read_exactly(looped, fd, 1), b"2");
        close(looped, &[fd]);
    });
}

fn a_trunc_throws_away(looped: Looped) {
    in_fiber(looped, move || {
        let (fd, mut theirs) = received_ahead(looped);
        theirs.write_all(b"0123456789").unwrap();
        settle(looped);
        let mut buf = *b"....";
        assert_eq!(net::recv(looped, fd, &mut buf, libc::MSG_TRUNC), Ok(4));
        assert_eq!(&buf, b"....");
        assert_eq!(read_exactly(looped, fd, 6), b"456789");
        close(looped, &[fd]);
    });
}

/// Sends a descriptor with one byte, as another program would.
fn pass(over: &impl AsRawFd, byte: u8, passed: Fd) {
    let mut part = libc::iovec { iov_base: (&raw const byte).cast_mut().cast(), iov_len: 1 };
    let mut control = [0u64; 4];
    // SAFETY: the control buffer has room for a header and a descriptor, and all of it outlives the call.
    unsafe {
        let mut msg: libc::msghdr = std::mem::zeroed();
        msg.msg_iov = &mut part;
        msg.msg_iovlen = 1;
        msg.msg_control = control.as_mut_ptr().cast();
        msg.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = libc::CMSG_FIRSTHDR(&msg);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header).cast::<Fd>().write_unaligned(passed);
        assert_eq!(Linux.sendmsg(over.as_raw_fd(), &msg, 0), 1);
    }
}

/// Receives a byte and the descriptor that comes with it.
fn take(looped: Looped, over: Fd) -> (u8, Option<Fd>) {
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut control = [0u64; 4];
    // SAFETY: as in `pass`.
    unsafe {
        let mut msg: libc::msghdr = std::mem::zeroed();
        msg.msg_iov = &mut part;
        msg.msg_iovlen = 1;
        msg.msg_control = control.as_mut_ptr().cast();
        msg.msg_controllen = size_of_val(&control) as _;
        assert_eq!(net::recvmsg(looped, over, &mut msg, 0), Ok(1));
        let header = libc::CMSG_FIRSTHDR(&msg);
        let passed = (!header.is_null()).then(|| libc::CMSG_DATA(header).cast::<Fd>().read_unaligned());
        (byte, passed)
    }
}

/// A descriptor may come while nobody receives, right behind bytes that were read as bytes.
fn check_passing(looped: Looped, fd: Fd, mut theirs: UnixStream) {
    for round in 0..3 {
        let reading = go(looped, move || told(net::read(looped, fd, &mut [0; 16])));
        settle(looped);
        theirs.write_all(b"bytes").unwrap();
        assert_eq!(looped.join(reading), Ok(5));
        let (inner, outer) = UnixStream::pair().unwrap();
        pass(&theirs, round, inner.as_raw_fd());
        drop(inner);
        settle(looped);
        let (byte, passed) = take(looped, fd);
        let passed = passed.expect("a descriptor came with it");
        assert_eq!(byte, round);
        // SAFETY: a call without memory.
        assert_eq!(unsafe { libc::fcntl(passed, libc::F_GETFD) }, libc::FD_CLOEXEC);
        (&outer).write_all(b"through").unwrap();
        assert_eq!(read_exactly(looped, passed, 7), b"through");
        close(looped, &[passed]);
    }
    close(looped, &[fd]);
}

fn descriptors_are_not_lost(looped: Looped) {
    let listener = fresh_listener();
    in_fiber(looped, move || {
        let fd = net::dial(looped, &listener.1).unwrap();
        let theirs = listener.0.accept().unwrap().0;
        std::fs::remove_file(&listener.1).unwrap();
        check_passing(looped, fd, theirs);
    });
}

fn descriptors_of_accepted_connections_are_not_lost(looped: Looped) {
    let (std_listener, path) = fresh_listener();
    in_fiber(looped, move || {
        let theirs = UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let listener = std_listener.into_raw_fd();
        // SAFETY: no address is asked for.
        let fd = unsafe { net::accept(looped, listener, None) }.unwrap();
        check_passing(looped, fd, theirs);
        close(looped, &[listener]);
    });
}

fn fresh_listener() -> (std::os::unix::net::UnixListener, String) {
    let path = std::env::temp_dir().join(format!("nyario-messages-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    (std::os::unix::net::UnixListener::bind(&path).unwrap(), path.to_str().unwrap().into())
}

fn messages_stay_whole(looped: Looped) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let fd = ours.into_raw_fd();
    in_fiber(looped, move || {
        for entered in [false, true] {
            if entered {
                looped.opened(fd, false).unwrap();
            }
            let waiting = go(looped, move || told(net::recv(looped, fd, &mut [0; 2], libc::MSG_TRUNC)));
            settle(looped);
            theirs.send(b"four").unwrap();
            assert_eq!(looped.join(waiting), Ok(4), "its whole length is told");
            for message in [&b"one"[..], b"", b"three"] {
                theirs.send(message).unwrap();
            }
            let mut buf = [0; 16];
            assert_eq!(net::recv(looped, fd, &mut buf, libc::MSG_WAITALL), Ok(3));
            assert_eq!(net::recv(looped, fd, &mut buf, 0), Ok(0), "an empty message is one");
            assert_eq!(net::recv(looped, fd, &mut buf, libc::MSG_PEEK), Ok(5));
            assert_eq!(net::recv(looped, fd, &mut buf[..2], 0), Ok(2));
            assert_eq!(net::recv(looped, fd, &mut buf, libc::MSG_DONTWAIT), Err(Errno(libc::EAGAIN)));
            assert_eq!(net::send(looped, fd, b"", 0), Ok(0));
            assert_eq!(net::send(looped, fd, b"back", libc::MSG_DONTWAIT), Ok(4));
            let mut buf = [0; 16];
            assert_eq!((theirs.recv(&mut buf).unwrap(), theirs.recv(&mut buf).unwrap()), (0, 4));
        }
        close(looped, &[fd]);
    });
}

/// An unbound datagram socket, a bound one, and the address of the latter in the kernel's form.
fn datagrams() -> (Fd, UnixDatagram, Rc<libc::sockaddr_un>, u32) {
    let path = std::env::temp_dir().join(format!("nyario-inbox-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let bound = UnixDatagram::bind(&path).unwrap();
    let ours = UnixDatagram::unbound().unwrap().into_raw_fd();
    // SAFETY: zeroes are a valid sockaddr_un.
    let mut addr: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    addr.sun_family = libc::AF_UNIX as _;
    for (slot, &byte) in addr.sun_path.iter_mut().zip(path.to_str().unwrap().as_bytes()) {
        *slot = byte as _;
    }
    (ours, bound, Rc::new(addr), size_of::<libc::sockaddr_un>() as u32)
}

fn remove_inbox() {
    std::fs::remove_file(std::env::temp_dir().join(format!("nyario-inbox-{}", std::process::id()))).unwrap();
}

fn a_full_inbox_is_waited_for(looped: Looped) {
    const MESSAGES: usize = 2000;
    let (fd, inbox, addr, len) = datagrams();
    let sent = Rc::new(Cell::new(0));
    let progress = sent.clone();
    in_fiber(looped, move || {
        let sending = go(looped, move || {
            for number in 0..MESSAGES {
                let bytes = number.to_le_bytes();
                // SAFETY: the address outlives the call.
                let count = unsafe { net::sendto(looped, fd, &bytes, 0, (Rc::as_ptr(&addr).cast(), len)) };
                assert_eq!(count, Ok(bytes.len()));
                progress.set(number + 1);
            }
            0
        });
        settle(looped);
        assert!(sent.get() < MESSAGES, "the inbox is bounded");
        inbox.set_nonblocking(true).unwrap();
        let mut next = 0;
        while next < MESSAGES {
            let mut buf = [0; 8];
            match inbox.recv(&mut buf) {
                Ok(8) => {
                    assert_eq!(usize::from_le_bytes(buf), next);
                    next += 1;
                }
                _ => looped.sleep(100_000).unwrap(),
            }
        }
        assert_eq!(looped.join(sending), Ok(0));
        close(looped, &[fd]);
        remove_inbox();
    });
}

fn a_full_inbox_honours_deadlines_and_cancels(looped: Looped) {
    let (fd, inbox, addr, len) = datagrams();
    in_fiber(looped, move || {
        let send = move |flags, addr: &Rc<libc::sockaddr_un>| {
            // SAFETY: the address outlives the call.
            unsafe { net::sendto(looped, fd, b"once more", flags, (Rc::as_ptr(addr).cast(), len)) }
        };
        while send(libc::MSG_DONTWAIT, &addr) != Err(Errno(libc::EAGAIN)) {}
        let ours = addr.clone();
        let late = go(looped, move || {
            looped.deadline(looped.kernel().now() + 3_000_000).unwrap();
            told(send(0, &ours))
        });
        assert_eq!(looped.join(late), Ok(failed(libc::ETIMEDOUT)));
        let waiting = go(looped, move || told(send(0, &addr)));
        settle(looped);
        looped.cancel(waiting).unwrap();
        assert_eq!(looped.join(waiting), Ok(failed(libc::ECANCELED)));
        close(looped, &[fd]);
        drop(inbox);
        remove_inbox();
    });
}

fn parts_go_out_whole(looped: Looped) {
    const LEN: usize = 3 << 20;
    let (fd, mut theirs) = pair();
    let bytes = pattern(LEN);
    let expected = bytes.clone();
    let peer = move || {
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        assert!(all == expected);
    };
    go(looped, move || {
        let cut = |bytes: &[u8]| -> Vec<libc::iovec> {
            let part = |part: &[u8]| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
            bytes.chunks(bytes.len() / 70).map(part).collect()
        };
        let (first, rest) = bytes.split_at(LEN / 3);
        let (second, third) = rest.split_at(LEN / 3);
        let mut parts = cut(first);
        // SAFETY: a msghdr of zeroes is one without address, vectors and control data; the parts outlive the calls.
        unsafe {
            let mut msg: libc::msghdr = std::mem::zeroed();
            msg.msg_iov = parts.as_mut_ptr();
            msg.msg_iovlen = parts.len() as _;
            assert_eq!(net::sendmsg(looped, fd, &msg, libc::MSG_MORE), Ok(first.len()));
            assert_eq!(net::writev(looped, fd, &cut(second)), Ok(second.len()));
        }
        assert_eq!(net::send(looped, fd, third, libc::MSG_MORE), Ok(third.len()));
        close(looped, &[fd]);
        0
    });
    run_beside(looped, peer);
}

/// Sends until that fails. What found no room may find some later, as the kernel acknowledges with a delay.
fn sends_on(send: impl Fn() -> Result<usize, Errno>) -> u64 {
    loop {
        if let Err(error) = send() {
            return failed(error.0);
        }
    }
}

/// A fiber for each call with flags that waits on a full connection from which nothing comes.
fn waiting(looped: Looped, fd: Fd) -> Vec<nyario_core::fiber::FiberId> {
    // SAFETY: a msghdr of zeroes is one without address, vectors and control data.
    let empty = || unsafe { std::mem::zeroed::<libc::msghdr>() };
    let calls: [Box<dyn Fn() -> u64>; 4] = [
        Box::new(move || told(net::recv(looped, fd, &mut [0; 8], libc::MSG_PEEK))),
        Box::new(move || {
            let mut byte = 0u8;
            let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
            let mut msg = empty();
            (msg.msg_iov, msg.msg_iovlen) = (&mut part, 1);
            // SAFETY: all of it outlives the call.
            told(unsafe { net::recvmsg(looped, fd, &mut msg, 0) })
        }),
        Box::new(move || sends_on(|| net::send(looped, fd, b"more", libc::MSG_MORE))),
        Box::new(move || {
            let mut part = libc::iovec { iov_base: b"more".as_ptr().cast_mut().cast(), iov_len: 4 };
            let mut msg = empty();
            (msg.msg_iov, msg.msg_iovlen) = (&mut part, 1);
            // SAFETY: all of it outlives the calls.
            sends_on(|| unsafe { net::sendmsg(looped, fd, &msg, 0) })
        }),
    ];
    let fibers = calls.into_iter().map(|call| go(looped, call)).collect();
    settle(looped);
    fibers
}

fn fill(looped: Looped, fd: Fd) {
    while net::send(looped, fd, &[0; 4096], libc::MSG_DONTWAIT) != Err(Errno(libc::EAGAIN)) {}
}

fn what_waits_is_ended_by_a_close(looped: Looped) {
    in_fiber(looped, move || {
        for owned in [false, true] {
            let (fd, theirs) = if owned { received_ahead(looped) } else { tcp_pair() };
            fill(looped, fd);
            let fibers = waiting(looped, fd);
            close(looped, &[fd]);
            all_told(looped, fibers, failed(libc::EBADF));
            drop(theirs);
        }
    });
}

fn what_waits_is_cancelled(looped: Looped) {
    in_fiber(looped, move || {
        for owned in [false, true] {
            let (fd, theirs) = if owned { received_ahead(looped) } else { tcp_pair() };
            fill(looped, fd);
            let fibers = waiting(looped, fd);
            fibers.iter().for_each(|&fiber| looped.cancel(fiber).unwrap());
            all_told(looped, fibers, failed(libc::ECANCELED));
            close(looped, &[fd]);
            drop(theirs);
        }
    });
}

/// The loop may hold bytes of a connection that somebody off a fiber asks for.
fn a_dialled_connection_off_a_fiber(looped: Looped) {
    let (fd, mut theirs) = in_fiber(looped, move || received_ahead(looped));
    theirs.write_all(b"to whoever asks").unwrap();
    let mut buf = [0; 15];
    while net::recv(looped, fd, &mut buf[..2], libc::MSG_DONTWAIT | libc::MSG_PEEK) == Err(Errno(libc::EAGAIN)) {}
    assert_eq!(net::recv(looped, fd, &mut buf[..2], libc::MSG_PEEK), Ok(2));
    assert_eq!(net::recv(looped, fd, &mut buf, libc::MSG_WAITALL), Ok(15));
    assert_eq!(&buf, b"to whoever asks");
    close(looped, &[fd]);
}

fn accepted_with_an_address(looped: Looped) {
    in_fiber(looped, move || {
        let (listener, address) = listen();
        // SAFETY: zeroes are an address of no family.
        let mut peer: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        let mut len = size_of_val(&peer) as u32;
        let dialling = go(looped, move || {
            settle(looped);
            let fd = net::dial(looped, &address).unwrap();
            say(looped, fd, b"hello");
            fd as u64
        });
        // SAFETY: both places outlive the call.
        let fd = unsafe { net::accept(looped, listener, Some(((&raw mut peer).cast(), &mut len))) }.unwrap();
        let client = looped.join(dialling).unwrap() as Fd;
        let net::Address::Inet(own) = net::Address::of_socket(&Linux, client).unwrap() else { panic!("TCP") };
        assert_eq!((len as usize, u16::from_be(peer.sin_port)), (size_of_val(&peer), own.port()));
        assert_eq!(read_exactly(looped, fd, 5), b"hello");
        close(looped, &[fd, client]);
        let accepting = go(looped, move || {
            // SAFETY: no address is asked for.
            word(unsafe { net::accept(looped, listener, None) }.unwrap_or_else(|error| error.result()))
        });
        settle(looped);
        assert_eq!(perform(looped, Op::Close { fd: listener }), 0);
        assert_eq!(looped.join(accepting), Ok(failed(libc::EBADF)));
    });
}
