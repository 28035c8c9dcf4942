//! Several fibers may read or write one end. Operations on it are served in the order in which they were begun, so each
//! takes a ticket when it begins, and what it moved has its place by that.

use std::collections::VecDeque;

pub(super) struct Tickets<T> {
    /// The ticket that is first in `open`.
    first: u64,
    /// For each ticket since, what came of it once it is over.
    open: VecDeque<Option<T>>,
}

impl<T> Default for Tickets<T> {
    fn default() -> Tickets<T> {
        Tickets { first: 0, open: VecDeque::new() }
    }
}

impl<T> Tickets<T> {
    pub(super) fn begin(&mut self) -> u64 {
        self.open.push_back(None);
        self.first + self.open.len() as u64 - 1
    }

    pub(super) fn settle(&mut self, ticket: u64, outcome: T) {
        let place = &mut self.open[(ticket - self.first) as usize];
        assert!(place.is_none(), "an operation completes once");
        *place = Some(outcome);
    }

    /// The next outcome whose place is certain.
    pub(super) fn next(&mut self) -> Option<T> {
        let outcome = self.open.front_mut()?.take()?;
        self.open.pop_front();
        self.first += 1;
        Some(outcome)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
