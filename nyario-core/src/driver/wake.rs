//! Waking the loop from other threads and from signal handlers.
//!
//! ```text
//!             turn begins                 about to block
//!   RUNNING <------------- NOTIFIED   RUNNING ---------> SLEEPING
//!      |                      ^                              |
//!      +----- wake: no call --+------ wake: one system ------+
//!                             |            call              |
//!                             +------------------------------+
//! ```
//!
//! Whoever wakes first pushes what it has to say and then swaps NOTIFIED in; only the one that finds SLEEPING pays a
//! system call. The loop goes to sleep by exchanging RUNNING for SLEEPING, which fails exactly when a wake-up came
//! since it last looked, so none is lost. No other thread touches anything of the loop but this.
//!
//! A loop that is embedded in a foreign one sleeps abroad: in that loop's wait instead of its own. Whoever finds it
//! SLEEPING there calls the alarm that the host has set, or writes to the eventfd that the foreign loop watches.

use super::op::OpId;
use crate::sys::abi::{KEvent, kqueue as abi};
use crate::sys::{Errno, Fd, Kernel, check};
#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, Ordering};
use std::sync::Arc;
#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, Ordering};
use std::sync::atomic::{AtomicI32, AtomicPtr as AlarmPtr};

const RUNNING: u8 = 0;
const SLEEPING: u8 = 1;
const NOTIFIED: u8 = 2;

/// A park to be ended, from another thread.
struct Note {
    op: OpId,
    result: i32,
    next: *mut Note,
}

/// What passes between the loop and other threads, apart from the system call that ends its sleep.
struct Mailbox {
    word: AtomicU8,
    /// A stack of notes (Treiber 1986); the loop takes it whole, so the ABA question does not arise.
    notes: AtomicPtr<Note>,
    /// Where the loop sleeps, while it does.
    abroad: AtomicBool,
}

impl Mailbox {
    fn new() -> Mailbox {
        Mailbox {
            word: AtomicU8::new(RUNNING),
            notes: AtomicPtr::new(std::ptr::null_mut()),
            abroad: AtomicBool::new(false),
        }
    }

    /// Makes the loop look. `true` says that it sleeps, and the caller has to see to it that it does not.
    fn notify(&self) -> bool {
        self.word.swap(NOTIFIED, Ordering::AcqRel) == SLEEPING
    }

    /// Leaves a note; whoever does so notifies afterwards.
    fn post(&self, op: OpId, result: i32) {
        let note = Box::into_raw(Box::new(Note { op, result, next: std::ptr::null_mut() }));
        let mut head = self.notes.load(Ordering::Relaxed);
        loop {
            // SAFETY: the note is ours until the exchange below publishes it.
            unsafe { (*note).next = head };
            match self.notes.compare_exchange_weak(head, note, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(current) => head = current,
            }
        }
    }

    /// Declares the loop asleep. `false` means that a wake-up came first: do not block.
    fn fall_asleep(&self) -> bool {
        self.word.compare_exchange(RUNNING, SLEEPING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Like [`fall_asleep`](Self::fall_asleep), in a foreign loop; asleep already is well.
    fn fall_asleep_abroad(&self) -> bool {
        // Whoever wakes reads it after the word. One that is late, and finds the loop in its next sleep, errs at the
        // worst about where that is, and has nothing to tell it: the wake-up was seen when this sleep ended.
        self.abroad.store(true, Ordering::Relaxed);
        self.fall_asleep() || self.word.load(Ordering::Acquire) == SLEEPING
    }

    /// Where a loop sleeps that [`notify`](Self::notify) has found asleep.
    fn is_abroad(&self) -> bool {
        self.abroad.load(Ordering::Relaxed)
    }

    /// Declares the loop awake and takes what was said to it, oldest first.
    fn awaken(&self) -> Vec<(OpId, i32)> {
        // A plain look first: this runs every turn, and a swap would take the cache line for itself.
        if self.word.load(Ordering::Acquire) == RUNNING {
            return Vec::new();
        }
        self.abroad.store(false, Ordering::Relaxed);
        self.word.swap(RUNNING, Ordering::AcqRel);
        unpack(self.notes.swap(std::ptr::null_mut(), Ordering::Acquire))
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        drop(unpack(self.notes.swap(std::ptr::null_mut(), Ordering::Acquire)));
    }
}

/// What ends the sleep of a loop.
#[derive(Clone, Copy)]
pub(super) enum Bell {
    /// An eventfd that the backend watches.
    Eventfd(Fd),
    /// The backend's own kqueue, in which an `EVFILT_USER` is registered under 0.
    Kqueue(Fd),
}

impl Bell {
    pub(super) fn descriptor(self) -> Fd {
        match self {
            Bell::Eventfd(fd) | Bell::Kqueue(fd) => fd,
        }
    }

    fn ring<K: Kernel>(self, kernel: &K) {
        match self {
            Bell::Eventfd(event) => kernel.eventfd_signal(event),
            Bell::Kqueue(queue) => {
                let (filter, fflags) = (abi::EVFILT_USER, abi::NOTE_TRIGGER);
                kernel.kevent(queue, &[KEvent { filter, fflags, ..KEvent::default() }], &mut [], Some(0))
            }
        };
    }
}

/// What to call when a loop is woken that sleeps abroad.
struct Alarm {
    ring: Option<Box<dyn Fn() + Send + Sync>>,
    /// The alarm before, which somebody may still be calling.
    before: *mut Alarm,
}

/// The part of a loop that any thread may touch.
struct Shared<K: Kernel> {
    mailbox: Mailbox,
    /// Closed with the last of those who may ring it.
    bell: Bell,
    /// What a foreign loop watches, if that is an eventfd; else -1.
    abroad: AtomicI32,
    alarm: AlarmPtr<Alarm>,
    kernel: K,
}

impl<K: Kernel> Drop for Shared<K> {
    fn drop(&mut self) {
        self.kernel.close(self.bell.descriptor());
        let abroad = self.abroad.load(Ordering::Relaxed);
        if abroad >= 0 {
            self.kernel.close(abroad);
        }
        let mut alarm = self.alarm.load(Ordering::Acquire);
        while !alarm.is_null() {
            // SAFETY: each came from a box in `set_alarm`, and nobody who could call it is left.
            alarm = unsafe { Box::from_raw(alarm) }.before;
        }
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

/// A loop's waker, lent to a fiber of it for as long as that waits.
pub(crate) struct Lent<K: Kernel>(*const Shared<K>);

impl<K: Kernel> Lent<K> {
    /// The waker.
    ///
    /// # Safety
    ///
    /// It is still lent.
    pub(crate) unsafe fn waker(&self) -> Waker<K> {
        // SAFETY: whoever lends an Arc's pointer keeps a count of it for as long.
        unsafe {
            Arc::increment_strong_count(self.0);
            Waker(Arc::from_raw(self.0))
        }
    }
}

impl<K: Kernel> Waker<K> {
    /// A waker that owns the bell, and closes it.
    pub(super) fn new(kernel: K, bell: Bell) -> Waker<K> {
        let alarm = AlarmPtr::new(std::ptr::null_mut());
        Waker(Arc::new(Shared { mailbox: Mailbox::new(), bell, abroad: AtomicI32::new(-1), alarm, kernel }))
    }

    /// Lends it to who waits, which costs nothing, for others to wake them with.
    pub(crate) fn lend(&self) -> Lent<K> {
        Lent(Arc::as_ptr(&self.0))
    }

    /// Makes the loop take a turn soon. Async-signal-safe.
    pub fn wake(&self) {
        if self.0.mailbox.notify() {
            if self.0.mailbox.is_abroad() {
                return self.wake_abroad();
            }
            self.0.bell.ring(&self.0.kernel);
        }
    }

    #[cold]
    fn wake_abroad(&self) {
        // SAFETY: alarms stay until the last waker is gone.
        let alarm = unsafe { self.0.alarm.load(Ordering::Acquire).as_ref() };
        if let Some(ring) = alarm.and_then(|alarm| alarm.ring.as_ref()) {
            return ring();
        }
        let abroad = self.0.abroad.load(Ordering::Relaxed);
        let bell = if abroad >= 0 { Bell::Eventfd(abroad) } else { self.0.bell };
        bell.ring(&self.0.kernel);
    }

    /// An eventfd for a foreign loop to watch, which becomes readable when one that sleeps abroad is woken; made on the
    /// first call. Reading it does not wait.
    pub(super) fn event_abroad(&self) -> Result<Fd, Errno> {
        let present = self.0.abroad.load(Ordering::Relaxed);
        if present >= 0 {
            return Ok(present);
        }
        let event = check(self.0.kernel.eventfd())?;
        self.0.kernel.set_flags(event, libc::O_NONBLOCK);
        self.0.abroad.store(event, Ordering::Relaxed);
        Ok(event)
    }

    /// Sets what is called when the loop is woken while a foreign loop waits in its stead. For the loop's thread.
    pub(super) fn set_alarm(&self, ring: Option<Box<dyn Fn() + Send + Sync>>) {
        let before = self.0.alarm.load(Ordering::Relaxed);
        self.0.alarm.store(Box::into_raw(Box::new(Alarm { ring, before })), Ordering::Release);
    }

    /// Makes the loop's blocking wait return even if it was not seen to be asleep. Async-signal-safe; costs a system
    /// call each time.
    pub fn wake_always(&self) {
        self.0.mailbox.notify();
        self.0.bell.ring(&self.0.kernel);
    }

    /// Ends the [`Park`](super::Op::Park) that `op` names, with that result, on the loop's thread; nothing happens if
    /// it has ended already. Allocates a note, so it is not for signal handlers.
    pub fn complete(&self, op: OpId, result: i32) {
        self.0.mailbox.post(op, result);
        self.wake();
    }

    /// The kernel beneath the loop.
    pub(crate) fn kernel(&self) -> &K {
        &self.0.kernel
    }

    /// Declares the loop asleep. `false` means that a wake-up came first: do not block.
    pub(super) fn fall_asleep(&self) -> bool {
        self.0.mailbox.fall_asleep()
    }

    /// Declares the loop asleep in a foreign one. `false` means that a wake-up came first.
    pub(super) fn fall_asleep_abroad(&self) -> bool {
        self.0.mailbox.fall_asleep_abroad()
    }

    /// Declares the loop awake and takes what was said to it, oldest first.
    pub(super) fn awaken(&self) -> Vec<(OpId, i32)> {
        self.0.mailbox.awaken()
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

/// Every interleaving of a loop with those that wake it: `RUSTFLAGS="--cfg loom" cargo test --lib wake`, best with a
/// target directory of its own. A wake-up that is lost leaves the loop asleep for ever, which loom reports.
#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::atomic::AtomicBool;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    /// The eventfd and the wait for it.
    struct Bell(Mutex<bool>, Condvar);

    struct Loop {
        mailbox: Mailbox,
        bell: Bell,
        stop: AtomicBool,
    }

    impl Loop {
        fn new() -> Arc<Loop> {
            let bell = Bell(Mutex::new(false), Condvar::new());
            Arc::new(Loop { mailbox: Mailbox::new(), bell, stop: AtomicBool::new(false) })
        }

        fn wake(&self) {
            if self.mailbox.notify() {
                *self.bell.0.lock().unwrap() = true;
                self.bell.1.notify_one();
            }
        }

        fn complete(&self, number: u32) {
            self.mailbox.post(OpId { index: number, generation: 1 }, number as i32);
            self.wake();
        }

        fn turn(&self) -> Vec<(OpId, i32)> {
            if self.mailbox.fall_asleep() {
                self.wait();
            }
            self.mailbox.awaken()
        }

        /// A foreign loop's round: asked twice, as it may, before it sleeps.
        fn foreign_turn(&self) -> Vec<(OpId, i32)> {
            if self.mailbox.fall_asleep_abroad() && self.mailbox.fall_asleep_abroad() {
                self.wait();
            }
            self.mailbox.awaken()
        }

        fn wait(&self) {
            let mut rung = self.bell.0.lock().unwrap();
            while !*rung {
                rung = self.bell.1.wait(rung).unwrap();
            }
            *rung = false;
        }
    }

    /// Two forced switches between threads expose every known way to lose something; all of them take minutes.
    fn explore(work: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(work);
    }

    #[test]
    fn no_note_is_lost() {
        explore(|| {
            let looped = Loop::new();
            let others: Vec<_> = (0..2)
                .map(|number| {
                    let looped = looped.clone();
                    thread::spawn(move || looped.complete(number))
                })
                .collect();
            let mut seen = Vec::new();
            while seen.len() < 2 {
                seen.extend(looped.turn().into_iter().map(|(_, result)| result));
            }
            seen.sort();
            assert_eq!(seen, [0, 1]);
            others.into_iter().for_each(|other| other.join().unwrap());
        });
    }

    #[test]
    fn no_note_is_lost_on_a_loop_that_sleeps_abroad() {
        explore(|| {
            let looped = Loop::new();
            let others: Vec<_> = (0..2)
                .map(|number| {
                    let looped = looped.clone();
                    thread::spawn(move || looped.complete(number))
                })
                .collect();
            let mut seen = looped.foreign_turn();
            while seen.len() < 2 {
                seen.extend(if seen.is_empty() { looped.turn() } else { looped.foreign_turn() });
            }
            others.into_iter().for_each(|other| other.join().unwrap());
        });
    }

    #[test]
    fn notes_of_one_thread_keep_their_order() {
        explore(|| {
            let looped = Loop::new();
            let other = looped.clone();
            let other = thread::spawn(move || (0..3).for_each(|number| other.complete(number)));
            let mut seen = Vec::new();
            while seen.len() < 3 {
                seen.extend(looped.turn().into_iter().map(|(_, result)| result));
            }
            assert_eq!(seen, [0, 1, 2]);
            other.join().unwrap();
        });
    }

    #[test]
    fn a_stop_is_seen() {
        explore(|| {
            let looped = Loop::new();
            let [stopper, waker] = [looped.clone(), looped.clone()];
            let stopper = thread::spawn(move || {
                stopper.stop.store(true, Ordering::Relaxed);
                stopper.wake();
            });
            let waker = thread::spawn(move || waker.wake());
            while !looped.stop.load(Ordering::Relaxed) {
                looped.turn();
            }
            [stopper, waker].into_iter().for_each(|other| other.join().unwrap());
        });
    }
}
