//! What a foreign loop needs that waits in the driver's stead: a descriptor to watch, how long it may sleep, and that
//! wake-ups from other threads reach it there.

use super::ledger::Ledger;
use super::{Backend, Driver};
use crate::sys::{Errno, Fd, Kernel};

impl<K: Kernel> Driver<K> {
    /// A descriptor that polls as readable when a turn has something to do, for level-triggered and edge-triggered
    /// waits alike. It stays the driver's.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`, `ENOMEM`, and what the backend says when it cannot be watched.
    pub fn descriptor(&mut self) -> Result<Fd, Errno> {
        match &mut self.backend {
            Backend::Uring(uring) => uring.descriptor(&self.ledger.kernel, self.waker.event_abroad()?),
            Backend::Readiness(readiness) => Ok(readiness.descriptor()),
        }
    }

    /// Goes to sleep outside of [`turn`](Self::turn): from now on what happens shows at [`descriptor`](Self::descriptor),
    /// and a wake-up rings the alarm. `false` says that there is something for a turn to do at once. The next turn ends
    /// the sleep.
    pub fn doze(&mut self) -> bool {
        if self.has_news() {
            return false;
        }
        let settled = match &mut self.backend {
            Backend::Uring(uring) => uring.settle(&self.ledger.kernel),
            Backend::Readiness(readiness) => readiness.settle(&self.ledger.kernel),
        };
        settled && self.waker.fall_asleep_abroad()
    }

    /// Ends what [`doze`](Self::doze) began, if it did, takes what other threads have said, and looks at the clock.
    pub fn rouse(&mut self) {
        let Ledger { slab, kernel, .. } = &mut self.ledger;
        slab.tick(kernel.lately());
        for (op, result) in self.waker.awaken() {
            self.notes += 1;
            self.complete(op, result);
        }
    }

    /// Nanoseconds until the earliest deadline; `None` without one.
    pub fn until_deadline(&self) -> Option<u64> {
        self.ledger.timers.earliest().map(|when| when.saturating_sub(self.ledger.kernel.now()))
    }

    /// Sets what is called, on their threads and in their signal handlers, by those who wake a driver that
    /// [`doze`](Self::doze)s; once for each sleep. Without one its descriptor becomes readable.
    pub fn set_alarm(&self, ring: Option<Box<dyn Fn() + Send + Sync>>) {
        self.waker.set_alarm(ring);
    }
}
