//! What the programs of nyario's benchmarks share: a load generator that trusts no answer, and the
//! arithmetic of a comparison that repeats on a noisy machine.

#![deny(missing_docs)]

pub mod address;
pub mod args;
pub mod compare;
pub mod cores;
pub mod crowd;
mod dial;
mod epoll;
pub mod idle;
pub mod load;
pub mod machine;
pub mod measurement;
pub mod memory;
pub mod million;
pub mod order;
pub mod peers;
pub mod plan;
pub mod process;
pub mod programs;
pub mod report;
pub mod server;
pub mod stats;
pub mod steady;
mod stream;
pub mod turns;
pub mod wire;
