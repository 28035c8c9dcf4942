//! What `nyario.h` says, put in order and into manual pages.
//!
//! ```text
//!   comments of nyario-capi -> cbindgen -> arrange -> nyario.h -> parse -> rules: is everything said?
//!                                                                       -> pages: one per function, and nyario(7)
//! ```

#![deny(clippy::undocumented_unsafe_blocks)]

pub mod arrange;
pub mod doc;
pub mod header;
pub mod page;
pub mod roff;
pub mod rules;
