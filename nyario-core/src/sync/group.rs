//! Waiting until a number of things are done.

use super::home::Home;
use super::queue::Queue;
use super::waiter::Waiter;
use crate::fiber::Loop;
use crate::sys::{Errno, Kernel};
use std::cell::Cell;

/// Counts what is under way, and lets fibers wait until nothing is. Fibers of one loop share it; while something is
/// under way, other loops are refused.
#[repr(C)]
pub struct Group {
    /// A loop's while something is under way.
    home: Home,
    count: Cell<u64>,
    waiters: Queue<Waiter>,
}

impl Group {
    /// One with nothing under way: all zeroes.
    pub const fn new() -> Group {
        Group { home: Home::nobodys(), count: Cell::new(0), waiters: Queue::new() }
    }

    /// So many more are under way. Does not suspend.
    ///
    /// # Errors
    ///
    /// `EPERM` when fibers of another loop use it; `EOVERFLOW` above 2^63 - 1.
    pub fn add<K: Kernel>(&self, looped: &Loop<K>, more: u64) -> Result<(), Errno> {
        if more == 0 {
            return Ok(());
        }
        let count = self.count_of(looped)?.checked_add(more).filter(|&count| i64::try_from(count).is_ok());
        let count = count.ok_or(Errno(libc::EOVERFLOW))?;
        self.home.enter(looped)?;
        self.count.set(count);
        Ok(())
    }

    /// One is done; with the last, all that wait go on. Does not suspend.
    ///
    /// # Errors
    ///
    /// `EPERM` when fibers of another loop use it, `EINVAL` when nothing is under way.
    pub fn done<K: Kernel>(&self, looped: &Loop<K>) -> Result<(), Errno> {
        let left = self.count_of(looped)?.checked_sub(1).ok_or(Errno(libc::EINVAL))?;
        self.count.set(left);
        if left == 0 {
            while let Some(waiter) = self.waiters.pop() {
                waiter.grant(looped);
            }
            self.home.leave();
        }
        Ok(())
    }

    /// Waits until nothing is under way; what is added later is not waited for.
    ///
    /// # Errors
    ///
    /// `EPERM` when fibers of another loop use it; `EDEADLK` outside a fiber while something is under way; `ECANCELED`
    /// and `ETIMEDOUT`.
    pub fn wait<K: Kernel>(&self, looped: &Loop<K>) -> Result<(), Errno> {
        match self.count_of(looped)? {
            0 => Ok(()),
            _ => Waiter::new(0).wait(looped.because("group"), &self.waiters),
        }
    }

    fn count_of<K: Kernel>(&self, looped: &Loop<K>) -> Result<u64, Errno> {
        if self.home.enter(looped)? {
            // Nothing is under way; a loop that only asks does not take it.
            self.home.leave();
            return Ok(0);
        }
        Ok(self.count.get())
    }
}

impl Default for Group {
    fn default() -> Self {
        Group::new()
    }
}
