//! A loop within somebody else's: that one waits, and this one takes a turn when there is something to do.
//!
//! ```text
//!   foreign loop:   wait until descriptor() is readable, for at most until_due(), or until the alarm rings
//!                   turn(Some(0))
//! ```

use super::Loop;
use crate::sys::{Errno, Fd, Kernel};

/// How often one turn comes back for what its fibers have brought about, before the foreign loop has its own.
const STEPS: u32 = 16;

impl<K: Kernel> Loop<K> {
    /// A descriptor that polls as readable when a turn has something to do. It stays the loop's, and is valid as long.
    ///
    /// # Errors
    ///
    /// As [`Driver::descriptor`](crate::driver::Driver::descriptor).
    pub fn descriptor(&self) -> Result<Fd, Errno> {
        self.with(|inner| inner.runtime.driver().descriptor())
    }

    /// How many nanoseconds may pass before the next turn, unless the descriptor becomes readable or the alarm rings
    /// before; `None`: as many as it takes. To be asked right before each wait: whatever the thread has done with the
    /// loop since its last turn counts.
    ///
    /// # Errors
    ///
    /// `EDEADLK` on a fiber, and where the loop runs already.
    pub fn until_due(&self) -> Result<Option<u64>, Errno> {
        if self.running.get() {
            return Err(Errno(libc::EDEADLK));
        }
        Ok(self.with(|inner| {
            if inner.wants_to_run() || inner.wants_to_begin() {
                return Some(0);
            }
            inner.runtime.until_due(inner.is_restless())
        }))
    }

    /// Runs what is ready, with one look at the kernel that waits for up to `limit` nanoseconds (`None`: as long as it
    /// takes) when nothing is, and then what has become ready by that. Afterwards everything that fibers have asked
    /// for has been submitted. After a [`stop`](Self::stop) or a [`drain`](Self::drain) it ends the loop, as
    /// [`run`](Self::run) does; without one nothing is closed when the last fiber ends. `true` says that there is a fiber, a timer or a server left.
    ///
    /// # Errors
    ///
    /// `EDEADLK` on a fiber, and where the loop runs already.
    pub fn turn(&self, limit: Option<u64>) -> Result<bool, Errno> {
        if self.running.replace(true) {
            return Err(Errno(libc::EDEADLK));
        }
        let mut limit = limit;
        self.with(|inner| inner.runtime.driver().rouse());
        for _ in 0..STEPS {
            if self.is_over() {
                self.end();
                self.with(|inner| inner.runtime.rearm());
                break;
            }
            self.step(limit);
            limit = Some(0);
            let dozes = self.with(|inner| {
                if inner.runtime.sweep_in_time(inner.is_restless()) {
                    inner.stacks.trim();
                }
                !inner.wants_to_run() && !inner.wants_to_begin() && inner.runtime.doze()
            });
            if dozes && !self.is_over() {
                break;
            }
        }
        self.running.set(false);
        Ok(self.has_work())
    }

    fn is_over(&self) -> bool {
        let (stopping, draining) = self.with(|inner| (inner.runtime.stopping(), inner.runtime.draining()));
        stopping || (draining && !self.has_work())
    }

    /// Sets what is called by those who wake the loop between its turns, on their threads and in their signal handlers:
    /// once for each time that the loop has gone to sleep. Without one the descriptor becomes readable instead.
    pub fn set_alarm(&self, ring: Option<Box<dyn Fn() + Send + Sync>>) {
        self.with(|inner| inner.runtime.driver().set_alarm(ring));
    }
}
