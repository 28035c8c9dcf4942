//! Random programs over a loop on the model, and the oracle that watches them.

mod bytes;
mod calls;
mod claim;
mod cut;
mod fiber;
mod kernels;
mod messages;
mod peer;
mod plan;
mod rig;
mod run;
mod streams;
mod talk;
mod tickets;
mod together;
mod wide;

pub use calls::Manner;
pub use cut::Cut;
pub use plan::{How, Leave, Link, PairPlan, PeerPlan, Plan, Step};
pub use run::{Tally, run};
