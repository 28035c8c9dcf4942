//! Mutual exclusion.

use super::home::Home;
use super::queue::Queue;
use super::waiter::{Waiter, caller};
use crate::fiber::Loop;
use crate::sys::{Errno, Kernel};
use std::cell::Cell;

/// A lock that one fiber holds at a time. Whoever unlocks hands it to the fiber that has waited longest, so nobody
/// starves. Fibers of one loop share it; while it is held, other loops are refused.
#[repr(C)]
pub struct Mutex {
    /// A loop's while somebody holds it.
    home: Home,
    owner: Cell<u64>,
    waiters: Queue<Waiter>,
}

impl Mutex {
    /// One that nobody holds: all zeroes.
    pub const fn new() -> Mutex {
        Mutex { home: Home::nobodys(), owner: Cell::new(0), waiters: Queue::new() }
    }

    /// Takes the lock; the fiber waits for its turn.
    ///
    /// # Errors
    ///
    /// `EDEADLK` when the caller holds it already, or outside a fiber when somebody else does; `EPERM` when a fiber of
    /// another loop does; `ECANCELED` and `ETIMEDOUT`, and then it is not held.
    pub fn lock<K: Kernel>(&self, looped: &Loop<K>) -> Result<(), Errno> {
        match self.try_lock(looped) {
            Err(Errno(libc::EBUSY)) => {}
            done => return done,
        }
        if self.owner.get() == caller(looped) {
            return Err(Errno(libc::EDEADLK));
        }
        Waiter::new(caller(looped)).wait(looped.because("mutex"), &self.waiters)
    }

    /// Takes the lock if nobody holds it.
    ///
    /// # Errors
    ///
    /// `EBUSY` when somebody does, the caller included; `EPERM` when a fiber of another loop does.
    pub fn try_lock<K: Kernel>(&self, looped: &Loop<K>) -> Result<(), Errno> {
        if !self.home.enter(looped)? {
            return Err(Errno(libc::EBUSY));
        }
        self.owner.set(caller(looped));
        Ok(())
    }

    /// Hands the lock to the fiber that has waited longest, or frees it. Does not suspend.
    ///
    /// # Errors
    ///
    /// `EPERM` when the caller does not hold it.
    pub fn unlock<K: Kernel>(&self, looped: &Loop<K>) -> Result<(), Errno> {
        if !self.is_held(looped) {
            return Err(Errno(libc::EPERM));
        }
        match self.waiters.pop() {
            Some(next) => {
                self.owner.set(next.wants);
                next.grant(looped);
            }
            None => {
                self.owner.set(0);
                self.home.leave();
            }
        }
        Ok(())
    }

    /// Whether the caller holds it.
    pub fn is_held<K: Kernel>(&self, looped: &Loop<K>) -> bool {
        self.home.is(looped) && self.owner.get() == caller(looped)
    }
}

impl Default for Mutex {
    fn default() -> Self {
        Mutex::new()
    }
}
