//! Closing: whoever waits is told, a reused number is a stranger, and what others close is found out.

mod common;

use common::*;
use nyario_core::conn::Kind;
use nyario_core::driver::Op;
use nyario_core::fiber::FiberId;
use nyario_core::net;
use nyario_core::runtime::Start;
use nyario_core::sys::{Errno, Fd};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{FromRawFd, OwnedFd};

scenarios!(on_loop: readers_and_writers_are_told, readers_of_our_own_are_told, readers_of_a_pipe_are_told,
    accepts_and_polls_are_told, a_connect_is_told, a_reused_number_is_a_stranger, bytes_received_ahead_go_with_their_connection,
    a_second_close_is_refused, an_unknown_descriptor_is_just_closed, numbers_that_are_none_are_refused,
    a_peer_sees_the_close_at_once, a_closed_server_serves_no_more, a_server_can_close_among_its_connections,
    a_handler_may_close_its_connection, the_sweep_finds_what_others_closed, the_sweep_finds_all_of_them,
    the_sweep_finds_a_number_that_was_reused, a_new_connection_meets_nothing_of_an_old_number,
    a_server_that_others_closed_ends, a_new_server_on_an_old_number);

const BAD: u64 = failed(libc::EBADF);

fn reader(looped: Looped, fd: Fd) -> FiberId {
    go(looped, move || told(net::read(looped, fd, &mut [0; 8])))
}

fn readers_and_writers_are_told(looped: Looped) {
    let (fd, theirs) = pair();
    in_fiber(looped, move || {
        let mut fibers: Vec<FiberId> = (0..3).map(|_| reader(looped, fd)).collect();
        let writer = || {
            go(looped, move || {
                let block = vec![0; 1 << 20];
                // What has gone out by the close is told first, the close then.
                loop {
                    if let Err(error) = net::write(looped, fd, &block) {
                        return failed(error.0);
                    }
                }
            })
        };
        fibers.extend((0..3).map(|_| writer()));
        settle(looped);
        assert_eq!(net::close(looped, fd), Ok(()));
        all_told(looped, fibers, BAD);
        drop(theirs);
    });
}

fn readers_of_our_own_are_told(looped: Looped) {
    let (fd, theirs) = tcp_pair();
    looped.opened(fd, false).unwrap();
    in_fiber(looped, move || {
        let fibers = [(); 3].map(|()| reader(looped, fd));
        settle(looped);
        assert_eq!(net::close(looped, fd), Ok(()));
        all_told(looped, fibers, BAD);
        assert_eq!(looped.connections(Kind::Client), 0);
        drop(theirs);
    });
}

fn readers_of_a_pipe_are_told(looped: Looped) {
    let (fd, write) = pipe();
    in_fiber(looped, move || {
        let fibers = [(); 3].map(|()| reader(looped, fd));
        settle(looped);
        assert_eq!(net::close(looped, fd), Ok(()));
        all_told(looped, fibers, BAD);
        net::close(looped, write).unwrap();
    });
}

fn accepts_and_polls_are_told(looped: Looped) {
    let (fd, _) = listen();
    in_fiber(looped, move || {
        let ops = [
            Op::Accept { fd, multi: false },
            Op::Poll { fd, events: libc::POLLIN as u32 },
            Op::Accept { fd, multi: false },
            Op::Poll { fd, events: libc::POLLIN as u32 },
        ];
        let fibers = ops.map(|op| go(looped, move || word(perform(looped, op))));
        settle(looped);
        assert_eq!(net::close(looped, fd), Ok(()));
        all_told(looped, fibers, BAD);
    });
}

fn a_connect_is_told(looped: Looped) {
    let (listener, address) = listen();
    // SAFETY: a call without memory. Listening again narrows the queue, and whoever finds it full has to wait.
    assert_eq!(unsafe { libc::listen(listener, 0) }, 0);
    let filler = TcpStream::connect(&address).unwrap();
    let port = address.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    in_fiber(looped, move || {
        let connect = |fd| {
            go(looped, move || {
                let mut raw = libc::sockaddr_in {
                    sin_family: libc::AF_INET as _,
                    sin_port: port.to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(std::net::Ipv4Addr::LOCALHOST).to_be() },
                    sin_zero: [0; 8],
                };
                let (addr, len) = ((&raw mut raw).cast_const().cast(), size_of_val(&raw) as u32);
                word(perform(looped, Op::Connect { fd, addr, len }))
            })
        };
        // SAFETY: calls without memory.
        let sockets =
            [(); 3].map(|()| unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) });
        let fibers = sockets.map(connect);
        settle(looped);
        close(looped, &sockets);
        let ends = fibers.map(|fiber| looped.join(fiber).unwrap());
        assert_eq!(ends[2], BAD, "the queue had no room for it");
        net::close(looped, listener).unwrap();
        drop(filler);
    });
}

/// Old waiters get EBADF and never the new connection's bytes.
fn a_reused_number_is_a_stranger(looped: Looped) {
    for owned in [false, true] {
        let (fd, old) = pair();
        if owned {
            looped.opened(fd, false).unwrap();
        }
        in_fiber(looped, move || {
            let mut old = old;
            for round in 0..20u8 {
                let waiters = [(); 2].map(|()| reader(looped, fd));
                settle(looped);
                close(looped, &[fd]);
                let mut theirs = pair_at(fd);
                if owned {
                    looped.opened(fd, false).unwrap();
                }
                theirs.write_all(&[round]).unwrap();
                all_told(looped, waiters, BAD);
                assert_eq!(read_exactly(looped, fd, 1), [round]);
                assert!(matches!(old.read(&mut [0; 8]), Ok(0)), "the old connection is closed");
                old = theirs;
            }
            net::close(looped, fd).unwrap();
        });
    }
}

fn bytes_received_ahead_go_with_their_connection(looped: Looped) {
    let (fd, mut theirs) = pair();
    looped.opened(fd, false).unwrap();
    in_fiber(looped, move || {
        theirs.write_all(b"x").unwrap();
        let first = reader(looped, fd);
        assert_eq!(looped.join(first), Ok(1));
        let next = reader(looped, fd);
        settle(looped);
        theirs.write_all(&[1; 500]).unwrap();
        assert_eq!(looped.join(next), Ok(8));
        settle(looped);
        net::close(looped, fd).unwrap();
        let mut theirs = pair_at(fd);
        looped.opened(fd, false).unwrap();
        theirs.write_all(b"new").unwrap();
        assert_eq!(read_exactly(looped, fd, 3), b"new");
        net::close(looped, fd).unwrap();
    });
}

fn a_second_close_is_refused(looped: Looped) {
    let (fd, theirs) = pair();
    in_fiber(looped, move || {
        let waiter = reader(looped, fd);
        settle(looped);
        let closers = [(); 3].map(|()| go(looped, move || told(net::close(looped, fd).map(|()| 0))));
        let late = reader(looped, fd);
        let mut ends = closers.map(|fiber| looped.join(fiber).unwrap());
        ends.sort();
        assert_eq!(ends, [0, BAD, BAD]);
        assert_eq!(looped.join(late), Ok(BAD), "nothing begins on what is being closed");
        assert_eq!(looped.join(waiter), Ok(BAD));
        assert_eq!(net::close(looped, fd), Err(Errno(libc::EBADF)));
        assert_eq!(net::read(looped, fd, &mut [0; 8]), Err(Errno(libc::EBADF)));
        drop(theirs);
    });
}

fn an_unknown_descriptor_is_just_closed(looped: Looped) {
    let (fd, mut theirs) = pair();
    in_fiber(looped, move || {
        assert_eq!(net::close(looped, fd), Ok(()));
        assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
    });
}

fn numbers_that_are_none_are_refused(looped: Looped) {
    in_fiber(looped, move || {
        for fd in [-1, i32::MIN, 999, 1 << 20, i32::MAX] {
            assert_eq!(net::close(looped, fd), Err(Errno(libc::EBADF)), "{fd}");
            assert_eq!(net::read(looped, fd, &mut [0; 8]), Err(Errno(libc::EBADF)), "{fd}");
            assert_eq!(net::write(looped, fd, b"x"), Err(Errno(libc::EBADF)), "{fd}");
            assert_eq!(perform(looped, Op::Poll { fd, events: 1 }), -libc::EBADF, "{fd}");
        }
    });
}

/// What was received ahead or is still asked for does not keep a connection open.
fn a_peer_sees_the_close_at_once(looped: Looped) {
    for outside in [false, true] {
        let (fd, mut theirs) = pair();
        looped.opened(fd, false).unwrap();
        let theirs = in_fiber(looped, move || {
            let waiter = reader(looped, fd);
            settle(looped);
            theirs.write_all(b"x").unwrap();
            assert_eq!(looped.join(waiter), Ok(1));
            if !outside {
                net::close(looped, fd).unwrap();
            }
            theirs
        });
        if outside {
            net::close(looped, fd).unwrap();
        }
        let mut theirs = theirs;
        theirs.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
    }
}

fn a_closed_server_serves_no_more(looped: Looped) {
    let (fd, address) = listen();
    looped.register(fd, Start::Lazy, |_| ()).unwrap();
    go(looped, move || {
        settle(looped);
        told(net::close(looped, fd).map(|()| 0))
    });
    // Without servers and fibers the loop ends by itself.
    looped.run().unwrap();
    assert!(TcpStream::connect(&address).is_err());
}

/// A server is closed while connections come in; those that were accepted are served or closed, none hangs.
fn a_server_can_close_among_its_connections(looped: Looped) {
    for _ in 0..10 {
        let (fd, address) = listen();
        looped.register(fd, Start::Eager, move |fd| say(looped, fd, b"hello")).unwrap();
        go(looped, move || {
            let mut clients: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(&address).unwrap()).collect();
            looped.yield_now().unwrap();
            net::close(looped, fd).unwrap();
            until(looped, || looped.connections(Kind::Accepted) == 0);
            for client in &mut clients {
                let mut greeting = Vec::new();
                match client.read_to_end(&mut greeting) {
                    Ok(_) => assert!(greeting.is_empty() || greeting == b"hello"),
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
                }
            }
            0
        });
        looped.run().unwrap();
    }
}

fn a_handler_may_close_its_connection(looped: Looped) {
    let (fd, address) = listen();
    looped
        .register(fd, Start::Eager, move |fd| {
            net::close(looped, fd).unwrap();
            // The number may be another connection's from here on, which the handler's end must not close.
            let (read, write) = pipe();
            net::write(looped, write, b"x").unwrap();
            settle(looped);
            assert_eq!(read_exactly(looped, read, 1), b"x");
            go(looped, move || {
                settle(looped);
                close(looped, &[read, write]);
                looped.stop();
                0
            });
        })
        .unwrap();
    let client = TcpStream::connect(&address).unwrap();
    looped.run().unwrap();
    assert_eq!((&client).read(&mut [0; 8]).unwrap(), 0);
}

fn the_sweep_finds_what_others_closed(looped: Looped) {
    let (read, write) = pipe();
    let (fd, theirs) = pair();
    in_fiber(looped, move || {
        let waiters = [read, fd].map(|fd| reader(looped, fd));
        settle(looped);
        close_behind(read);
        close_behind(fd);
        all_told(looped, waiters, BAD);
        close_behind(write);
        drop(theirs);
    });
}

fn the_sweep_finds_all_of_them(looped: Looped) {
    in_fiber(looped, move || {
        let pipes: Vec<(Fd, Fd)> = (0..300).map(|_| pipe()).collect();
        let mut waiters: Vec<FiberId> = pipes.iter().map(|&(read, _)| reader(looped, read)).collect();
        settle(looped);
        // More stay open than one sweep looks at.
        let (kept, closed) = pipes.split_at(150);
        closed.iter().for_each(|&(read, _)| close_behind(read));
        all_told(looped, waiters.split_off(150), BAD);
        kept.iter().for_each(|&(read, _)| close(looped, &[read]));
        all_told(looped, waiters, BAD);
        pipes.iter().for_each(|&(_, write)| close_behind(write));
    });
}

fn the_sweep_finds_a_number_that_was_reused(looped: Looped) {
    let (fd, theirs) = pair();
    in_fiber(looped, move || {
        let waiter = reader(looped, fd);
        settle(looped);
        let mut new = pair_at(fd);
        assert_eq!(looped.join(waiter), Ok(BAD));
        new.write_all(b"new").unwrap();
        assert_eq!(read_exactly(looped, fd, 3), b"new");
        net::close(looped, fd).unwrap();
        drop((theirs, new));
    });
}

fn a_new_connection_meets_nothing_of_an_old_number(looped: Looped) {
    let (fd, theirs) = pair();
    in_fiber(looped, move || {
        let waiter = reader(looped, fd);
        settle(looped);
        let mut new = pair_at(fd);
        looped.opened(fd, false).unwrap();
        new.write_all(b"new").unwrap();
        assert_eq!(read_exactly(looped, fd, 3), b"new");
        assert_eq!(looped.join(waiter), Ok(BAD));
        net::close(looped, fd).unwrap();
        drop(theirs);
    });
}

fn a_server_that_others_closed_ends(looped: Looped) {
    let (fd, _) = listen();
    looped.register(fd, Start::Lazy, |_| ()).unwrap();
    in_fiber(looped, move || {
        settle(looped);
        renumber(std::fs::File::open("/dev/null").unwrap(), fd);
    });
    // The loop came to its end, and the server's number belongs to somebody else by now.
    close_behind(fd);
}

fn a_new_server_on_an_old_number(looped: Looped) {
    let (fd, theirs) = pair();
    in_fiber(looped, move || {
        let waiter = reader(looped, fd);
        settle(looped);
        let (listener, address) = listen();
        // SAFETY: the number is ours.
        renumber(unsafe { OwnedFd::from_raw_fd(listener) }, fd);
        looped.register(fd, Start::Eager, move |fd| say(looped, fd, b"hello")).unwrap();
        assert_eq!(looped.join(waiter), Ok(BAD));
        for _ in 0..3 {
            let mut greeting = [0; 5];
            let client = net::dial(looped, &address).unwrap();
            greeting.copy_from_slice(&read_exactly(looped, client, 5));
            assert_eq!(&greeting, b"hello");
            net::close(looped, client).unwrap();
            looped.sleep(120_000_000).unwrap();
        }
        net::close(looped, fd).unwrap();
        drop(theirs);
    });
}
