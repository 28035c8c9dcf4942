//! No allocation per operation, once warm: a loop's thread echoes a hundred thousand messages without one.

mod common;

use common::*;
use nyario_core::driver::Config;
use nyario_core::net;
use nyario_core::runtime::Start;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

scenarios!(on_config: echoing_allocates_nothing, timers_and_switches_allocate_nothing);

const MESSAGES: usize = 100_000;
const WARM_UP: usize = 2000;

fn echoing_allocates_nothing(config: &Config) {
    let allocations = with_loop(config, |looped| {
        let (fd, address) = listen();
        let served = Rc::new(Cell::new(0));
        let counted = Rc::new(Cell::new(None));
        let (witness, place) = (served.clone(), counted.clone());
        looped
            .register(fd, Start::Lazy, move |fd| {
                let mut buf = [0; 64];
                while let Ok(count @ 1..) = net::read(looped, fd, &mut buf) {
                    assert_eq!(net::write(looped, fd, &buf[..count]), Ok(count));
                    witness.set(witness.get() + count);
                    if witness.get() / 64 >= WARM_UP && memory::counted().is_none() {
                        memory::count();
                    }
                    if witness.get() >= (WARM_UP + MESSAGES) * 64 && place.get().is_none() {
                        place.set(memory::stop_counting());
                    }
                }
            })
            .unwrap();
        run_beside(looped, move || {
            // Two at a time, so that the loop sees more than one thing per turn.
            let mut clients = [(); 2].map(|()| TcpStream::connect(&address).unwrap());
            let mut answer = [0; 64];
            for _ in 0..(WARM_UP + MESSAGES) / 2 + 1 {
                clients.iter_mut().for_each(|client| client.write_all(&[7; 64]).unwrap());
                clients.iter_mut().for_each(|client| client.read_exact(&mut answer).unwrap());
            }
        });
        counted.get()
    });
    memory::stop_counting();
    assert_eq!(allocations, Some(0));
}

fn timers_and_switches_allocate_nothing(config: &Config) {
    let allocations = with_loop(config, |looped| {
        in_fiber(looped, move || {
            let round = move || {
                looped.yield_now().unwrap();
                looped.sleep(1).unwrap();
                looped.deadline(u64::MAX).unwrap();
                let (fd, mut theirs) = pair();
                theirs.write_all(b"x").unwrap();
                assert_eq!(net::read(looped, fd, &mut [0; 8]), Ok(1));
                looped.deadline(0).unwrap();
                close(looped, &[fd]);
            };
            (0..100).for_each(|_| round());
            memory::count();
            (0..1000).for_each(|_| round());
            memory::stop_counting()
        })
    });
    assert_eq!(allocations, Some(0));
}
