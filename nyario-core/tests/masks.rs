//! Older kernels: whatever io_uring may lack, the loop does without it, and nobody can tell.

mod common;

use common::masked::{MASKS, Mask, put_on, refused};
use common::*;
use nyario_core::driver::{BackendKind, Config, Driver, Op, Submitted};
use nyario_core::net;
use nyario_core::runtime::Start;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

/// What a kernel of our days has, and an older one lacks on its own.
const RECENT: [&str; 2] = ["no_iowait", "nonempty_hint"];

scenarios!(on_config: nothing_missing_is_missed, cancelled_accepts_lose_nothing, a_late_fiber_is_refused_in_time);

fn nothing_missing_is_missed(config: &Config) {
    under_each_mask(config, does_without);
}

fn cancelled_accepts_lose_nothing(config: &Config) {
    under_each_mask(config, cancels_lose_nothing);
}

fn a_late_fiber_is_refused_in_time(config: &Config) {
    under_each_mask(config, is_not_abandoned);
}

/// epoll and kqueue have nothing to mask, and have to bear the scenarios once.
fn under_each_mask(config: &Config, scenario: fn(&Config, &'static Mask)) {
    let masks = if config.backend == Some(BackendKind::Uring) { &MASKS[..] } else { &MASKS[..1] };
    masks.iter().for_each(|mask| scenario(config, mask));
}

fn does_without(config: &Config, mask: &'static Mask) {
    put_on(mask);
    with_loop(config, |looped| {
        let (fd, address) = listen();
        looped.register(fd, Start::Lazy, move |fd| echo(looped, fd)).unwrap();
        // Two ends of the same loop, so that a send finds its peer's buffer full and has to wait.
        let (ours, theirs) = pair();
        let theirs = std::os::fd::IntoRawFd::into_raw_fd(theirs);
        const BULK: usize = 1 << 20;
        go(looped, move || {
            let bytes = pattern(BULK);
            say(looped, ours, &bytes);
            close(looped, &[ours]);
            0
        });
        go(looped, move || {
            assert!(read_exactly(looped, theirs, BULK) == pattern(BULK));
            assert_eq!(net::read(looped, theirs, &mut [0]), Ok(0));
            close(looped, &[theirs]);
            0
        });
        run_beside(looped, move || {
            // Several at once: more than one submission is under way when the first is refused.
            let mut clients: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(&address).unwrap()).collect();
            for round in 0..20usize {
                let message = pattern(1 + round * 300);
                clients.iter_mut().for_each(|client| client.write_all(&message).unwrap());
                for client in &mut clients {
                    let mut answer = vec![0; message.len()];
                    client.read_exact(&mut answer).unwrap();
                    assert!(answer == message, "without {}", mask.name);
                }
            }
        });
    });
    let masked = refused() > 0 || RECENT.contains(&mask.name) || config.backend != Some(BackendKind::Uring);
    assert!(masked, "{} is never asked for", mask.name);
}

/// A cancelled accept hands out what it took, or leaves it to the next, and says that it was cancelled.
fn cancels_lose_nothing(config: &Config, mask: &'static Mask) {
    put_on(mask);
    let mut driver = Driver::new(Masked, config).unwrap();
    let (fd, address) = listen();
    for round in 0..10 {
        let id = match submit(&mut driver, Op::Accept { fd, multi: true }, 8, 0) {
            Submitted::Pending(id) => id,
            Submitted::Done(result) => panic!("done at once, with {result}"),
        };
        // Some are cancelled before the kernel has seen them, and some before it has told what it makes of them.
        if round % 2 == 0 {
            driver.turn(Some(0));
        }
        let clients: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(&address).unwrap()).collect();
        driver.cancel(id);
        let mut taken = 0;
        let end = loop {
            let completion = completion(&mut driver);
            if !completion.more {
                break completion.result;
            }
            close_behind(completion.result);
            taken += 1;
        };
        assert_eq!(end, -libc::ECANCELED, "without {}", mask.name);
        for _ in taken..clients.len() {
            close_behind(finish(&mut driver, Op::Accept { fd, multi: false }));
        }
        for mut client in clients {
            assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "each was accepted");
        }
    }
    assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
}

/// A connection that is accepted while the loop ends gets a fiber, which the kernel may hold for another turn.
fn is_not_abandoned(config: &Config, mask: &'static Mask) {
    put_on(mask);
    with_loop(config, |looped| {
        let (fd, address) = listen();
        looped.register(fd, Start::Eager, move |fd| echo(looped, fd)).unwrap();
        let clients = Rc::new(Cell::new(Vec::new()));
        let place = clients.clone();
        go(looped, move || {
            settle(looped);
            place.set((0..5).map(|_| TcpStream::connect(&address).unwrap()).collect());
            looped.stop();
            0
        });
        looped.run().unwrap();
        assert_eq!(looped.fibers(), 0, "without {}", mask.name);
        drop(clients.take());
    });
}
