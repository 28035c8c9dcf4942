//! The lock inside what threads share.

#[cfg(all(test, loom))]
use loom::{hint::spin_loop, sync::atomic::AtomicU32, thread::yield_now};
use std::sync::atomic::Ordering;
#[cfg(not(all(test, loom)))]
use std::{hint::spin_loop, sync::atomic::AtomicU32, thread::yield_now};

const FREE: u32 = 0;
const HELD: u32 = 1;

/// How often it is asked for before the thread lets others run, and before it sleeps: what is done under it takes less
/// than any of that, unless its holder lost the processor, to a thread of a lower rank perhaps.
const SPINS: u32 = 64;
const YIELDS: u32 = 128;

/// Held for a few dozen instructions at a time, never while a fiber suspends; all zeroes when it is free. Giving it back
/// is one store and touches nothing after that, so whoever takes it next may free the memory that it lies in.
#[repr(transparent)]
pub(super) struct Lock(AtomicU32);

/// Gives the lock back when it is dropped.
pub(super) struct Held<'a>(&'a Lock);

impl Lock {
    #[cfg(not(all(test, loom)))]
    pub(super) const fn new() -> Lock {
        Lock(AtomicU32::new(FREE))
    }

    #[cfg(all(test, loom))]
    pub(super) fn new() -> Lock {
        Lock(AtomicU32::new(FREE))
    }

    pub(super) fn hold(&self) -> Held<'_> {
        self.take();
        Held(self)
    }

    /// Like [`hold`](Self::hold), for as long as it takes until [`give`](Self::give).
    #[inline]
    pub(super) fn take(&self) {
        if !self.try_take() {
            self.wait();
        }
    }

    /// Whoever has taken it gives it back.
    #[inline]
    pub(super) fn give(&self) {
        self.0.store(FREE, Ordering::Release);
    }

    fn try_take(&self) -> bool {
        self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn wait(&self) {
        let mut tries = 0;
        loop {
            if self.0.load(Ordering::Relaxed) == FREE && self.try_take() {
                return;
            }
            match tries {
                0..SPINS => spin_loop(),
                SPINS..YIELDS => yield_now(),
                _ => sleep(),
            }
            tries += 1;
        }
    }
}

#[cfg(not(all(test, loom)))]
fn sleep() {
    std::thread::sleep(std::time::Duration::from_micros(50));
}

#[cfg(all(test, loom))]
fn sleep() {
    yield_now();
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.give();
    }
}
