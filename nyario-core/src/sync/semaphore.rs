//! Counting what may be taken.

use super::lock::Lock;
use super::party::{Party, Seat};
use super::queue::Queue;
use crate::fiber::Loop;
use crate::sys::{Errno, Kernel, Native};
use std::cell::Cell;
use std::ptr::null_mut;

/// A number of permits: taking one waits while there is none, and posting hands one to who has waited longest. Fibers of
/// any loop and plain threads share it.
///
/// `here` is the calling thread's loop, if it has one. On a fiber of that, waiting suspends the fiber; elsewhere it
/// blocks the thread.
#[repr(C)]
pub struct Semaphore<K: Kernel = Native> {
    lock: Lock,
    permits: Cell<u64>,
    /// Nobody waits, apart from those that are about to go, while there is a permit.
    waiters: Queue<Seat<K>>,
}

// SAFETY: everything but the lock is touched under it; those that wait are told through a waker, which the bounds make
// usable from any thread, or through the thread's own handle.
unsafe impl<K: Kernel + Send + Sync> Sync for Semaphore<K> {}
// SAFETY: as above; nobody waits on what is moved.
unsafe impl<K: Kernel + Send + Sync> Send for Semaphore<K> {}

impl<K: Kernel> Semaphore<K> {
    /// With so many permits; all zeroes when there is none.
    pub fn new(permits: u64) -> Semaphore<K> {
        Semaphore { lock: Lock::new(), permits: Cell::new(permits), waiters: Queue::new() }
    }

    /// Takes a permit, waiting for one. Once it has one it touches the semaphore no more.
    ///
    /// # Errors
    ///
    /// `ECANCELED` and `ETIMEDOUT`, and then none was taken.
    pub fn wait(&self, here: Option<&Loop<K>>) -> Result<(), Errno> {
        let held = self.lock.hold();
        if self.take() {
            return Ok(());
        }
        let party = Party::new();
        let seat = Seat::new(&party, null_mut(), 0);
        let waited = party.wait(here.map(|looped| looped.because("semaphore")), || {
            // SAFETY: it is in no queue, and out of this one before its stack frame ends: claimed, or removed below.
            unsafe { self.waiters.push(&seat) };
            drop(held);
            None
        });
        if waited.is_err() {
            let _held = self.lock.hold();
            self.waiters.remove(&seat);
        }
        waited.map(drop)
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there is none.
    pub fn try_wait(&self) -> Result<(), Errno> {
        let _held = self.lock.hold();
        if self.take() { Ok(()) } else { Err(Errno(libc::EAGAIN)) }
    }

    fn take(&self) -> bool {
        let permits = self.permits.get();
        self.permits.set(permits.saturating_sub(1));
        permits > 0
    }

    /// Hands a permit to who has waited longest, or keeps it for the next that comes. Does not suspend.
    ///
    /// # Errors
    ///
    /// `EOVERFLOW` at 2^63 - 1 permits.
    pub fn post(&self, here: Option<&Loop<K>>) -> Result<(), Errno> {
        let held = self.lock.hold();
        let claimed = self.waiters.claim().map(|(_, claimed)| claimed);
        if claimed.is_none() {
            if self.permits.get() >= i64::MAX as u64 {
                return Err(Errno(libc::EOVERFLOW));
            }
            self.permits.set(self.permits.get() + 1);
        }
        drop(held);
        if let Some(claimed) = claimed {
            claimed.tell(here);
        }
        Ok(())
    }

    /// How many permits there are at this moment.
    pub fn permits(&self) -> u64 {
        let _held = self.lock.hold();
        self.permits.get()
    }
}
