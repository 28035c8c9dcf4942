//! The functions that are fuzzed: each takes any bytes, and panics when something is amiss.

mod address;
mod driver;

pub use address::address;
pub use driver::driver;

/// Runs a target over the files that the command line names.
pub fn replay(target: fn(&[u8])) {
    for path in std::env::args().skip(1) {
        target(&std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")));
        println!("{path}: nothing amiss");
    }
}
