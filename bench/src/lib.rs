//! What the two programs of nyario's benchmarks share: a load generator that trusts no answer, and the
//! arithmetic of a comparison that repeats on a noisy machine.

#![deny(missing_docs)]

pub mod address;
pub mod args;
pub mod compare;
pub mod cores;
mod epoll;
pub mod load;
pub mod order;
pub mod peers;
pub mod process;
pub mod server;
pub mod stats;
mod stream;
pub mod wire;
