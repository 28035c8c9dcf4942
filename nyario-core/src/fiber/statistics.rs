//! What a loop can say of itself.

use crate::driver::BackendKind;
use crate::runtime;

/// Counts since the loop was made, and what there is at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Statistics {
    /// The runtime's part.
    pub runtime: runtime::Statistics,
    /// The backend at work.
    pub backend: BackendKind,
    /// How often a fiber was resumed.
    pub switches: u64,
    /// Fibers that were ever begun, handlers of connections among them.
    pub spawned: u64,
    /// Fibers that have not ended.
    pub fibers: u64,
    /// Handlers of connections, and calls of timers, that wait for room among the fibers.
    pub crowded: u64,
    /// What was posted to the loop and has arrived.
    pub posted: u64,
    /// Stacks there are.
    pub stacks: u64,
    /// Those of them that wait for a fiber.
    pub stacks_free: u64,
}
