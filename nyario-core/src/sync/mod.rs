//! What fibers synchronise with.
//!
//! ```text
//!   within one loop:   Mutex, RwLock, Condition, Group    a queue of Waiters, and the number of the loop that uses it
//!   across threads:    Semaphore, Channel, choose         queues of Seats, under a small lock
//!
//!   wait:   lie down in the queue (on the own stack), park         -- cancel, deadline: leave the queue
//!   grant:  take the first out of the queue, mark it, end its park -- too late for the cancel: it has what it wanted
//! ```
//!
//! All of them are plain values, all zeroes when they are new, and allocate nothing to wait. All are fair: what is given
//! back is handed to who has waited longest, and nobody can snatch it on the way. Whether a fiber got what it waited for
//! is decided by that mark alone, not by how its park ended: so a cancel or a deadline that races with a grant loses
//! neither. What threads share is held by value as well; who waits on it may be a fiber of any loop, or a thread that is
//! on none.

mod channel;
mod choose;
mod condition;
mod group;
mod home;
mod lock;
#[cfg(all(test, loom))]
mod models;
mod mutex;
mod party;
mod queue;
mod ring;
mod rwlock;
mod semaphore;
mod waiter;

pub use channel::Channel;
pub use choose::{Case, choose};
pub use condition::Condition;
pub use group::Group;
pub use mutex::Mutex;
pub use rwlock::RwLock;
pub use semaphore::Semaphore;
