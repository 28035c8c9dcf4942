//! Waiting for something that a mutex guards.

use super::home::Home;
use super::mutex::Mutex;
use super::queue::Queue;
use super::waiter::Waiter;
use crate::fiber::Loop;
use crate::sys::{Errno, Kernel};

/// Fibers of one loop that wait for word that something they look at under a [`Mutex`] may have changed. While
/// somebody waits, other loops are refused.
#[repr(C)]
pub struct Condition {
    /// A loop's while somebody waits.
    home: Home,
    waiters: Queue<Waiter>,
}

impl Condition {
    /// One on which nobody waits: all zeroes.
    pub const fn new() -> Condition {
        Condition { home: Home::nobodys(), waiters: Queue::new() }
    }

    /// Unlocks the mutex and waits for word, in one step, and locks it again before it returns, whatever it returns: a
    /// fiber that is cancelled, or past its deadline, waits for its turn at the mutex like any other.
    ///
    /// # Errors
    ///
    /// `EPERM` when the caller does not hold the mutex, or fibers of another loop wait; `EDEADLK` outside a fiber;
    /// `ECANCELED` and `ETIMEDOUT`.
    pub fn wait<K: Kernel>(&self, looped: &Loop<K>, mutex: &Mutex) -> Result<(), Errno> {
        if !looped.in_fiber() {
            return Err(Errno(libc::EDEADLK));
        }
        if !mutex.is_held(looped) {
            return Err(Errno(libc::EPERM));
        }
        self.home.enter(looped)?;
        mutex.unlock(looped)?;
        let waited = Waiter::new(0).wait(looped.because("condition"), &self.waiters);
        self.rest();
        let relocked = insist(looped, mutex);
        waited.and(relocked)
    }

    /// Gives word to the fiber that has waited longest. Does not suspend.
    ///
    /// # Errors
    ///
    /// `EPERM` when fibers of another loop wait.
    pub fn signal<K: Kernel>(&self, looped: &Loop<K>) -> Result<(), Errno> {
        self.home.enter(looped)?;
        if let Some(waiter) = self.waiters.pop() {
            waiter.grant(looped);
        }
        self.rest();
        Ok(())
    }

    /// Gives word to all that wait. Does not suspend.
    ///
    /// # Errors
    ///
    /// `EPERM` when fibers of another loop wait.
    pub fn broadcast<K: Kernel>(&self, looped: &Loop<K>) -> Result<(), Errno> {
        self.home.enter(looped)?;
        while let Some(waiter) = self.waiters.pop() {
            waiter.grant(looped);
        }
        self.rest();
        Ok(())
    }

    fn rest(&self) {
        if self.waiters.is_empty() {
            self.home.leave();
        }
    }
}

impl Default for Condition {
    fn default() -> Self {
        Condition::new()
    }
}

/// Takes the mutex however often the fiber is cancelled and whatever its deadline is: it goes back to code that relies
/// on holding it. A loop that ends refuses every wait; then this asks each time the others have had their turn.
fn insist<K: Kernel>(looped: &Loop<K>, mutex: &Mutex) -> Result<(), Errno> {
    let deadline = looped.deadline(0)?;
    let mut cancelled = false;
    let locked = loop {
        match mutex.lock(looped) {
            Err(Errno(libc::ECANCELED)) => cancelled = true,
            locked => break locked,
        }
    };
    if cancelled {
        looped.cancel_later();
    }
    looped.deadline(deadline)?;
    locked
}
