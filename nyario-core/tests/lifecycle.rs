//! Beginnings and ends: what a run leaves behind, loops that never run, calls without a fiber, and forks.

mod common;

use common::*;
use nyario_core::conn::Kind;
use nyario_core::driver::{Config, Op};
use nyario_core::fiber::Loop;
use nyario_core::local;
use nyario_core::net;
use nyario_core::runtime::Start;
use nyario_core::sys::{Errno, Kernel, Linux};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

scenarios!(on_config: a_run_leaves_nothing_behind, a_loop_runs_again, a_loop_goes_without_a_run, fibers_that_never_ran_go_with_their_code,
    an_end_refuses_whatever_begins, a_stubborn_fiber_is_given_up, connections_that_come_at_the_end_are_closed,
    a_call_without_a_fiber_blocks, what_was_received_ahead_is_read_without_a_fiber, a_connect_without_a_fiber,
    a_child_has_a_loop_of_its_own, programs_inherit_nothing, a_child_can_leave_its_parents_loop_unused);

/// Everything that a loop can hold when it is stopped.
fn a_run_leaves_nothing_behind(config: &Config) {
    with_loop(config, |looped| {
        let before = open_descriptors();
        let (lazy, lazy_address) = listen();
        let (eager, eager_address) = listen();
        looped.register(lazy, Start::Lazy, move |fd| echo(looped, fd)).unwrap();
        looped.register(eager, Start::Eager, move |fd| echo(looped, fd)).unwrap();
        let ended = Rc::new(Cell::new(0));
        let mut fibers = 0;
        let mut parked = |op: Box<dyn Fn() -> i32>| {
            let ended = ended.clone();
            fibers += 1;
            go(looped, move || {
                assert_eq!(op(), -libc::ECANCELED);
                ended.set(ended.get() + 1);
                0
            });
        };
        let (read, write) = pipe();
        let (ours, mut theirs) = pair();
        parked(Box::new(move || net::read(looped, read, &mut [0; 8]).map_or_else(|error| error.result(), |_| 0)));
        parked(Box::new(move || net::read(looped, ours, &mut [0; 8]).map_or_else(|error| error.result(), |_| 0)));
        parked(Box::new(move || looped.sleep(u64::MAX).map_or_else(|error| error.result(), |_| 0)));
        parked(Box::new(move || perform(looped, Op::Poll { fd: read, events: 1 })));
        let clients = run_beside(looped, move || {
            let mut clients = Vec::new();
            for address in [&lazy_address, &eager_address] {
                // Idle ones, some in the middle of a conversation, and some whose bytes nobody reads.
                for number in 0..30 {
                    let mut client = TcpStream::connect(address).unwrap();
                    if number % 3 > 0 {
                        client.write_all(b"hello").unwrap();
                        client.read_exact(&mut [0; 5]).unwrap();
                    }
                    if number % 3 > 1 {
                        client.write_all(&[1; 30_000]).unwrap();
                    }
                    clients.push(client);
                }
            }
            clients
        });
        assert_eq!(ended.get(), fibers);
        assert_eq!([Kind::Server, Kind::Accepted].map(|kind| looped.connections(kind)), [0, 0]);
        for mut client in clients {
            client.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
            let mut rest = Vec::new();
            let end = client.read_to_end(&mut rest);
            assert!(end.is_ok() || end.unwrap_err().kind() == std::io::ErrorKind::ConnectionReset);
        }
        theirs.write_all(b"still open").unwrap();
        assert_eq!(read_exactly(looped, ours, 10), b"still open", "what the loop did not open it does not close");
        close(looped, &[read, write, ours]);
        drop(theirs);
        assert_eq!(open_descriptors(), before);
    });
}

fn a_loop_runs_again(config: &Config) {
    with_loop(config, |looped| {
        for round in 0..5u8 {
            let (fd, address) = listen();
            looped.register(fd, Start::Lazy, move |fd| echo(looped, fd)).unwrap();
            run_beside(looped, move || {
                let mut client = TcpStream::connect(address).unwrap();
                client.write_all(&[round]).unwrap();
                let mut answer = [0];
                client.read_exact(&mut answer).unwrap();
                assert_eq!(answer, [round]);
            });
            assert_eq!(in_fiber(looped, move || round), round);
        }
    });
}

fn a_loop_goes_without_a_run(config: &Config) {
    with_loop(config, |looped| {
        for start in [Start::Lazy, Start::Eager] {
            let (fd, address) = listen();
            looped.register(fd, start, |_| panic!("nothing runs")).unwrap();
            let client = TcpStream::connect(address).unwrap();
            // It waits in the listener's queue, and goes with it.
            drop(client);
        }
        let (fd, theirs) = pair();
        looped.opened(fd, false).unwrap();
        close(looped, &[fd]);
        drop(theirs);
    });
}

fn fibers_that_never_ran_go_with_their_code(config: &Config) {
    let owned = Rc::new(());
    with_loop(config, |looped| {
        for number in 0..50u64 {
            let owned = owned.clone();
            // Of several sizes, so that what lies on the stack is found wherever it begins.
            match number % 3 {
                0 => go(looped, move || panic!("nothing runs: {owned:?}")),
                1 => go(looped, move || std::hint::black_box((owned, [number; 9])).1[0]),
                _ => go(looped, move || std::hint::black_box((owned, [number; 900])).1[0]),
            };
        }
        assert_eq!(looped.fibers(), 50);
    });
    assert_eq!(Rc::strong_count(&owned), 1);
}

fn an_end_refuses_whatever_begins(config: &Config) {
    with_loop(config, |looped| {
        let (fd, theirs) = pair();
        go(looped, move || {
            looped.stop();
            assert_eq!(looped.sleep(u64::MAX), Err(Errno(libc::ECANCELED)));
            assert_eq!(looped.sleep(1), Err(Errno(libc::ECANCELED)));
            assert_eq!(net::read(looped, fd, &mut [0; 8]), Err(Errno(libc::ECANCELED)));
            assert_eq!(looped.yield_now(), Err(Errno(libc::ECANCELED)));
            assert_eq!(looped.spawn(Default::default(), || 0), Err(Errno(libc::ECANCELED)));
            assert_eq!(net::close(looped, fd), Ok(()), "closing is not refused");
            0
        });
        looped.run().unwrap();
        assert_eq!(looped.fibers(), 0);
        drop(theirs);
    });
}

fn a_stubborn_fiber_is_given_up(config: &Config) {
    // The stacks and records of the abandoned stay, as something may still refer to them.
    expect_leftovers();
    with_loop(config, |looped| {
        let tries = Rc::new(Cell::new(0));
        let witness = tries.clone();
        go(looped, move || {
            loop {
                witness.set(witness.get() + 1);
                looped.sleep(u64::MAX).ok();
            }
        });
        // Those that heed the refusal end all the same, however many they are.
        for _ in 0..3000 {
            go(looped, move || told(looped.sleep(u64::MAX).map(|()| 0)));
        }
        run_beside(looped, || std::thread::sleep(std::time::Duration::from_millis(20)));
        assert_eq!(looped.fibers(), 1);
        assert!(tries.get() > 10);
    });
}

fn connections_that_come_at_the_end_are_closed(config: &Config) {
    with_loop(config, |looped| {
        for start in [Start::Lazy, Start::Eager] {
            let before = open_descriptors();
            let (fd, address) = listen();
            looped.register(fd, start, move |fd| echo(looped, fd)).unwrap();
            let clients = Rc::new(Cell::new(Vec::new()));
            let place = clients.clone();
            go(looped, move || {
                settle(looped);
                place.set((0..40).map(|_| TcpStream::connect(&address).unwrap()).collect());
                looped.stop();
                0
            });
            looped.run().unwrap();
            for mut client in clients.take() {
                assert!(!matches!(client.read(&mut [0; 8]), Ok(1..)));
            }
            assert_eq!(open_descriptors(), before);
        }
    });
}

fn a_call_without_a_fiber_blocks(config: &Config) {
    with_loop(config, |looped| {
        let (fd, theirs) = pair();
        let begin = Linux.now();
        let later = |work: fn(UnixStream)| {
            let theirs = theirs.try_clone().unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(2));
                work(theirs);
            })
        };
        let writer = later(|mut theirs| theirs.write_all(b"late").unwrap());
        assert_eq!(read_exactly(looped, fd, 4), b"late");
        writer.join().unwrap();
        let writer = later(|mut theirs| theirs.write_all(b"x").unwrap());
        assert_eq!(perform(looped, Op::Poll { fd, events: 1 }), 1);
        writer.join().unwrap();
        let reader = later(|mut theirs| assert_eq!(read_all(&mut theirs), pattern(3 << 20)));
        assert_eq!(net::write(looped, fd, &pattern(3 << 20)), Ok(3 << 20));
        close(looped, &[fd]);
        drop(theirs);
        reader.join().unwrap();
        looped.sleep(2_000_000).unwrap();
        assert!(Linux.now() >= begin + 6_000_000);
        assert_eq!(net::read(looped, fd, &mut [0; 8]), Err(Errno(libc::EBADF)));
        assert_eq!(perform(looped, Op::Park), -libc::EINVAL, "nothing could end it");
    });
}

fn read_all(stream: &mut UnixStream) -> Vec<u8> {
    let mut all = vec![0; 3 << 20];
    stream.read_exact(&mut all).unwrap();
    all
}

fn what_was_received_ahead_is_read_without_a_fiber(config: &Config) {
    with_loop(config, |looped| {
        let (fd, mut theirs) = pair();
        looped.opened(fd, false).unwrap();
        let mut theirs = in_fiber(looped, move || {
            let reader = go(looped, move || told(net::read(looped, fd, &mut [0; 1])));
            settle(looped);
            theirs.write_all(&pattern(50)).unwrap();
            assert_eq!(looped.join(reader), Ok(1));
            settle(looped);
            theirs
        });
        let late = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(2));
            theirs.write_all(b"and more").unwrap();
            theirs
        });
        let mut rest = pattern(50)[1..].to_vec();
        rest.extend(b"and more");
        assert_eq!(read_exactly(looped, fd, rest.len()), rest);
        drop(late.join().unwrap());
        assert_eq!(net::read(looped, fd, &mut [0; 8]), Ok(0));
        close(looped, &[fd]);
    });
}

fn a_connect_without_a_fiber(config: &Config) {
    with_loop(config, |looped| {
        let (fd, address) = listen();
        let client = net::dial(looped, &address).unwrap();
        let accepted = perform(looped, Op::Accept { fd, multi: false });
        say(looped, client, b"hello");
        assert_eq!(read_exactly(looped, accepted, 5), b"hello");
        close(looped, &[client, accepted, fd]);
        assert_eq!(net::dial(looped, &address), Err(Errno(libc::ECONNREFUSED)));
    });
}

/// Runs `work` in a forked child, which must come to the end of it.
fn in_child(work: impl FnOnce()) {
    // SAFETY: the child goes on alone; it does nothing but `work` and leaves without the parent's clean-up.
    match unsafe { libc::fork() } {
        0 => {
            let well = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
            // SAFETY: a call without memory.
            unsafe { libc::_exit(if well { 0 } else { 1 }) }
        }
        child => {
            let mut status = 0;
            // SAFETY: the status outlives the call.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0, "the child ends well");
        }
    }
}

/// An exchange over a fresh pair, on the calling thread's own loop.
fn own_exchange(bytes: &'static [u8]) -> Vec<u8> {
    let looped: &'static Loop = local::get().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (ours, theirs) = (ours.into_raw_fd(), theirs.into_raw_fd());
    [ours, theirs].iter().for_each(|&fd| looped.opened(fd, false).unwrap());
    let heard = in_fiber(looped, move || {
        let reader = go(looped, move || u64::from(read_exactly(looped, theirs, bytes.len()) == bytes));
        looped.sleep(100_000).unwrap();
        say(looped, ours, bytes);
        assert_eq!(looped.join(reader), Ok(1));
        bytes.to_vec()
    });
    close(looped, &[ours, theirs]);
    heard
}

/// Runs `work` with a thread of its own and the backend chosen, for loops that are their thread's.
fn on_own_thread(config: &Config, work: impl FnOnce() + Send) {
    let name = config.backend.unwrap().name();
    let before = std::env::var_os("NYARIO_BACKEND");
    // SAFETY: scenarios take turns, and nothing else reads the environment meanwhile.
    unsafe { std::env::set_var("NYARIO_BACKEND", name) };
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap();
    match before {
        // SAFETY: as above.
        Some(before) => unsafe { std::env::set_var("NYARIO_BACKEND", before) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var("NYARIO_BACKEND") },
    }
}

/// A program that is started while a loop is at work finds none of its descriptors.
fn programs_inherit_nothing(config: &Config) {
    let before = open_descriptors();
    with_loop(config, |looped| {
        let (fd, address) = listen();
        let (server, served) = listen();
        looped.register(server, Start::Eager, move |fd| echo(looped, fd)).unwrap();
        let inherited = in_fiber(looped, move || {
            let acceptor = go(looped, move || word(perform(looped, Op::Accept { fd, multi: false })));
            let clients = [&address, &served].map(|address| net::dial(looped, address).unwrap());
            let accepted = looped.join(acceptor).unwrap() as i32;
            until(looped, || looped.connections(Kind::Accepted) == 1);
            let mut ours = open_descriptors();
            // SAFETY: a call without memory.
            let inherited = |fd: i32| unsafe { libc::fcntl(fd, libc::F_GETFD) } & libc::FD_CLOEXEC == 0;
            ours.retain(|fd, _| !before.contains_key(fd) && inherited(*fd));
            close(looped, &clients);
            close(looped, &[fd, accepted]);
            looped.stop();
            ours
        });
        assert!(inherited.is_empty(), "{inherited:?}");
    });
}

fn a_child_has_a_loop_of_its_own(config: &Config) {
    on_own_thread(config, || {
        let parents: *const Loop = local::get().unwrap();
        assert_eq!(own_exchange(b"before"), b"before");
        let forks = local::forks();
        for _ in 0..2 {
            in_child(|| {
                assert!(local::current().is_none(), "the parent's loop is not the child's");
                assert_ne!(local::forks(), forks);
                assert_eq!(own_exchange(b"in the child"), b"in the child");
                let childs: *const Loop = local::get().unwrap();
                assert!(!std::ptr::eq(childs, parents));
                // A grandchild's is a third one.
                in_child(|| assert_eq!(own_exchange(b"deeper"), b"deeper"));
                assert_eq!(own_exchange(b"again"), b"again");
            });
            assert!(std::ptr::eq(local::get().unwrap(), parents), "the parent's goes on");
            assert_eq!(own_exchange(b"after"), b"after");
        }
    });
}

fn a_child_can_leave_its_parents_loop_unused(config: &Config) {
    on_own_thread(config, || {
        let looped: &'static Loop = local::get().unwrap();
        let (fd, mut theirs) = pair();
        looped.opened(fd, false).unwrap();
        let reader = go(looped, move || told(net::read(looped, fd, &mut [0; 8])));
        in_fiber(looped, move || {
            settle(looped);
            // The second child leaves by the ordinary way out: its copy of the loop must not touch what the parent has
            // in flight.
            in_child(|| drop(std::thread::spawn(|| ()).join()));
            // SAFETY: what runs at the exit is the thread's own.
            in_child(|| unsafe { libc::exit(0) });
            theirs.write_all(b"bytes").unwrap();
            assert_eq!(looped.join(reader), Ok(5));
            close(looped, &[fd]);
        });
    });
}
