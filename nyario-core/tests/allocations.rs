//! No allocation per operation, once warm: a loop's thread echoes a hundred thousand messages without one.

mod common;

use common::*;
use nyario_core::driver::Config;
use nyario_core::net;
use nyario_core::runtime::Start;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

scenarios!(on_config: echoing_allocates_nothing, timers_and_switches_allocate_nothing);

thread_local! {
    /// Whether this thread's allocations count, and how many there were.
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

struct Counting;

// SAFETY: the system's allocator does the work; counting touches a plain thread-local.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get().map(|count| count + 1));
        // SAFETY: forwarded from the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: forwarded from the caller.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
                    if witness.get() / 64 >= WARM_UP && COUNT.get().is_none() {
                        COUNT.set(Some(0));
                    }
                    if witness.get() >= (WARM_UP + MESSAGES) * 64 && place.get().is_none() {
                        place.set(COUNT.take());
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
    COUNT.take();
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
            COUNT.set(Some(0));
            (0..1000).for_each(|_| round());
            COUNT.take()
        })
    });
    assert_eq!(allocations, Some(0));
}
