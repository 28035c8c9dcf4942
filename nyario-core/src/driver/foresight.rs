//! What the next results will need, fetched into the processor's cache while there is something else to do.
//!
//! ```text
//!   places off     4             3             2            1
//!   fetched        descriptor -> operation  -> fiber     -> stack
//!                  \____ by the driver ____/   \__ by the host __/
//! ```
//!
//! With thousands of connections, a message meets records and a stack that have left the cache since the last one, and
//! each is found only through the one before it. To wait for one after the other takes longer than the work does. So each
//! step of a result's chain is made while an earlier result is worked off.

use super::list::Index;
use super::{Backend, Driver};
use crate::cache::fetch;
use crate::sys::{Fd, Kernel};

/// Through what a result is found that has not been taken yet.
pub(super) enum Ahead {
    Descriptor(Fd),
    Operation(Index),
}

/// Whose results are likely to come after the next, as far as that is known.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Foreseen {
    /// The waiter of the result after the next.
    pub soon: Option<u64>,
    /// The waiter of the one after that.
    pub later: Option<u64>,
}

impl<K: Kernel> Driver<K> {
    /// Fetches what the results after the next will need into the cache, and tells whose they are likely to be. To be
    /// called before each [`next`](Self::next). Where few results wait, it does nothing: what they need is in the cache
    /// still.
    ///
    /// Each waiter named is that of an operation that has not completed.
    #[inline(always)]
    pub fn foresee(&self) -> Foreseen {
        let Some(far) = self.ahead(4) else { return Foreseen::default() };
        if let Ahead::Descriptor(fd) = far
            && let Some(record) = self.ledger.fds.get(fd)
        {
            fetch(record);
        }
        if let Some(op) = self.ahead(3).and_then(|ahead| self.operation(ahead)) {
            fetch(self.ledger.slab.place(op));
        }
        Foreseen { soon: self.waiter(1), later: self.waiter(2) }
    }

    #[inline(always)]
    fn ahead(&self, places: usize) -> Option<Ahead> {
        match &self.backend {
            Backend::Uring(uring) => uring.ahead(places),
            Backend::Readiness(readiness) => readiness.ahead(places).map(Ahead::Descriptor),
        }
    }

    /// Most of what comes is for readers.
    #[inline(always)]
    fn operation(&self, ahead: Ahead) -> Option<Index> {
        match ahead {
            Ahead::Operation(index) => Some(index),
            Ahead::Descriptor(fd) => self.ledger.fds.get(fd).map(|record| record.read.first()),
        }
    }

    #[inline(always)]
    fn waiter(&self, places: usize) -> Option<u64> {
        let index = self.operation(self.ahead(places)?)?;
        self.ledger.slab.waiter(index)
    }
}
