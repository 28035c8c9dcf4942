//! Many readers or one writer.

use super::home::Home;
use super::queue::Queue;
use super::waiter::{Waiter, caller};
use crate::fiber::Loop;
use crate::sys::{Errno, Kernel};
use std::cell::Cell;

/// A lock that any number of readers hold together, or one writer alone. They come in in the order in which they asked:
/// a reader waits behind a writer that waits, so neither starves. Fibers of one loop share it; while it is held, other
/// loops are refused.
#[repr(C)]
pub struct RwLock {
    /// A loop's while somebody holds it.
    home: Home,
    /// Who writes; 0 when nobody does.
    writer: Cell<u64>,
    readers: Cell<u64>,
    waiters: Queue<Waiter>,
}

/// What a reader wants; a writer wants to be [`RwLock::writer`].
const TO_READ: u64 = 0;

impl RwLock {
    /// One that nobody holds: all zeroes.
    pub const fn new() -> RwLock {
        RwLock { home: Home::nobodys(), writer: Cell::new(0), readers: Cell::new(0), waiters: Queue::new() }
    }

    /// Comes in to read; the fiber waits for its turn. Whoever reads already must not: a writer that waits would be
    /// waited for by those that it waits for.
    ///
    /// # Errors
    ///
    /// `EDEADLK` when the caller writes, or outside a fiber when it would have to wait; `EPERM` when fibers of another
    /// loop hold it; `ECANCELED` and `ETIMEDOUT`, and then it is not held.
    pub fn read<K: Kernel>(&self, looped: &Loop<K>) -> Result<(), Errno> {
        self.come_in(looped, TO_READ)
    }

    /// Comes in to write; the fiber waits for its turn.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn write<K: Kernel>(&self, looped: &Loop<K>) -> Result<(), Errno> {
        self.come_in(looped, caller(looped))
    }

    /// Comes in to read if nobody writes or waits.
    ///
    /// # Errors
    ///
    /// `EBUSY` when somebody does; `EPERM` when fibers of another loop hold it.
    pub fn try_read<K: Kernel>(&self, looped: &Loop<K>) -> Result<(), Errno> {
        self.try_come_in(looped, TO_READ)
    }

    /// Comes in to write if nobody holds it.
    ///
    /// # Errors
    ///
    /// `EBUSY` when somebody does; `EPERM` when fibers of another loop hold it.
    pub fn try_write<K: Kernel>(&self, looped: &Loop<K>) -> Result<(), Errno> {
        self.try_come_in(looped, caller(looped))
    }

    fn come_in<K: Kernel>(&self, looped: &Loop<K>, wants: u64) -> Result<(), Errno> {
        match self.try_come_in(looped, wants) {
            Err(Errno(libc::EBUSY)) => {}
            done => return done,
        }
        if self.writer.get() == caller(looped) {
            return Err(Errno(libc::EDEADLK));
        }
        let waited = Waiter::new(wants).wait(looped.because("rwlock"), &self.waiters);
        if waited.is_err() {
            // Those behind a writer that has given up may be let in by now.
            self.let_in(looped);
        }
        waited
    }

    fn try_come_in<K: Kernel>(&self, looped: &Loop<K>, wants: u64) -> Result<(), Errno> {
        self.home.enter(looped)?;
        if !self.waiters.is_empty() || !self.admits(wants) {
            return Err(Errno(libc::EBUSY));
        }
        self.admit(wants);
        Ok(())
    }

    fn admits(&self, wants: u64) -> bool {
        self.writer.get() == 0 && (wants == TO_READ || self.readers.get() == 0)
    }

    fn admit(&self, wants: u64) {
        match wants {
            TO_READ => self.readers.set(self.readers.get() + 1),
            writer => self.writer.set(writer),
        }
    }

    /// Lets in as many of those that wait as may come in, in their order.
    fn let_in<K: Kernel>(&self, looped: &Loop<K>) {
        while let Some(first) = self.waiters.first().filter(|first| self.admits(first.wants)) {
            self.waiters.remove(first);
            self.admit(first.wants);
            first.grant(looped);
        }
    }

    /// Goes out: the writer, or one of the readers. Does not suspend.
    ///
    /// # Errors
    ///
    /// `EPERM` when another fiber writes, when nobody holds it, or when fibers of another loop do. Who reads is not
    /// written down: that the caller is one of the readers is taken for granted.
    pub fn unlock<K: Kernel>(&self, looped: &Loop<K>) -> Result<(), Errno> {
        if !self.home.is(looped) {
            return Err(Errno(libc::EPERM));
        }
        match self.writer.get() {
            0 => self.readers.set(self.readers.get() - 1),
            writer if writer == caller(looped) => self.writer.set(0),
            _ => return Err(Errno(libc::EPERM)),
        }
        self.let_in(looped);
        if self.writer.get() == 0 && self.readers.get() == 0 {
            self.home.leave();
        }
        Ok(())
    }
}

impl Default for RwLock {
    fn default() -> Self {
        RwLock::new()
    }
}
