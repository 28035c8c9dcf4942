//! The core of nyario: blocking-style code at event-loop speed.
//!
//! The layers, each of which knows only those above it:
//!
//! * [`sys`]: the one seam to the kernel;
//! * [`driver`]: operations in, completions out, over io_uring, epoll or kqueue;
//! * [`conn`]: what each descriptor is to us;
//! * [`runtime`]: a turn of the loop, servers, and the events that a host runs on its fibers;
//! * [`fiber`]: native fibers and the loop that drives them;
//! * [`net`]: addresses, listening and dialling;
//! * [`sync`]: what fibers and threads wait for each other with;
//! * [`offload`]: threads for what would block;
//! * [`process`], [`signal`]: children and signals, as something to wait for;
//! * [`local`]: the calling thread's own loop.
//!
//! A host with fibers of its own, such as the Ruby extension, builds on [`runtime`]; everyone else wants
//! [`fiber::Loop`].

pub mod cache;
pub mod conn;
pub mod driver;
pub mod fiber;
mod growth;
pub mod local;
pub mod net;
pub mod offload;
pub mod process;
pub mod runtime;
pub mod signal;
pub mod sync;
pub mod sys;
mod trace;
