//! The lock inside what threads share.

#[cfg(all(test, loom))]
use loom::sync::atomic::AtomicU32;
#[cfg(not(all(test, loom)))]
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

const FREE: u32 = 0;
const HELD: u32 = 1;

/// How often it is asked for before the thread lets others run, and before it sleeps: what is done under it takes less
/// than any of that, unless its holder lost the processor, to a thread of a lower rank perhaps.
#[cfg(not(all(test, loom)))]
const SPINS: u32 = 64;
#[cfg(not(all(test, loom)))]
const YIELDS: u32 = 128;

/// Held for a hundred instructions or so at a time, never while a fiber suspends; all zeroes when it is free. Giving it back
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

    /// Whether somebody holds it.
    pub(super) fn is_held(&self) -> bool {
        self.0.load(Ordering::Relaxed) == HELD
    }

    fn try_take(&self) -> bool {
        self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn wait(&self) {
        // A plain look first, which leaves the cache line to its holder. Loom would let it see the past for ever.
        until(|| (cfg!(loom) || self.0.load(Ordering::Relaxed) == FREE) && self.try_take());
    }
}

/// Waits for what another thread is about to do.
#[cfg(not(all(test, loom)))]
pub(super) fn until(done: impl Fn() -> bool) {
    let mut tries = 0;
    while !done() {
        match tries {
            0..SPINS => std::hint::spin_loop(),
            SPINS..YIELDS => std::thread::yield_now(),
            _ => std::thread::sleep(std::time::Duration::from_micros(50)),
        }
        tries += 1;
    }
}

#[cfg(all(test, loom))]
pub(super) fn until(done: impl Fn() -> bool) {
    while !done() {
        loom::thread::yield_now();
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.give();
    }
}
