//! A fiber of any loop, or a thread, that waits on what threads share.

use super::lock::until;
use super::queue::{Link, Linked, Queue};
use crate::driver::{Lent, OpId};
use crate::fiber::Loop;
use crate::sys::{Errno, Kernel};
#[cfg(all(test, loom))]
use loom::{
    sync::atomic::{AtomicBool, AtomicU32},
    thread::{self, Thread},
};
use std::cell::{Cell, UnsafeCell};
use std::ptr::null;
use std::sync::atomic::Ordering;
#[cfg(not(all(test, loom)))]
use std::{
    sync::atomic::{AtomicBool, AtomicU32},
    thread::{self, Thread},
};

/// What a party's state says, apart from the number of the seat that was granted.
const WAITING: u32 = u32::MAX;
const WITHDRAWN: u32 = u32::MAX - 1;

/// Lies on the stack of who waits, and waits for one thing out of several, a [`Seat`] for each.
///
/// Whoever grants claims the party under the lock of the queue that the seat is in, gives that lock back, and then tells the
/// party; telling is the last that it touches of it. A party that finds itself claimed waits until it is told, and needs the
/// lock no more: what it waited on may be gone by then. A party that withdraws claims itself; its seats stay in their
/// queues, passed over, until it has taken them out.
pub(super) struct Party<K: Kernel> {
    state: AtomicU32,
    told: AtomicBool,
    /// Written before the first seat is taken, and taken by the one that tells.
    wake: UnsafeCell<Option<Wake<K>>>,
    /// The next of those that were claimed together.
    next: Cell<*const Party<K>>,
}

/// How a party is woken.
pub(super) enum Wake<K: Kernel> {
    Fiber { number: u64, park: OpId, waker: Lent<K> },
    Thread(Thread),
}

/// A party that was claimed and is to be told: it stays until then.
#[must_use = "it waits to be told"]
pub(super) struct Claimed<K: Kernel>(*const Party<K>);

impl<K: Kernel> Claimed<K> {
    /// Tells it. The lock under which it was claimed is given back first; `here` is the calling thread's loop.
    #[inline]
    pub(super) fn tell(self, here: Option<&Loop<K>>) {
        // SAFETY: the party does not go before it is told; `wake` was written before it took a seat, and only the one that
        // claimed it takes it.
        let wake = unsafe { (*(*self.0).wake.get()).take() };
        // SAFETY: as above; nothing of it is touched after this.
        let told = || unsafe { (*self.0).told.store(true, Ordering::Release) };
        match wake.expect("who takes a seat says how to wake it") {
            Wake::Fiber { number, park, waker } => match here.filter(|here| here.number() == number) {
                Some(here) => {
                    told();
                    here.unpark(park, 1);
                }
                None => {
                    // SAFETY: the fiber waits until it is told.
                    let waker = unsafe { waker.waker() };
                    told();
                    waker.complete(park, 1);
                }
            },
            Wake::Thread(thread) => {
                told();
                thread.unpark();
            }
        }
    }
}

/// Parties that were claimed together, linked through themselves.
pub(super) struct Crowd<K: Kernel> {
    first: Cell<*const Party<K>>,
    last: Cell<*const Party<K>>,
}

impl<K: Kernel> Crowd<K> {
    pub(super) fn new() -> Crowd<K> {
        Crowd { first: Cell::new(null()), last: Cell::new(null()) }
    }

    pub(super) fn push(&self, Claimed(party): Claimed<K>) {
        // SAFETY: claimed and not told, they are all there.
        match unsafe { self.last.get().as_ref() } {
            None => self.first.set(party),
            Some(last) => last.next.set(party),
        }
        self.last.set(party);
    }

    /// Tells them in the order in which they came; see [`Claimed::tell`].
    pub(super) fn tell(self, here: Option<&Loop<K>>) {
        // SAFETY: as in `push`.
        while let Some(party) = unsafe { self.first.get().as_ref() } {
            self.first.set(party.next.get());
            Claimed(party).tell(here);
        }
    }
}

impl<K: Kernel> Party<K> {
    pub(super) fn new() -> Party<K> {
        Party {
            state: AtomicU32::new(WAITING),
            told: AtomicBool::new(false),
            wake: UnsafeCell::new(None),
            next: Cell::new(null()),
        }
    }

    /// Waits until a seat is granted, and says which: on a fiber of `here` that fiber waits, elsewhere the thread. `sit`
    /// takes the seats, or takes none and says which of them would be granted on the spot. The seats that were not granted
    /// are still to be left when this returns.
    ///
    /// A cancel or a deadline that comes after the grant has come too late: nothing is lost, and the next suspension
    /// tells of the cancel.
    pub(super) fn wait(&self, here: Option<&Loop<K>>, sit: impl FnOnce() -> Option<u32>) -> Result<u32, Errno> {
        let waited = match here.filter(|looped| looped.in_fiber()) {
            Some(looped) => {
                let (number, waker) = (looped.number(), looped.lend_waker());
                let waited = looped.park(|park| {
                    if !self.sit(Wake::Fiber { number, park, waker }, sit) {
                        looped.unpark(park, 1);
                    }
                });
                looped.take_waker_back();
                waited
            }
            None => {
                if self.sit(Wake::Thread(thread::current()), sit) {
                    while !self.told.load(Ordering::Acquire) {
                        thread::park();
                    }
                }
                Ok(1)
            }
        };
        self.rise(here, waited)
    }

    /// Says how it is woken, and takes the seats; `false` says that it took none.
    pub(super) fn sit(&self, wake: Wake<K>, sit: impl FnOnce() -> Option<u32>) -> bool {
        // SAFETY: no seat is taken, so nobody else knows of this party.
        unsafe { *self.wake.get() = Some(wake) };
        let granted = sit();
        if let Some(number) = granted {
            self.state.store(number, Ordering::Relaxed);
            self.told.store(true, Ordering::Relaxed);
        }
        granted.is_none()
    }

    /// Decides what the wait has come to, however it ended.
    #[inline]
    pub(super) fn rise(&self, here: Option<&Loop<K>>, waited: Result<i32, Errno>) -> Result<u32, Errno> {
        if let Err(error) = waited
            && self.claim(WITHDRAWN)
        {
            return Err(error);
        }
        until(|| self.told.load(Ordering::Acquire));
        if let (Err(Errno(libc::ECANCELED)), Some(looped)) = (waited, here) {
            looped.cancel_later();
        }
        Ok(self.state.load(Ordering::Relaxed))
    }

    fn claim(&self, state: u32) -> bool {
        self.state.compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// A party's place in one queue.
#[repr(C)]
pub(super) struct Seat<K: Kernel> {
    link: Link,
    party: *const Party<K>,
    /// Where the element that is handed over comes from or goes to.
    pub(super) element: *mut u8,
    number: u32,
    /// How what was granted went: 0, or a negative errno.
    pub(super) result: Cell<i32>,
}

// SAFETY: a link is its first field.
unsafe impl<K: Kernel> Linked for Seat<K> {}

impl<K: Kernel> Seat<K> {
    pub(super) fn new(party: &Party<K>, element: *mut u8, number: u32) -> Seat<K> {
        Seat { link: Link::new(), party, element, number, result: Cell::new(0) }
    }
}

impl<K: Kernel> Queue<Seat<K>> {
    /// Grants its seat to the party that has waited longest. The queue's lock is held, so each party in it is there: it has
    /// to take that lock, to leave its seat, before it goes.
    pub(super) fn claim(&self) -> Option<(&Seat<K>, Claimed<K>)> {
        let seat = self.find(|seat| {
            // SAFETY: see above.
            unsafe { &*seat.party }.claim(seat.number)
        })?;
        self.remove(seat);
        Some((seat, Claimed(seat.party)))
    }
}
