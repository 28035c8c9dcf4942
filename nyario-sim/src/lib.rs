//! nyario's core over a model kernel: the backends' own code, millions of times, from a seed.

pub mod model;
pub mod program;
pub mod random;
