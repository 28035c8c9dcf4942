//! How tables grow that have a place for each descriptor number.

/// How long a table becomes whose place `at` is asked for: an eighth more than that takes. Twice as much, as vectors grow,
/// would be written, and so be memory, for numbers that may never come.
pub(crate) fn length(at: usize) -> usize {
    (at + 1 + at / 8).next_multiple_of(64)
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn there_is_room_and_little_more() {
        for at in (0..1_000_000).step_by(7) {
            assert!(length(at) > at);
            assert!(length(at) <= at + at / 8 + 64);
        }
        // So many moves of the table there are at most.
        let moves = std::iter::successors(Some(0), |&at| Some(length(at))).take_while(|&at| at < 1_000_000).count();
        assert!(moves < 120, "{moves}");
    }
}
