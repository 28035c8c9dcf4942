//! Code that other threads have a loop run.
//!
//! ```text
//!   post(code) -> inbox, under its lock -> wakes the loop      step: the inbox is emptied, a fiber for each
//! ```
//!
//! The queue is swapped whole for the loop's own empty one, so neither side allocates for it once warm. The inbox closes
//! with the loop, under the same lock: whoever posts is told that the loop is gone, or has posted before that.

use crate::driver::Waker;
use crate::sys::{Errno, Kernel};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// What a fiber of the loop is to run.
pub(super) type Code = Box<dyn Run>;

/// Something to run once.
pub(super) trait Run: Send {
    /// Frees the box and runs what was in it, in this order: a fiber that ends by `exit` would not free it.
    fn run(self: Box<Self>);
}

impl<F: FnOnce() + Send> Run for F {
    fn run(self: Box<Self>) {
        let code = {
            let this = self;
            *this
        };
        code();
    }
}

struct Queue {
    codes: VecDeque<Code>,
    closed: bool,
}

/// What was posted and not taken yet.
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    /// Whether there may be something, for a look without the lock.
    news: AtomicBool,
}

impl Inbox {
    pub(super) fn new() -> Inbox {
        let queue = Queue { codes: VecDeque::new(), closed: false };
        Inbox { queue: Mutex::new(queue), news: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics under the lock")
    }

    fn push(&self, code: Code) -> Result<(), Errno> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(Errno(libc::ESRCH));
        }
        queue.codes.push_back(code);
        self.news.store(true, Ordering::Release);
        Ok(())
    }

    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    /// Moves everything to the end of `taken`, in the order in which it came.
    pub(super) fn take(&self, taken: &mut VecDeque<Code>) {
        let mut queue = self.lock();
        self.news.store(false, Ordering::Relaxed);
        if taken.is_empty() {
            std::mem::swap(&mut queue.codes, taken);
        } else {
            taken.append(&mut queue.codes);
        }
    }

    /// Refuses whatever comes from now on, and drops what nobody took.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        let codes = std::mem::take(&mut queue.codes);
        // What goes with them may do anything.
        drop(queue);
        drop(codes);
    }
}

/// What the loop has taken. Each fiber that was begun for it takes the first of it when it runs: what is posted begins in
/// order, and nothing is lost when there is no room for a fiber.
#[derive(Default)]
pub(super) struct Posted {
    codes: RefCell<VecDeque<Code>>,
    fibers: Cell<usize>,
    /// There was no memory for the last one's fiber: another try has time until the sweep.
    refused: Cell<bool>,
    /// How much was ever taken.
    received: Cell<u64>,
}

impl Posted {
    pub(super) fn receive(&self, inbox: &Inbox) {
        let mut codes = self.codes.borrow_mut();
        let before = codes.len();
        inbox.take(&mut codes);
        self.received.set(self.received.get() + (codes.len() - before) as u64);
    }

    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    /// Whether something has no fiber yet.
    pub(super) fn waits(&self) -> bool {
        self.codes.borrow().len() > self.fibers.get()
    }

    /// Whether something only waits for room among the fibers.
    pub(super) fn is_next(&self) -> bool {
        self.waits() && !self.refused.get()
    }

    /// There is a fiber more, or there was no memory for it.
    pub(super) fn promise(&self, created: bool) {
        self.fibers.set(self.fibers.get() + usize::from(created));
        self.refused.set(!created);
    }

    /// What such a fiber runs.
    pub(super) fn run(&self) -> u64 {
        self.fibers.set(self.fibers.get() - 1);
        let code = self.codes.borrow_mut().pop_front().expect("a fiber for each");
        code.run();
        0
    }
}

/// Has a loop run code, from any thread. It may be cloned, and outlives its loop harmlessly.
pub struct Poster<K: Kernel> {
    inbox: Arc<Inbox>,
    waker: Waker<K>,
}

impl<K: Kernel> Clone for Poster<K> {
    fn clone(&self) -> Self {
        Poster { inbox: self.inbox.clone(), waker: self.waker.clone() }
    }
}

impl<K: Kernel> Poster<K> {
    pub(super) fn new(inbox: Arc<Inbox>, waker: Waker<K>) -> Poster<K> {
        Poster { inbox, waker }
    }

    /// Has the loop run `code` on a new fiber, which nobody joins. What one thread posts begins in the order in which it
    /// was posted. A loop that does not run begins it when it next does; one that is dropped before that drops it.
    ///
    /// # Errors
    ///
    /// `ESRCH` when the loop is gone.
    pub fn post(&self, code: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
        self.inbox.push(Box::new(code))?;
        self.waker.wake();
        Ok(())
    }
}
