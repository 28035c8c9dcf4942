//! A loop within another, which waits for epoll(7): what the loop waits for has to show at its descriptor.

mod common;

use common::*;
use nyario_core::sys::abi::EpollEvent;
use nyario_core::sys::{Errno, Fd, Kernel, Linux};
use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

scenarios!(on_loop: every_message_shows, wake_ups_show_or_ring, a_stop_ends_what_is_left, a_turn_is_taken_alone);

/// Waits for ever unless something is due at once, and takes a turn.
fn go_round(looped: Looped, epoll: Fd) -> bool {
    let due = looped.until_due().unwrap() == Some(0);
    Linux.epoll_wait(epoll, &mut [EpollEvent::default()], if due { Some(0) } else { None });
    looped.turn(Some(0)).unwrap()
}

fn foreign(looped: Looped) -> Fd {
    let epoll = Linux.epoll_create();
    let event = EpollEvent { events: (libc::EPOLLIN | libc::EPOLLET) as u32, data: 0 };
    assert_eq!(Linux.epoll_ctl(epoll, libc::EPOLL_CTL_ADD, looped.descriptor().unwrap(), event), 0);
    epoll
}

fn every_message_shows(looped: Looped) {
    const MESSAGES: usize = 500;
    let epoll = foreign(looped);
    let (ours, mut theirs) = pair();
    looped.opened(ours, false).unwrap();
    let done = Rc::new(Cell::new(false));
    let ended = done.clone();
    go(looped, move || {
        let mut buf = [0; 8];
        for _ in 0..MESSAGES {
            assert_eq!(nyario_core::net::read(looped, ours, &mut buf), Ok(8));
            assert_eq!(nyario_core::net::write(looped, ours, &buf), Ok(8));
        }
        nyario_core::net::close(looped, ours).unwrap();
        ended.set(true);
        0
    });
    let peer = std::thread::spawn(move || {
        for number in 0..MESSAGES {
            let mut back = [0; 8];
            theirs.write_all(&number.to_le_bytes()).unwrap();
            theirs.read_exact(&mut back).unwrap();
            assert_eq!(usize::from_le_bytes(back), number);
        }
    });
    while go_round(looped, epoll) {}
    assert!(done.get());
    peer.join().unwrap();
    Linux.close(epoll);
}

fn wake_ups_show_or_ring(looped: Looped) {
    let epoll = foreign(looped);
    let rings = Arc::new(AtomicUsize::new(0));
    for alarmed in [false, true, false] {
        let before = rings.load(Ordering::Relaxed);
        if alarmed {
            let rings = rings.clone();
            looped.set_alarm(Some(Box::new(move || {
                rings.fetch_add(1, Ordering::Relaxed);
            })));
        } else {
            looped.set_alarm(None);
        }
        let parked = Rc::new(Cell::new(None));
        let announced = parked.clone();
        go(looped, move || looped.park(|park| announced.set(Some(park))).unwrap() as u64);
        while looped.until_due().unwrap() == Some(0) {
            assert!(looped.turn(Some(0)).unwrap());
        }
        let (waker, park) = (looped.waker(), parked.get().unwrap());
        std::thread::spawn(move || {
            waker.complete(park, 7);
            waker.wake();
        })
        .join()
        .unwrap();
        if !alarmed {
            assert_eq!(Linux.epoll_wait(epoll, &mut [EpollEvent::default()], None), 1);
        }
        assert_eq!(looped.until_due(), Ok(Some(0)), "a loop that was woken does not doze on");
        while looped.turn(Some(0)).unwrap() {}
        assert_eq!(rings.load(Ordering::Relaxed) - before, usize::from(alarmed), "rung for once per sleep");
    }
    Linux.close(epoll);
}

fn a_stop_ends_what_is_left(looped: Looped) {
    let refused = Rc::new(Cell::new(None));
    let told = refused.clone();
    go(looped, move || {
        told.set(Some(looped.sleep(3_600_000_000_000)));
        0
    });
    assert_eq!(looped.turn(Some(0)), Ok(true));
    looped.stop();
    assert_eq!((looped.until_due(), looped.turn(None)), (Ok(Some(0)), Ok(false)));
    assert_eq!(refused.get(), Some(Err(Errno(libc::ECANCELED))));
    go(looped, || 0);
    assert_eq!(looped.turn(None), Ok(false), "it can be used again");
}

fn a_turn_is_taken_alone(looped: Looped) {
    in_fiber(looped, move || {
        assert_eq!(looped.turn(Some(0)), Err(Errno(libc::EDEADLK)));
        assert_eq!(looped.until_due(), Err(Errno(libc::EDEADLK)));
    });
}
