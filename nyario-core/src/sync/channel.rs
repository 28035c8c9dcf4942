//! Handing elements from one to another.

use super::lock::Lock;
use super::party::{Claimed, Crowd, Party, Seat};
use super::queue::Queue;
use super::ring::Ring;
use crate::fiber::Loop;
use crate::sys::{Errno, Kernel, Native, check};
use std::cell::Cell;

/// Elements of a fixed size, copied in by those that send and out by those that receive, in order. A capacity of 0 makes
/// every send wait for its receiver; [`UNBOUNDED`](Self::UNBOUNDED) makes none wait. Fibers of any loop and plain threads
/// share it.
///
/// `here` is the calling thread's loop, if it has one. On a fiber of that, waiting suspends the fiber; elsewhere it
/// blocks the thread.
#[repr(C)]
pub struct Channel<K: Kernel = Native> {
    pub(super) lock: Lock,
    closed: Cell<bool>,
    size: Cell<usize>,
    capacity: Cell<usize>,
    ring: Ring,
    /// Nobody waits to send, apart from those that are about to go, while there is room.
    senders: Queue<Seat<K>>,
    /// Nobody waits to receive, apart from those that are about to go, while there is an element or somebody to send one.
    receivers: Queue<Seat<K>>,
}

// SAFETY: everything but the lock is touched under it; those that wait are told through a waker, which the bounds make
// usable from any thread, or through the thread's own handle. Elements are bytes, for which the callers answer.
unsafe impl<K: Kernel + Send + Sync> Sync for Channel<K> {}
// SAFETY: as above; nobody waits on what is moved.
unsafe impl<K: Kernel + Send + Sync> Send for Channel<K> {}

/// What one does with a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    /// Puts an element in.
    Send,
    /// Takes an element out.
    Receive,
}

/// What became of an exchange that need not wait: its result, and who waited for it.
pub(super) struct Done<K: Kernel> {
    pub(super) result: i32,
    claimed: Option<Claimed<K>>,
}

impl<K: Kernel> Done<K> {
    /// Tells whoever waited. The channel's lock is given back first.
    pub(super) fn tell(self, here: Option<&Loop<K>>) {
        if let Some(claimed) = self.claimed {
            claimed.tell(here);
        }
    }
}

impl<K: Kernel> Channel<K> {
    /// The capacity without a bound but memory.
    pub const UNBOUNDED: usize = usize::MAX;

    /// For elements of `size` bytes, of which up to `capacity` wait in it. It allocates nothing yet. Without either, it is
    /// all zeroes.
    pub fn new(size: usize, capacity: usize) -> Channel<K> {
        Channel {
            lock: Lock::new(),
            closed: Cell::new(false),
            size: Cell::new(size),
            capacity: Cell::new(capacity),
            ring: Ring::new(),
            senders: Queue::new(),
            receivers: Queue::new(),
        }
    }

    /// Sends a copy of an element: waits while the channel is full, or without capacity until it is received. Once it is
    /// sent, the channel is touched no more.
    ///
    /// # Errors
    ///
    /// `EPIPE` when the channel is closed, `ENOMEM`, `ECANCELED` and `ETIMEDOUT`, and then it was not sent.
    ///
    /// # Safety
    ///
    /// `element` is valid for reads of the element's size until the call returns.
    pub unsafe fn send(&self, here: Option<&Loop<K>>, element: *const u8) -> Result<(), Errno> {
        // SAFETY: forwarded from the caller.
        unsafe { self.exchange(here, Direction::Send, element.cast_mut()) }
    }

    /// Receives an element: waits while there is none. Once it is received, the channel is touched no more.
    ///
    /// # Errors
    ///
    /// `EPIPE` when the channel is closed and nothing is left in it, `ECANCELED` and `ETIMEDOUT`, and then nothing was
    /// taken.
    ///
    /// # Safety
    ///
    /// `element` is valid for writes of the element's size until the call returns.
    pub unsafe fn receive(&self, here: Option<&Loop<K>>, element: *mut u8) -> Result<(), Errno> {
        // SAFETY: forwarded from the caller.
        unsafe { self.exchange(here, Direction::Receive, element) }
    }

    /// Like [`send`](Self::send), if it need not wait.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when it would have to, `EPIPE` when the channel is closed, `ENOMEM`.
    ///
    /// # Safety
    ///
    /// As [`send`](Self::send).
    pub unsafe fn try_send(&self, here: Option<&Loop<K>>, element: *const u8) -> Result<(), Errno> {
        // SAFETY: forwarded from the caller.
        unsafe { self.try_exchange(here, Direction::Send, element.cast_mut()) }
    }

    /// Like [`receive`](Self::receive), if it need not wait.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when it would have to, `EPIPE` when the channel is closed and nothing is left in it.
    ///
    /// # Safety
    ///
    /// As [`receive`](Self::receive).
    pub unsafe fn try_receive(&self, here: Option<&Loop<K>>, element: *mut u8) -> Result<(), Errno> {
        // SAFETY: forwarded from the caller.
        unsafe { self.try_exchange(here, Direction::Receive, element) }
    }

    /// # Safety
    ///
    /// As [`attempt`](Self::attempt).
    unsafe fn try_exchange(&self, here: Option<&Loop<K>>, direction: Direction, element: *mut u8) -> Result<(), Errno> {
        let held = self.lock.hold();
        // SAFETY: forwarded from the caller; the lock is held.
        let done = unsafe { self.attempt(direction, element) }.ok_or(Errno(libc::EAGAIN))?;
        drop(held);
        let result = done.result;
        done.tell(here);
        check(result).map(drop)
    }

    /// # Safety
    ///
    /// As [`attempt`](Self::attempt), until the call returns.
    #[inline(always)]
    unsafe fn exchange(&self, here: Option<&Loop<K>>, direction: Direction, element: *mut u8) -> Result<(), Errno> {
        let held = self.lock.hold();
        // SAFETY: forwarded from the caller; the lock is held.
        if let Some(done) = unsafe { self.attempt(direction, element) } {
            drop(held);
            let result = done.result;
            done.tell(here);
            return check(result).map(drop);
        }
        let party = Party::new();
        let seat = Seat::new(&party, element, 0);
        // Between the look and the seat nobody comes: the lock is held until then.
        let waited = party.wait(here.map(|looped| looped.because("channel")), || {
            // SAFETY: the seat is in no queue, and out of this one before its stack frame ends: claimed, or removed
            // below. What it lends is lent until then.
            unsafe { self.queue(direction).push(&seat) };
            drop(held);
            None
        });
        match waited {
            Ok(_) => check(seat.result.get()).map(drop),
            Err(error) => {
                let _held = self.lock.hold();
                self.queue(direction).remove(&seat);
                Err(error)
            }
        }
    }

    /// Where those wait that cannot go on in that direction.
    pub(super) fn queue(&self, direction: Direction) -> &Queue<Seat<K>> {
        match direction {
            Direction::Send => &self.senders,
            Direction::Receive => &self.receivers,
        }
    }

    /// Does what can be done at once; `None` says that it has to wait. The lock is held.
    ///
    /// # Safety
    ///
    /// `element` is valid for the size of an element: for reads when sending, for writes when receiving.
    #[inline]
    pub(super) unsafe fn attempt(&self, direction: Direction, element: *mut u8) -> Option<Done<K>> {
        debug_assert!(self.lock.is_held());
        // SAFETY: forwarded from the caller.
        unsafe {
            match direction {
                Direction::Send => self.attempt_to_send(element),
                Direction::Receive => self.attempt_to_receive(element),
            }
        }
    }

    #[inline]
    unsafe fn attempt_to_send(&self, element: *const u8) -> Option<Done<K>> {
        if self.closed.get() {
            return Some(Done { result: -libc::EPIPE, claimed: None });
        }
        let size = self.size.get();
        if let Some((receiver, claimed)) = self.receivers.claim() {
            // SAFETY: the caller answers for one end, and whoever waits lends the other until it is told.
            unsafe { receiver.element.copy_from_nonoverlapping(element, size) };
            return Some(Done { result: 0, claimed: Some(claimed) });
        }
        if self.ring.len() >= self.capacity.get() {
            return None;
        }
        // SAFETY: forwarded from the caller.
        let pushed = unsafe { self.ring.push(element, size, self.capacity.get()) };
        Some(Done { result: pushed.map_or_else(Errno::result, |()| 0), claimed: None })
    }

    #[inline]
    unsafe fn attempt_to_receive(&self, element: *mut u8) -> Option<Done<K>> {
        let size = self.size.get();
        if self.ring.len() > 0 {
            // SAFETY: forwarded from the caller.
            unsafe { self.ring.pop(element, size) };
            // The first that waits to send moves up. There is room: nothing is allocated, and nothing fails.
            let claimed = self.senders.claim().map(|(sender, claimed)| {
                // SAFETY: whoever waits lends the element until it is told.
                let moved = unsafe { self.ring.push(sender.element, size, self.capacity.get()) };
                sender.result.set(moved.map_or_else(Errno::result, |()| 0));
                claimed
            });
            return Some(Done { result: 0, claimed });
        }
        if let Some((sender, claimed)) = self.senders.claim() {
            // SAFETY: the caller answers for one end, and whoever waits lends the other until it is told.
            unsafe { element.copy_from_nonoverlapping(sender.element, size) };
            return Some(Done { result: 0, claimed: Some(claimed) });
        }
        self.closed.get().then_some(Done { result: -libc::EPIPE, claimed: None })
    }

    /// Nothing more is sent. What is in the channel can still be received; whoever waits is told `EPIPE`. Does not
    /// suspend.
    ///
    /// # Errors
    ///
    /// `EPIPE` when it is closed already.
    pub fn close(&self, here: Option<&Loop<K>>) -> Result<(), Errno> {
        let held = self.lock.hold();
        if self.closed.replace(true) {
            return Err(Errno(libc::EPIPE));
        }
        // All are claimed in one go, as the channel may be gone once the first of them runs.
        let waiting = Crowd::new();
        while let Some((seat, claimed)) = self.senders.claim().or_else(|| self.receivers.claim()) {
            seat.result.set(-libc::EPIPE);
            waiting.push(claimed);
        }
        drop(held);
        waiting.tell(here);
        Ok(())
    }

    /// How many bytes an element has.
    pub fn element_size(&self) -> usize {
        self.size.get()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        let _held = self.lock.hold();
        self.closed.get()
    }

    /// How many elements are in it at this moment.
    pub fn len(&self) -> usize {
        let _held = self.lock.hold();
        self.ring.len()
    }

    /// Whether nothing is in it at this moment.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes the channel and frees what it holds. Nobody may use it meanwhile; afterwards it is a closed one.
    ///
    /// # Errors
    ///
    /// `EBUSY` while somebody waits on it.
    pub fn destroy(&self) -> Result<(), Errno> {
        let _held = self.lock.hold();
        if !self.senders.is_empty() || !self.receivers.is_empty() {
            return Err(Errno(libc::EBUSY));
        }
        self.closed.set(true);
        self.ring.free(self.size.get());
        Ok(())
    }
}

impl<K: Kernel> Drop for Channel<K> {
    fn drop(&mut self) {
        self.ring.free(self.size.get());
    }
}
