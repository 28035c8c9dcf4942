//! The order of a round: another one each time, so that no server always follows the same one.

use std::hash::{BuildHasher, RandomState};

/// The numbers below `count` in random order.
pub fn shuffled(count: usize) -> Vec<usize> {
    let random = RandomState::new();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_cached_key(|index| random.hash_one(index));
    order
}
