//! Native fibers, and the loop that drives them.
//!
//! ```text
//!                      +------------------- Loop::run ---------------------+
//!   spawn, yield --->  | ready:        resume them in order; whoever       |
//!                      |               yields runs the next one itself     |
//!                      | deliver:      Event -> resume, or start a handler | <---- completions
//!                      | turn:         one look at the kernel              | ----> submissions
//!                      +---------------------------------------------------+
//!   a fiber:  read(fd) -> submit -> done at once?  go on
//!                                -> pending?       suspend to the loop; resumed with the result
//! ```
//!
//! A fiber is a stack with its control block at the top. It never moves to another thread and is never unwound from
//! outside: cancelling makes what it waits for fail, and the code on it ends in its own time. While the kernel holds
//! one of its buffers it stays parked, so a buffer on its stack is as good as any.

mod blocking;
mod callback;
mod checkers;
mod cold;
mod context;
mod control;
mod ending;
mod keys;
mod lists;
mod name;
mod post;
mod report;
mod scheduler;
mod stack;
mod statistics;
mod table;
mod timers;

pub use keys::{Destructor, Key};
pub use name::Name;
pub use post::Poster;
pub use report::{Report, State};
pub(crate) use scheduler::Overflow;
pub use scheduler::{Loop, Options};
pub use statistics::Statistics;
pub use table::FiberId;
pub use timers::TimerId;
