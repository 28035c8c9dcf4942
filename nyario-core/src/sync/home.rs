//! Which loop uses a thing that belongs to one loop at a time.

use crate::fiber::Loop;
use crate::sys::{Errno, Kernel};
use std::sync::atomic::{AtomicU64, Ordering};

/// The loop that uses a thing at present, by its number; 0 when nobody does. Whatever else the thing consists of is
/// touched by that loop's thread alone, so that a thread which comes by mistake is told so and corrupts nothing.
#[repr(transparent)]
pub(super) struct Home(AtomicU64);

impl Home {
    /// All zeroes.
    pub(super) const fn nobodys() -> Home {
        Home(AtomicU64::new(0))
    }

    /// Begins to use the thing, or goes on. `true` says that nobody used it before.
    pub(super) fn enter<K: Kernel>(&self, looped: &Loop<K>) -> Result<bool, Errno> {
        if self.is(looped) {
            return Ok(false);
        }
        match self.0.compare_exchange(0, looped.number(), Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(true),
            Err(_) => Err(Errno(libc::EPERM)),
        }
    }

    /// Whether that loop uses the thing.
    pub(super) fn is<K: Kernel>(&self, looped: &Loop<K>) -> bool {
        self.0.load(Ordering::Relaxed) == looped.number()
    }

    /// The loop that uses the thing has done with it: another may come.
    pub(super) fn leave(&self) {
        self.0.store(0, Ordering::Release);
    }
}
