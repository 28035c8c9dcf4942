//! What a loop shows of itself.

use super::Loop;
use crate::fiber::Statistics;
use crate::sys::Kernel;

impl<K: Kernel> Loop<K> {
    /// What the loop has done so far, and what it holds. Only what cannot be derived is counted.
    pub fn statistics(&self) -> Statistics {
        self.with(|inner| {
            let (stacks, stacks_free) = inner.stacks.counts();
            Statistics {
                runtime: inner.runtime.statistics(),
                backend: inner.runtime.backend(),
                switches: self.switches.get(),
                spawned: inner.fibers.spawned(),
                fibers: inner.fibers.live() as u64,
                crowded: inner.crowded.len() as u64,
                posted: inner.posted.received(),
                stacks,
                stacks_free,
            }
        })
    }
}
