//! A fiber that waits for another of its own loop.

use super::queue::{Link, Linked, Queue};
use crate::driver::OpId;
use crate::fiber::Loop;
use crate::sys::{Errno, Kernel};
use std::cell::Cell;

/// Lies on the stack of the fiber that waits.
#[repr(C)]
pub(super) struct Waiter {
    link: Link,
    park: Cell<OpId>,
    granted: Cell<bool>,
    /// What it waits for, in the words of the thing that it waits on.
    pub(super) wants: u64,
}

// SAFETY: a link is its first field.
unsafe impl Linked for Waiter {}

impl Waiter {
    pub(super) fn new(wants: u64) -> Waiter {
        Waiter { link: Link::new(), park: Cell::new(OpId::NONE), granted: Cell::new(false), wants }
    }

    /// Waits in that queue until it is [granted](Self::grant) what it wants. A cancel or a deadline that comes after
    /// that has come too late: nothing is lost, and the next suspension tells of the cancel.
    pub(super) fn wait<K: Kernel>(&self, looped: &Loop<K>, queue: &Queue<Waiter>) -> Result<(), Errno> {
        let ended = looped.park(|park| {
            self.park.set(park);
            // SAFETY: it is in no queue yet; it is out of this one before this function, and so its stack frame, ends.
            unsafe { queue.push(self) };
        });
        if self.granted.get() {
            if ended == Err(Errno(libc::ECANCELED)) {
                looped.cancel_later();
            }
            return Ok(());
        }
        queue.remove(self);
        Err(ended.expect_err("only a grant ends the park well"))
    }

    /// Gives it what it wants. Whoever grants has taken it out of its queue.
    pub(super) fn grant<K: Kernel>(&self, looped: &Loop<K>) {
        self.granted.set(true);
        looped.unpark(self.park.get(), 1);
    }
}

/// Who calls, as owners are written down: a fiber by its name, and the thread that is on none of them.
pub(super) fn caller<K: Kernel>(looped: &Loop<K>) -> u64 {
    const THREAD: u64 = u64::MAX;
    looped.me().map_or(THREAD, |id| id.word())
}
