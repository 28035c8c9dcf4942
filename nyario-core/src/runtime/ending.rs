//! What ends a loop: a stop, which is at once, or a drain, which lets the fibers that run come to their ends first.

use super::Runtime;
use crate::driver::{Op, OpId, Submitted, Waker};
use crate::sys::Kernel;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// No end is in sight.
const NEVER: u64 = u64::MAX;

/// What others want of a loop.
struct Wishes {
    stop: AtomicBool,
    /// Until when the fibers have time, in nanoseconds of the monotonic clock.
    drain: AtomicU64,
}

/// What has become of the wishes.
pub(super) struct Ending {
    wishes: Arc<Wishes>,
    /// The wish that is being granted.
    drain: u64,
    /// Wakes the loop at the end of the grace.
    alarm: OpId,
}

impl Ending {
    pub(super) fn new() -> Ending {
        let wishes = Wishes { stop: AtomicBool::new(false), drain: AtomicU64::new(NEVER) };
        Ending { wishes: Arc::new(wishes), drain: NEVER, alarm: OpId::NONE }
    }
}

impl<K: Kernel> Runtime<K> {
    /// Asks the loop to end; see [`stopping`](Self::stopping).
    pub fn stopper(&self) -> Stopper<K> {
        Stopper { wishes: self.ending.wishes.clone(), waker: self.driver.waker() }
    }

    /// Whether the loop was asked to end, and any grace is over. The host ends it.
    pub fn stopping(&self) -> bool {
        self.ending.wishes.stop.load(Ordering::Relaxed)
            || (self.draining() && self.driver.kernel().now() >= self.ending.drain)
    }

    /// Whether there is a wish that has not been heeded.
    pub(super) fn is_called(&self) -> bool {
        self.stopping() || self.ending.wishes.drain.load(Ordering::Relaxed) != self.ending.drain
    }

    /// Whether nothing new is begun for those outside.
    pub fn draining(&self) -> bool {
        self.ending.drain != NEVER
    }

    /// Begins to drain, or shortens the grace, if somebody wishes that: servers and connections without a fiber are closed.
    /// To be called between turns. `true` says that it begins: the host's own timers end, too.
    #[inline]
    pub fn heed(&mut self) -> bool {
        let until = self.ending.wishes.drain.load(Ordering::Relaxed);
        let begins = until != self.ending.drain;
        if begins {
            self.drain_until(until);
        }
        begins
    }

    #[cold]
    fn drain_until(&mut self, until: u64) {
        self.ending.drain = until;
        self.shut();
        self.driver.cancel(self.ending.alarm);
        // SAFETY: a park lends no memory.
        if let Submitted::Pending(alarm) = unsafe { self.driver.submit(Op::Park, super::NOBODY, until) } {
            self.ending.alarm = alarm;
        }
    }

    /// Whether the grace is over and the host has not had a turn since. The alarm may have gone off while the host worked off
    /// its events, and then there is nothing left to end a wait.
    #[inline]
    pub(super) fn grace_ends(&mut self) -> bool {
        let ends = self.ending.alarm != OpId::NONE && self.stopping();
        if ends {
            self.ending.alarm = OpId::NONE;
        }
        ends
    }

    /// Nobody waits for the end of the grace any more.
    pub fn hurry(&mut self) {
        self.driver.cancel(std::mem::replace(&mut self.ending.alarm, OpId::NONE));
    }

    /// Forgets that the loop was asked to end.
    pub fn rearm(&mut self) {
        self.ending.wishes.stop.store(false, Ordering::Relaxed);
        self.ending.wishes.drain.store(NEVER, Ordering::Relaxed);
        self.ending.drain = NEVER;
    }
}

/// Asks a loop to end, from any thread or from a signal handler.
pub struct Stopper<K: Kernel> {
    wishes: Arc<Wishes>,
    waker: Waker<K>,
}

impl<K: Kernel> Clone for Stopper<K> {
    fn clone(&self) -> Self {
        Stopper { wishes: self.wishes.clone(), waker: self.waker.clone() }
    }
}

impl<K: Kernel> Stopper<K> {
    /// Asks. Async-signal-safe.
    pub fn stop(&self) {
        self.wishes.stop.store(true, Ordering::Relaxed);
        self.waker.wake();
    }

    /// Asks the loop to begin nothing new and to end once its fibers have ended, or in so many nanoseconds; of several
    /// such wishes the one that ends first counts. Async-signal-safe.
    pub fn drain(&self, grace: u64) {
        let until = self.waker.kernel().now().saturating_add(grace).clamp(1, NEVER - 1);
        self.wishes.drain.fetch_min(until, Ordering::Relaxed);
        self.waker.wake();
    }
}
