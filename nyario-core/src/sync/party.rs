//! A fiber of any loop, or a thread, that waits on what threads share.

use super::queue::{Link, Linked};
use crate::driver::{OpId, Waker};
use crate::fiber::Loop;
use crate::sys::{Errno, Kernel};
use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, Thread};

/// How a party that has what it waited for is told so.
pub(super) enum Wake<K: Kernel> {
    Fiber { number: u64, park: OpId, waker: Waker<K> },
    Thread(Thread),
}

impl<K: Kernel> Wake<K> {
    /// Tells it. `here` is the calling thread's loop; the lock under which the party was claimed is given back first.
    pub(super) fn tell(self, here: Option<&Loop<K>>) {
        match self {
            Wake::Fiber { number, park, waker } => match here {
                Some(here) if here.number() == number => here.unpark(park, 1),
                _ => waker.complete(park, 1),
            },
            Wake::Thread(thread) => thread.unpark(),
        }
    }
}

/// Lies on the stack of who waits, and waits for one thing out of several, a [`Seat`] for each.
pub(super) struct Party<K: Kernel> {
    /// 0, or the number of the seat that was granted and one.
    claimed: AtomicU32,
    /// Written before the first seat is taken, and taken by the one that claims.
    wake: UnsafeCell<Option<Wake<K>>>,
}

impl<K: Kernel> Party<K> {
    pub(super) fn new() -> Party<K> {
        Party { claimed: AtomicU32::new(0), wake: UnsafeCell::new(None) }
    }

    /// Waits until a seat is granted: on a fiber of `here` that fiber, elsewhere the thread. `sit` takes the seats, or
    /// says which of them is granted on the spot, as there is no need to wait after all.
    ///
    /// The seats are still to be left when this returns; then [`outcome`](Self::outcome) tells what became of it.
    pub(super) fn wait(&self, here: Option<&Loop<K>>, sit: impl FnOnce() -> Option<u32>) -> Result<(), Errno> {
        let set = |wake| {
            // SAFETY: no seat is taken, so nobody else knows of this party.
            unsafe { *self.wake.get() = Some(wake) };
        };
        if let Some(looped) = here.filter(|looped| looped.in_fiber()) {
            let waited = looped.park(|park| {
                set(Wake::Fiber { number: looped.number(), park, waker: looped.waker() });
                if let Some(number) = sit() {
                    self.claimed.store(number + 1, Ordering::Relaxed);
                    looped.unpark(park, 1);
                }
            });
            return waited.map(drop);
        }
        set(Wake::Thread(thread::current()));
        match sit() {
            Some(number) => self.claimed.store(number + 1, Ordering::Relaxed),
            None => {
                while self.claimed.load(Ordering::Acquire) == 0 {
                    thread::park();
                }
            }
        }
        Ok(())
    }

    /// Which seat was granted, once all of them are left. A cancel or a deadline that came after the grant has come too
    /// late: nothing is lost, and the next suspension tells of the cancel.
    pub(super) fn outcome(&self, here: Option<&Loop<K>>, waited: Result<(), Errno>) -> Result<u32, Errno> {
        let Some(number) = self.claimed.load(Ordering::Acquire).checked_sub(1) else {
            return Err(waited.expect_err("only a grant ends the wait well"));
        };
        if let (Err(Errno(libc::ECANCELED)), Some(looped)) = (waited, here) {
            looped.cancel_later();
        }
        Ok(number)
    }
}

/// A party's place in one queue.
#[repr(C)]
pub(super) struct Seat<K: Kernel> {
    link: Link,
    party: Cell<*const Party<K>>,
    /// Where the element that is handed over comes from or goes to.
    pub(super) element: Cell<*mut u8>,
    number: Cell<u32>,
    /// How what was granted went.
    pub(super) result: Cell<i32>,
}

// SAFETY: a link is its first field.
unsafe impl<K: Kernel> Linked for Seat<K> {}

impl<K: Kernel> Seat<K> {
    pub(super) fn new(party: &Party<K>, element: *mut u8, number: u32) -> Seat<K> {
        Seat {
            link: Link::new(),
            party: Cell::new(party),
            element: Cell::new(element),
            number: Cell::new(number),
            result: Cell::new(0),
        }
    }

    /// Claims the party for this seat, which was just taken out of its queue, under the queue's lock. `None` says that
    /// another seat was granted. Under that lock the party and what it lends stay where they are: it leaves each seat,
    /// and so takes each lock, before it goes on.
    pub(super) fn claim(&self) -> Option<Wake<K>> {
        // SAFETY: see above.
        let party = unsafe { &*self.party.get() };
        party.claimed.compare_exchange(0, self.number.get() + 1, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        // SAFETY: written before the seat was taken, and only the one that claims takes it.
        let wake = unsafe { (*party.wake.get()).take() };
        Some(wake.expect("who waits says how it is told"))
    }
}
