//! Waking the loop from other threads and from signal handlers.
//!
//! ```text
//!             turn begins                 about to block
//!   RUNNING <------------- NOTIFIED   RUNNING ---------> SLEEPING
//!      |                      ^                              |
//!      +----- wake: no call --+------ wake: one eventfd -----+
//!                             |           write              |
//!                             +------------------------------+
//! ```
//!
//! Whoever wakes first pushes what it has to say and then swaps NOTIFIED in; only the one that finds SLEEPING pays a
//! system call. The loop goes to sleep by exchanging RUNNING for SLEEPING, which fails exactly when a wake-up came
//! since it last looked, so none is lost. No other thread touches anything of the loop but this.

use super::op::OpId;
use crate::sys::{Errno, Fd, Kernel, check};
use sync::{Arc, AtomicPtr, AtomicU8, Ordering};

#[cfg(not(loom))]
mod sync {
    pub(super) use std::sync::Arc;
    pub(super) use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};
}
#[cfg(loom)]
mod sync {
    pub(super) use loom::sync::Arc;
    pub(super) use loom::sync::atomic::{AtomicPtr, AtomicU8, Ordering};
}

const RUNNING: u8 = 0;
const SLEEPING: u8 = 1;
const NOTIFIED: u8 = 2;

/// A park to be ended, from another thread.
struct Note {
    op: OpId,
    result: i32,
    next: *mut Note,
}

/// The part of a loop that any thread may touch.
struct Shared<K: Kernel> {
    word: AtomicU8,
    /// A stack of notes (Treiber 1986); the loop takes it whole, so the ABA question does not arise.
    notes: AtomicPtr<Note>,
    event: Fd,
    kernel: K,
}

impl<K: Kernel> Drop for Shared<K> {
    fn drop(&mut self) {
        drop(unpack(self.notes.swap(std::ptr::null_mut(), Ordering::Acquire)));
        self.kernel.close(self.event);
    }
}

/// Wakes one loop. It may be cloned, sent to other threads, and used from signal handlers; it outlives its loop
/// harmlessly.
pub struct Waker<K: Kernel>(Arc<Shared<K>>);

impl<K: Kernel> Clone for Waker<K> {
    fn clone(&self) -> Self {
        Waker(self.0.clone())
    }
}

impl<K: Kernel> Waker<K> {
    pub(super) fn new(kernel: K) -> Result<Waker<K>, Errno> {
        let event = check(kernel.eventfd())?;
        let notes = AtomicPtr::new(std::ptr::null_mut());
        Ok(Waker(Arc::new(Shared { word: AtomicU8::new(RUNNING), notes, event, kernel })))
    }

    /// Makes the loop take a turn soon. Async-signal-safe.
    pub fn wake(&self) {
        if self.0.word.swap(NOTIFIED, Ordering::AcqRel) == SLEEPING {
            self.0.kernel.eventfd_signal(self.0.event);
        }
    }

    /// Makes the loop's blocking wait return even if it was not seen to be asleep. Async-signal-safe; costs a system
    /// call each time.
    pub fn wake_always(&self) {
        self.0.word.swap(NOTIFIED, Ordering::AcqRel);
        self.0.kernel.eventfd_signal(self.0.event);
    }

    /// Ends the [`Park`](super::Op::Park) that `op` names, with that result, on the loop's thread; nothing happens if
    /// it has ended already. Allocates a note, so it is not for signal handlers.
    pub fn complete(&self, op: OpId, result: i32) {
        let note = Box::into_raw(Box::new(Note { op, result, next: std::ptr::null_mut() }));
        let mut head = self.0.notes.load(Ordering::Relaxed);
        loop {
            // SAFETY: the note is ours until the exchange below publishes it.
            unsafe { (*note).next = head };
            match self.0.notes.compare_exchange_weak(head, note, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(current) => head = current,
            }
        }
        self.wake();
    }

    /// The descriptor that becomes readable when a sleeping loop is woken.
    pub(super) fn event(&self) -> Fd {
        self.0.event
    }

    /// Declares the loop asleep. `false` means that a wake-up came first: do not block.
    pub(super) fn fall_asleep(&self) -> bool {
        self.0.word.compare_exchange(RUNNING, SLEEPING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Declares the loop awake and takes what was said to it, oldest first.
    pub(super) fn awaken(&self) -> impl Iterator<Item = (OpId, i32)> + use<K> {
        let mut notes = Vec::new();
        // A plain look first: this runs every turn, and a swap would take the cache line for itself.
        if self.0.word.load(Ordering::Acquire) != RUNNING {
            self.0.word.swap(RUNNING, Ordering::AcqRel);
            notes = unpack(self.0.notes.swap(std::ptr::null_mut(), Ordering::Acquire));
        }
        notes.into_iter()
    }
}

fn unpack(mut head: *mut Note) -> Vec<(OpId, i32)> {
    let mut notes = Vec::new();
    while !head.is_null() {
        // SAFETY: the chain was taken whole, so its boxes are ours alone.
        let note = unsafe { Box::from_raw(head) };
        notes.push((note.op, note.result));
        head = note.next;
    }
    notes.reverse();
    notes
}

// SAFETY: the notes are boxes that whoever takes the chain owns alone; everything else in `Shared` is atomic or the
// kernel handle, which the bounds require to be usable from any thread.
unsafe impl<K: Kernel + Send + Sync> Send for Waker<K> {}
// SAFETY: as above.
unsafe impl<K: Kernel + Send + Sync> Sync for Waker<K> {}
