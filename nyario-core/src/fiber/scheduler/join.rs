//! What fibers do to each other and to themselves: joining, cancelling, deadlines.

use super::Loop;
use crate::driver::OpId;
use crate::fiber::control::Fiber;
use crate::fiber::table::{FiberId, Outcome};
use crate::sys::{Errno, Kernel};

impl<K: Kernel> Loop<K> {
    /// Waits for a fiber to end and takes its value.
    ///
    /// # Errors
    ///
    /// `ESRCH` when there is none of that name (any more), `EINVAL` when it is detached or somebody joins it already,
    /// `EDEADLK` for a fiber that joins itself or a call outside a fiber, `ENOTRECOVERABLE` when it panicked, and
    /// `ECANCELED` or `ETIMEDOUT`: then it was not joined.
    pub fn join(&self, id: FiberId) -> Result<u64, Errno> {
        let fiber = self.current.get();
        let waits = self.with(|inner| {
            let entry = inner.fibers.get(id).ok_or(Errno(libc::ESRCH))?;
            if entry.detached || entry.joiner != OpId::NONE {
                return Err(Errno(libc::EINVAL));
            }
            let ended = entry.fiber.is_null();
            if !ended && (fiber.is_null() || entry.fiber == fiber) {
                return Err(Errno(libc::EDEADLK));
            }
            Ok(!ended)
        })?;
        let announce = |park| self.with(|inner| inner.fibers.get(id).expect("found above").joiner = park);
        let waited = if waits { self.because("join").park(announce).map(drop) } else { Ok(()) };
        self.with(|inner| {
            let entry = inner.fibers.get(id).expect("only its one joiner removes it");
            entry.joiner = OpId::NONE;
            if !entry.fiber.is_null() {
                return Err(waited.expect_err("only the fiber's end ends the park well"));
            }
            let outcome = entry.outcome;
            inner.fibers.remove(id);
            match outcome {
                Outcome::Value(value) => Ok(value),
                Outcome::Panicked => Err(Errno(libc::ENOTRECOVERABLE)),
            }
        })
    }

    /// Declares that nobody will join the fiber.
    ///
    /// # Errors
    ///
    /// `ESRCH` when there is none of that name, `EINVAL` when it is detached or being joined already.
    pub fn detach(&self, id: FiberId) -> Result<(), Errno> {
        self.with(|inner| {
            let entry = inner.fibers.get(id).ok_or(Errno(libc::ESRCH))?;
            if entry.detached || entry.joiner != OpId::NONE {
                return Err(Errno(libc::EINVAL));
            }
            entry.detached = true;
            if entry.fiber.is_null() {
                inner.fibers.remove(id);
            }
            Ok(())
        })
    }

    /// Makes the fiber's present suspension fail with `ECANCELED`, or its next one: when it does not wait now, or when
    /// what it waits for is achieved before the cancel reaches it, which is then returned and not lost.
    ///
    /// # Errors
    ///
    /// `ESRCH` when there is none of that name, or it has ended.
    pub fn cancel(&self, id: FiberId) -> Result<(), Errno> {
        self.with(|inner| {
            let fiber = inner.fiber(id)?;
            // SAFETY: it has not ended.
            unsafe {
                (*fiber).cancelled = true;
                inner.runtime.cancel((*fiber).op);
            }
            Ok(())
        })
    }

    /// The running fiber was told of a cancel by a call that has something else to say: the next suspension tells it.
    pub(crate) fn cancel_later(&self) {
        let fiber = self.current.get();
        if !fiber.is_null() {
            // SAFETY: the fiber runs.
            unsafe { (*fiber).cancelled = true };
        }
    }

    /// Sets the running fiber's deadline, in nanoseconds of the monotonic clock, 0 for none: whatever it waits for
    /// past then fails with `ETIMEDOUT`. The one before is returned.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside a fiber.
    pub fn deadline(&self, when: u64) -> Result<u64, Errno> {
        let fiber = self.running_fiber()?;
        // SAFETY: the fiber runs.
        Ok(unsafe { std::mem::replace(&mut (*fiber).deadline, when) })
    }

    /// Narrows the running fiber's deadline to so many nanoseconds from now, unless it is sooner already. The one before
    /// is returned, for [`deadline`](Self::deadline) to restore: so scopes nest.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside a fiber.
    pub fn within(&self, nanos: u64) -> Result<u64, Errno> {
        // A deadline is told as a signed number.
        let when = self.look_at_the_clock().saturating_add(nanos).clamp(1, i64::MAX as u64);
        let fiber = self.running_fiber()?;
        // SAFETY: the fiber runs.
        let deadline = unsafe { &mut (*fiber).deadline };
        let narrowed = if *deadline == 0 { when } else { when.min(*deadline) };
        Ok(std::mem::replace(deadline, narrowed))
    }

    /// The running fiber, or `EINVAL` outside one.
    pub(in crate::fiber) fn running_fiber(&self) -> Result<*mut Fiber, Errno> {
        let fiber = self.current.get();
        if fiber.is_null() { Err(Errno(libc::EINVAL)) } else { Ok(fiber) }
    }
}
