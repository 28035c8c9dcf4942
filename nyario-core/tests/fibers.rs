//! Fibers among themselves: spawning, joining, panics, fairness, and what wakes them from outside.

mod common;

use common::*;
use nyario_core::conn::Kind;
use nyario_core::driver::{Op, OpId};
use nyario_core::fiber::{FiberId, Name, Options};
use nyario_core::net;
use nyario_core::runtime::{Start, Stopper};
use nyario_core::sys::{Errno, Kernel};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

scenarios!(on_loop: a_join_takes_the_value, a_join_waits, only_one_joins, nobody_joins_itself, a_detached_fiber_is_not_joined,
    an_ended_fiber_can_be_detached, fibers_start_in_order, fibers_spawn_fibers, a_name_is_not_reused,
    a_panic_ends_its_fiber_alone, a_handlers_panic_closes_its_connection, yielding_lets_others_run,
    a_busy_fiber_starves_nobody, a_busy_pair_starves_nobody, many_fibers_deep_in_their_stacks,
    stacks_are_used_again, the_sweep_trims_stacks, a_run_within_a_run_is_refused, a_stop_comes_from_another_thread,
    a_stop_before_the_run_counts, a_stop_comes_from_a_signal_handler, a_park_ends_once,
    a_fiber_is_called_by_a_name, a_name_goes_with_its_fiber, a_fiber_has_the_stack_it_asks_for, fibers_have_a_limit,
    handlers_wait_for_room, a_crowd_is_waited_for_at_the_end, connections_have_a_limit, a_limit_reaches_those_who_serve);

fn a_park_ends_once(looped: Looped) {
    assert_eq!(looped.park(|_| unreachable!("nobody could end it")), Err(Errno(libc::EDEADLK)));
    in_fiber(looped, move || {
        let place = Rc::new(Cell::new(OpId::NONE));
        let parks = place.clone();
        let fiber = go(looped, move || {
            let first = looped.park(|park| parks.set(park)).unwrap() as u64;
            looped.deadline(looped.kernel().now() + 1_000_000).unwrap();
            assert_eq!(looped.park(|park| parks.set(park)), Err(Errno(libc::ETIMEDOUT)));
            first
        });
        settle(looped);
        looped.unpark(place.get(), 5);
        looped.unpark(place.get(), 6);
        assert_eq!(looped.join(fiber), Ok(5));
        looped.unpark(place.get(), 7);
    });
}

fn a_join_takes_the_value(looped: Looped) {
    in_fiber(looped, move || {
        let fiber = go(looped, || u64::MAX);
        settle(looped);
        assert_eq!(looped.join(fiber), Ok(u64::MAX));
        assert_eq!(looped.join(fiber), Err(Errno(libc::ESRCH)), "a value is taken once");
    });
    let fiber = go(looped, || 7);
    assert_eq!(looped.join(fiber), Err(Errno(libc::EDEADLK)), "outside a fiber nothing could run it");
    looped.run().unwrap();
    assert_eq!(looped.join(fiber), Ok(7), "ended, it can be joined from anywhere");
}

fn a_join_waits(looped: Looped) {
    in_fiber(looped, move || {
        let ended = Rc::new(Cell::new(false));
        let witness = ended.clone();
        let fiber = go(looped, move || {
            settle(looped);
            witness.set(true);
            1
        });
        assert_eq!(looped.join(fiber), Ok(1));
        assert!(ended.get());
    });
}

fn only_one_joins(looped: Looped) {
    in_fiber(looped, move || {
        let target = go(looped, move || told(looped.sleep(2_000_000).map(|()| 3)));
        let first = go(looped, move || looped.join(target).unwrap());
        looped.yield_now().unwrap();
        assert_eq!(looped.join(target), Err(Errno(libc::EINVAL)));
        assert_eq!(looped.detach(target), Err(Errno(libc::EINVAL)));
        assert_eq!(looped.join(first), Ok(3));
    });
}

fn nobody_joins_itself(looped: Looped) {
    in_fiber(looped, move || {
        assert_eq!(looped.join(looped.me().unwrap()), Err(Errno(libc::EDEADLK)));
        assert_eq!(looped.join(FiberId::from_word(1 << 40)), Err(Errno(libc::ESRCH)));
    });
}

fn a_detached_fiber_is_not_joined(looped: Looped) {
    in_fiber(looped, move || {
        let fiber = looped.spawn(Options::DETACHED, || 1).unwrap();
        assert_eq!(looped.join(fiber), Err(Errno(libc::EINVAL)));
        assert_eq!(looped.detach(fiber), Err(Errno(libc::EINVAL)));
        settle(looped);
        assert_eq!(looped.join(fiber), Err(Errno(libc::ESRCH)));
    });
}

fn an_ended_fiber_can_be_detached(looped: Looped) {
    in_fiber(looped, move || {
        let fiber = go(looped, || 1);
        settle(looped);
        assert_eq!(looped.detach(fiber), Ok(()));
        assert_eq!(looped.join(fiber), Err(Errno(libc::ESRCH)));
    });
}

fn fibers_start_in_order(looped: Looped) {
    let order = Rc::new(RefCell::new(Vec::new()));
    for number in 0..100 {
        let order = order.clone();
        go(looped, move || {
            order.borrow_mut().push(number);
            0
        });
    }
    looped.run().unwrap();
    assert_eq!(*order.borrow(), (0..100).collect::<Vec<_>>());
}

fn fibers_spawn_fibers(looped: Looped) {
    fn tree(looped: Looped, depth: u32) -> u64 {
        if depth == 0 {
            return 1;
        }
        let branches = [(); 3].map(|()| go(looped, move || tree(looped, depth - 1)));
        branches.into_iter().map(|fiber| looped.join(fiber).unwrap()).sum()
    }
    assert_eq!(in_fiber(looped, move || tree(looped, 6)), 729);
}

fn a_name_is_not_reused(looped: Looped) {
    in_fiber(looped, move || {
        let mut names = std::collections::HashSet::new();
        for round in 0..100 {
            let fiber = go(looped, move || round);
            assert!(names.insert(fiber));
            assert_eq!(looped.join(fiber), Ok(round));
        }
    });
}

fn a_panic_ends_its_fiber_alone(looped: Looped) {
    expect_panics(1);
    in_fiber(looped, move || {
        let dropped = Rc::new(());
        let held = dropped.clone();
        let fiber = go(looped, move || {
            let _held = held;
            looped.yield_now().unwrap();
            panic!("as the scenario wants it");
        });
        assert_eq!(looped.join(fiber), Err(Errno(libc::ENOTRECOVERABLE)));
        assert_eq!(Rc::strong_count(&dropped), 1, "its stack is unwound");
        settle(looped);
    });
}

fn a_handlers_panic_closes_its_connection(looped: Looped) {
    expect_panics(1);
    let (fd, address) = listen();
    looped
        .register(fd, Start::Lazy, move |fd| {
            let byte = read_exactly(looped, fd, 1)[0];
            assert_ne!(byte, 0, "as the scenario wants it");
            say(looped, fd, &[byte]);
        })
        .unwrap();
    run_beside(looped, move || {
        for byte in [0, 1] {
            let mut client = TcpStream::connect(&address).unwrap();
            client.write_all(&[byte]).unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            assert_eq!(answer.len(), byte.into());
        }
    });
}

fn yielding_lets_others_run(looped: Looped) {
    let turns = Rc::new(RefCell::new(Vec::new()));
    for name in 0..3 {
        let turns = turns.clone();
        go(looped, move || {
            for _ in 0..3 {
                turns.borrow_mut().push(name);
                looped.yield_now().unwrap();
            }
            0
        });
    }
    looped.run().unwrap();
    assert_eq!(*turns.borrow(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    assert_eq!(looped.yield_now(), Ok(()), "outside a fiber there is nobody to yield to");
}

fn a_busy_fiber_starves_nobody(looped: Looped) {
    let (fd, mut theirs) = pair();
    in_fiber(looped, move || {
        let busy = go(looped, move || {
            while looped.yield_now().is_ok() {}
            0
        });
        let answerer = std::thread::spawn(move || {
            let mut byte = [0];
            while theirs.read(&mut byte).unwrap() == 1 {
                theirs.write_all(&byte).unwrap();
            }
        });
        for byte in 0..50 {
            say(looped, fd, &[byte]);
            assert_eq!(read_exactly(looped, fd, 1), [byte]);
        }
        looped.sleep(1_000_000).unwrap();
        close(looped, &[fd]);
        answerer.join().unwrap();
        // More news at once than the shortest queue holds.
        let mut pairs: Vec<_> = (0..40).map(|_| pair()).collect();
        let reader = |&(fd, _): &(_, UnixStream)| go(looped, move || told(net::read(looped, fd, &mut [0; 8])));
        let readers: Vec<FiberId> = pairs.iter().map(reader).collect();
        settle(looped);
        pairs.iter_mut().for_each(|(_, theirs)| theirs.write_all(b"news").unwrap());
        all_told(looped, readers, 4);
        pairs.iter().for_each(|&(fd, _)| close(looped, &[fd]));
        looped.cancel(busy).unwrap();
        looped.join(busy).unwrap();
    });
}

/// Two fibers that always have something to do leave room for timers and for new connections.
fn a_busy_pair_starves_nobody(looped: Looped) {
    let (listener, address) = listen();
    looped.register(listener, Start::Eager, move |fd| say(looped, fd, b"hello")).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let ends = [ours, theirs].map(IntoRawFd::into_raw_fd);
    ends.iter().for_each(|&fd| looped.opened(fd, false).unwrap());
    go(looped, move || {
        let busy = ends.map(|fd| {
            go(looped, move || {
                echo(looped, fd);
                0
            })
        });
        assert_eq!(perform(looped, Op::Write { fd: ends[0], buf: b"x".as_ptr(), len: 1 }), 1);
        looped.sleep(1_000_000).unwrap();
        for _ in 0..20 {
            let client = net::dial(looped, &address).unwrap();
            assert_eq!(read_exactly(looped, client, 5), b"hello");
            close(looped, &[client]);
        }
        busy.iter().for_each(|&fiber| looped.cancel(fiber).unwrap());
        close(looped, &ends);
        all_told(looped, busy, 0);
        looped.stop();
        0
    });
    looped.run().unwrap();
}

fn many_fibers_deep_in_their_stacks(looped: Looped) {
    fn deep(looped: Looped, depth: u64) -> u64 {
        let frame = std::hint::black_box([depth; 64]);
        if depth == 0 {
            looped.sleep(1_000_000).unwrap();
            return 0;
        }
        frame[7] + deep(looped, depth - 1)
    }
    for _ in 0..300 {
        go(looped, move || {
            assert_eq!(deep(looped, 150), 150 * 151 / 2);
            0
        });
    }
    looped.run().unwrap();
}

fn stacks_are_used_again(looped: Looped) {
    let reserved = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096
    };
    let crowd = move || {
        for _ in 0..200 {
            go(looped, move || told(looped.sleep(1000).map(|()| 0)));
        }
        looped.run().unwrap();
    };
    crowd();
    let before = reserved();
    (0..20).for_each(|_| crowd());
    // Twenty crowds of stacks would be over a gigabyte.
    assert!(reserved() < before + (200 << 20));
}

/// How many bytes of memory the process has touched and not given back.
fn resident() -> usize {
    let pages: usize = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    // SAFETY: a call without memory.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize
}

/// Memory that a rush of fibers has touched does not stay when the rush is over.
fn the_sweep_trims_stacks(looped: Looped) {
    const FIBERS: usize = 200;
    const EACH: usize = 64 << 10;
    /// How many have come, and whether they may leave.
    type Meeting = Rc<(Cell<usize>, Cell<bool>)>;
    fn touch(looped: Looped, meeting: &Meeting) -> u64 {
        let frame = [7u8; EACH];
        std::hint::black_box(&frame);
        meeting.0.set(meeting.0.get() + 1);
        until(looped, || meeting.1.get());
        frame[EACH / 2].into()
    }
    in_fiber(looped, move || {
        let meeting = Meeting::default();
        let come = || {
            let meeting = meeting.clone();
            go(looped, move || touch(looped, &meeting))
        };
        let rush: Vec<FiberId> = (0..FIBERS).map(|_| come()).collect();
        until(looped, || meeting.0.get() == FIBERS);
        let most = resident();
        meeting.1.set(true);
        all_told(looped, rush, 7);
        until(looped, || resident() + FIBERS * EACH / 2 < most);
    });
}

fn a_run_within_a_run_is_refused(looped: Looped) {
    in_fiber(looped, move || assert_eq!(looped.run(), Err(Errno(libc::EDEADLK))));
}

fn a_stop_comes_from_another_thread(looped: Looped) {
    let (fd, theirs) = pair();
    for _ in 0..200 {
        let reader = go(looped, move || told(net::read(looped, fd, &mut [0; 8])));
        // The loop may be before, in or after its wait when the stop comes.
        run_beside(looped, std::thread::yield_now);
        assert_eq!(looped.join(reader), Ok(failed(libc::ECANCELED)));
    }
    close(looped, &[fd]);
    drop(theirs);
}

fn a_stop_before_the_run_counts(looped: Looped) {
    looped.stop();
    let sleeper = go(looped, move || told(looped.sleep(u64::MAX).map(|()| 0)));
    looped.run().unwrap();
    assert_eq!(looped.join(sleeper), Ok(failed(libc::ECANCELED)));
    assert_eq!(in_fiber(looped, move || looped.sleep(1000)), Ok(()), "and is forgotten afterwards");
    assert_eq!(looped.connections(Kind::Client), 0);
}

fn a_stop_comes_from_a_signal_handler(looped: Looped) {
    static STOPPER: std::sync::Mutex<Option<&'static Stopper<Masked>>> = std::sync::Mutex::new(None);
    static HANDLED: OnceLock<()> = OnceLock::new();
    extern "C" fn handle(_: i32) {
        // The scenario raises no second signal while it holds the lock.
        if let Ok(Some(stopper)) = STOPPER.try_lock().as_deref() {
            stopper.stop();
        }
    }
    HANDLED.get_or_init(|| {
        // SAFETY: the handler does only what the stopper and an uncontended lock do.
        unsafe { libc::signal(libc::SIGUSR1, handle as *const () as libc::sighandler_t) };
    });
    let stopper = Box::into_raw(Box::new(looped.stopper()));
    // SAFETY: a box, freed below.
    *STOPPER.lock().unwrap() = Some(unsafe { &*stopper });
    // SAFETY: a call without memory.
    let thread = unsafe { libc::pthread_self() };
    for delay in [0, 0, 1, 2, 3] {
        let sleeper = go(looped, move || told(looped.sleep(u64::MAX).map(|()| 0)));
        let sender = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(delay));
            // SAFETY: the thread outlives this one.
            unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
        });
        looped.run().unwrap();
        sender.join().unwrap();
        assert_eq!(looped.join(sleeper), Ok(failed(libc::ECANCELED)));
    }
    *STOPPER.lock().unwrap() = None;
    // SAFETY: nobody refers to it any more.
    drop(unsafe { Box::from_raw(stopper) });
}

fn a_fiber_is_called_by_a_name(looped: Looped) {
    let options = |name| Options { name, ..Options::default() };
    let long = "x".repeat(Name::MOST + 1);
    assert_eq!(looped.spawn(options(&long), || 0), Err(Errno(libc::ENAMETOOLONG)));
    assert_eq!(looped.spawn(options("two\nlines"), || 0), Err(Errno(libc::EINVAL)));
    let fiber = looped.spawn(options(&long[1..]), || 0).unwrap();
    assert_eq!(looped.name(fiber).unwrap().as_str(), &long[1..]);
    looped.set_name(fiber, Name::new("ü").unwrap()).unwrap();
    assert_eq!(looped.name(fiber).unwrap().as_str(), "ü");
    looped.set_name(fiber, Name::default()).unwrap();
    assert!(looped.name(fiber).unwrap().is_empty());
    looped.run().unwrap();
    assert_eq!(looped.name(fiber).map(drop), Err(Errno(libc::ESRCH)));
    assert_eq!(looped.set_name(fiber, Name::default()), Err(Errno(libc::ESRCH)));
    looped.join(fiber).unwrap();
}

fn a_name_goes_with_its_fiber(looped: Looped) {
    // One that never runs has one too, and is dropped with the loop.
    in_fiber(looped, move || {
        for _ in 0..3 {
            let named: Vec<FiberId> = (0..300)
                .map(|_| looped.spawn(Options { name: "named", ..Options::default() }, || 0).unwrap())
                .collect();
            all_told(looped, named, 0);
            let nameless = go(looped, || 0);
            assert!(looped.name(nameless).unwrap().is_empty());
            looped.join(nameless).unwrap();
        }
    });
    looped.spawn(Options { name: "unborn", ..Options::DETACHED }, || 0).unwrap();
}

fn a_fiber_has_the_stack_it_asks_for(looped: Looped) {
    /// Goes down to what is needed at the least.
    fn dive(top: usize, room: usize) -> u64 {
        let frame = std::hint::black_box([1u8; 1024]);
        if top - (&raw const frame) as usize > room - (12 << 10) {
            return 0;
        }
        u64::from(frame[top % 1024]) + dive(top, room)
    }
    let deep = |room| move || dive((&raw const room) as usize, room);
    let sized = |stack_size| Options { stack_size, ..Options::default() };
    for refused in [1, (16 << 10) - 1, (64 << 20) + 1, usize::MAX] {
        assert_eq!(looped.spawn(sized(refused), || 0), Err(Errno(libc::EINVAL)));
        assert_eq!(looped.set_stack_size(refused), Err(Errno(libc::EINVAL)));
    }
    in_fiber(looped, move || {
        let small = looped.spawn(sized(16 << 10), move || told(looped.sleep(1000).map(|()| 0))).unwrap();
        let large = looped.spawn(sized(7 << 20), deep(8 << 20)).unwrap();
        looped.set_stack_size(1 << 20).unwrap();
        let usual = go(looped, deep(1 << 20));
        assert_eq!(looped.join(small), Ok(0));
        assert!(looped.join(large).unwrap() > 1000);
        assert!(looped.join(usual).unwrap() > 100);
    });
}

fn fibers_have_a_limit(looped: Looped) {
    assert_eq!(looped.set_fiber_limit(0), Err(Errno(libc::EINVAL)));
    looped.set_fiber_limit(3).unwrap();
    in_fiber(looped, move || {
        let two = [(); 2].map(|()| go(looped, || 0));
        assert_eq!(looped.spawn(Options::default(), || 0), Err(Errno(libc::EAGAIN)));
        all_told(looped, two, 0);
        all_told(looped, [go(looped, || 0)], 0);
    });
}

/// Whoever finds no room is served later.
fn handlers_wait_for_room(looped: Looped) {
    const CLIENTS: usize = 20;
    let most = Rc::new(Cell::new(0));
    for start in [Start::Lazy, Start::Eager] {
        let (fd, address) = listen();
        let witness = most.clone();
        looped
            .register(fd, start, move |fd| {
                witness.set(witness.get().max(looped.fibers()));
                let byte = read_exactly(looped, fd, 1);
                looped.sleep(100_000).unwrap();
                say(looped, fd, &byte);
            })
            .unwrap();
        looped.set_fiber_limit(3).unwrap();
        run_beside(looped, move || {
            let mut clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(&address).unwrap()).collect();
            clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
            clients.iter_mut().for_each(|client| client.read_exact(&mut [0]).unwrap());
        });
    }
    assert_eq!(most.get(), 3);
}

fn a_crowd_is_waited_for_at_the_end(looped: Looped) {
    let (fd, address) = listen();
    let served = Rc::new(Cell::new(0));
    let witness = served.clone();
    looped
        .register(fd, Start::Eager, move |fd| {
            witness.set(witness.get() + 1);
            assert_eq!(net::read(looped, fd, &mut [0; 8]), Err(Errno(libc::ECANCELED)));
        })
        .unwrap();
    looped.set_fiber_limit(1).unwrap();
    let count = served.clone();
    let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(&address).unwrap()).collect();
    go(looped, move || {
        // They are accepted, and wait for the room that this fiber takes.
        until(looped, || looped.connections(Kind::Accepted) == 5);
        assert_eq!(count.get(), 0);
        looped.stop();
        0
    });
    looped.run().unwrap();
    assert_eq!(served.get(), 5);
    assert_eq!(looped.connections(Kind::Accepted), 0);
    drop(clients);
}

/// Serves two at a time, however many come.
fn serve_two_at_a_time(looped: Looped, before: impl FnOnce(), after: impl FnOnce() + 'static) {
    const CLIENTS: usize = 30;
    let most = Rc::new(Cell::new(0));
    let (fd, address) = listen();
    let witness = most.clone();
    before();
    looped
        .register(fd, Start::Lazy, move |fd| {
            witness.set(witness.get().max(looped.connections(Kind::Accepted)));
            while let Ok(1..) = net::read(looped, fd, &mut [0; 8]) {
                looped.yield_now().unwrap();
                say(looped, fd, b"x");
            }
        })
        .unwrap();
    let settled = Arc::new(AtomicBool::new(false));
    let witness = settled.clone();
    go(looped, move || {
        settle(looped);
        after();
        // Nobody comes before the kernel has heard of it.
        settle(looped);
        witness.store(true, Ordering::Relaxed);
        0
    });
    run_beside(looped, move || {
        while !settled.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(&address).unwrap()).collect();
        clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
        for mut client in clients {
            client.read_exact(&mut [0]).unwrap();
        }
    });
    assert_eq!(most.get(), 2);
}

fn connections_have_a_limit(looped: Looped) {
    assert_eq!(looped.set_connection_limit(0), Err(Errno(libc::EINVAL)));
    serve_two_at_a_time(looped, || looped.set_connection_limit(2).unwrap(), || ());
}

fn a_limit_reaches_those_who_serve(looped: Looped) {
    serve_two_at_a_time(looped, || (), move || looped.set_connection_limit(2).unwrap());
    // Without it, they come in crowds as before.
    looped.set_connection_limit(usize::MAX).unwrap();
    let (fd, address) = listen();
    let most = Rc::new(Cell::new(0));
    let witness = most.clone();
    looped
        .register(fd, Start::Eager, move |_| {
            witness.set(witness.get().max(looped.connections(Kind::Accepted)));
            until(looped, || witness.get() == 5);
        })
        .unwrap();
    run_beside(looped, move || {
        let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(&address).unwrap()).collect();
        clients.into_iter().for_each(|mut client| assert_eq!(client.read(&mut [0]).unwrap(), 0));
    });
}
