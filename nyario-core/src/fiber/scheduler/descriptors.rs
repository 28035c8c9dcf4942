//! What calls on descriptors ask of the loop besides operations.

use super::Loop;
use crate::driver::{Carries, End, Op};
use crate::fiber::lists::Lists;
use crate::sys::{Errno, Fd, Kernel};

impl<K: Kernel> Loop<K> {
    /// Enters a socket that the caller opened: nyario alone will read it. See [`Driver::own`](crate::driver::Driver::own).
    ///
    /// # Errors
    ///
    /// As [`Driver::own`](crate::driver::Driver::own).
    pub fn opened(&self, fd: Fd, nonblocking: bool) -> Result<(), Errno> {
        self.with(|inner| inner.runtime.opened(fd, nonblocking)).map(drop)
    }

    /// The same of a socket of which it is known what comes by it.
    ///
    /// # Errors
    ///
    /// As [`Driver::own`](crate::driver::Driver::own).
    pub fn opened_as(&self, fd: Fd, nonblocking: bool, carries: Carries) -> Result<(), Errno> {
        self.with(|inner| inner.runtime.opened_as(fd, nonblocking, carries)).map(drop)
    }

    /// Carries a socket's call with flags out without waiting: see [`Driver::attempt`](crate::driver::Driver::attempt).
    ///
    /// # Safety
    ///
    /// The operation's pointers must be valid.
    pub unsafe fn attempt(&self, op: Op) -> i32 {
        // SAFETY: forwarded from the caller.
        self.with(|inner| unsafe { inner.runtime.driver().attempt(op) })
    }

    /// Lists of descriptors to be borrowed while a call waits for them.
    pub(crate) fn pollfds(&self) -> &Lists<libc::pollfd> {
        &self.pollfds
    }

    /// The poll bits among `events` that hold because of what the loop has received: see [`Driver::held`].
    pub(crate) fn held(&self, fd: Fd, events: u32) -> u32 {
        self.with(|inner| inner.runtime.driver().held(fd, events))
    }

    /// Works off what the kernel has received for the loop: see [`Driver::catch_up`].
    pub(crate) fn catch_up(&self, fd: Fd) {
        self.with(|inner| inner.runtime.driver().catch_up(fd));
    }

    /// Whether a multishot receive is at work: see [`Driver::receives`].
    pub(crate) fn receives(&self, fd: Fd) -> bool {
        self.with(|inner| inner.runtime.driver().receives(fd))
    }

    /// Moves bytes without waiting: see [`Driver::splice`].
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn splice(&self, from: End, to: End, len: usize, flags: u32) -> i32 {
        // SAFETY: forwarded from the caller.
        self.with(|inner| unsafe { inner.runtime.driver().splice(from, to, len, flags) })
    }

    /// Sends of a file without waiting: see [`Driver::sendfile`].
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn sendfile(&self, to: Fd, from: End, len: usize) -> i32 {
        // SAFETY: forwarded from the caller.
        self.with(|inner| unsafe { inner.runtime.driver().sendfile(to, from, len) })
    }

    /// Receives nothing ahead any more: see [`Driver::fall_behind`].
    pub(crate) fn fall_behind(&self, fd: Fd) {
        self.with(|inner| inner.runtime.driver().fall_behind(fd));
    }
}
