//! What a driver has done so far, and what it holds. Counted where something is written anyway, or derived.

use super::{Backend, Driver};
use crate::sys::Kernel;

/// Counts since the driver was made, and what there is at present.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Statistics {
    /// Looks at the kernel that were system calls.
    pub enters: u64,
    /// Operations that were over as soon as they were begun.
    pub at_once: u64,
    /// Operations that had to wait; parks are among them.
    pub waited: u64,
    /// Those of them that are still waiting or have not been handed out.
    pub pending: u64,
    /// Armed deadlines.
    pub timers: u64,
    /// Notes that other threads have left.
    pub notes: u64,
    /// Descriptors that somebody else opened and that are known to the driver.
    pub adopted: u64,
    /// Provided buffers there are.
    pub buffers: u64,
    /// Those of them that hold bytes for which nobody has asked yet.
    pub buffers_used: u64,
}

impl<K: Kernel> Driver<K> {
    /// What the driver has done and holds.
    pub fn statistics(&self) -> Statistics {
        let (enters, (buffers, buffers_used)) = match &self.backend {
            Backend::Uring(uring) => (uring.enters(), uring.buffer_counts()),
            Backend::Readiness(readiness) => (readiness.enters(), (0, 0)),
        };
        Statistics {
            enters,
            at_once: self.at_once,
            waited: self.ledger.slab.taken(),
            pending: self.pending() as u64,
            timers: self.ledger.timers.len() as u64,
            notes: self.notes,
            adopted: self.ledger.fds.identities.len() as u64,
            buffers,
            buffers_used,
        }
    }
}
