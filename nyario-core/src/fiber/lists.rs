//! Lists that calls borrow while they wait, so that none is allocated once as many have been used at a time.

use std::cell::RefCell;

/// Lists that nobody uses now.
pub(crate) struct Lists<T>(RefCell<Vec<Vec<T>>>);

impl<T> Lists<T> {
    pub(crate) const fn new() -> Lists<T> {
        Lists(RefCell::new(Vec::new()))
    }

    /// Lends an empty list for the time of `work`, which may suspend its fiber.
    pub(crate) fn lend<R>(&self, work: impl FnOnce(&mut Vec<T>) -> R) -> R {
        let mut list = self.0.borrow_mut().pop().unwrap_or_default();
        let result = work(&mut list);
        list.clear();
        self.0.borrow_mut().push(list);
        result
    }
}
