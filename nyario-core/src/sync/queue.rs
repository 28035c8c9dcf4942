//! Waiters in the order in which they came: a list whose links lie in the waiters, and the waiters on the stacks of those
//! who wait.
//!
//! A waiter's address is good for as long as it is in a queue: the function that laid it on its stack takes it out
//! before it returns, and a fiber or thread that waits is never unwound from outside.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::null;

/// What a waiter carries to be in a queue; it can be in one at a time.
#[repr(C)]
pub(super) struct Link {
    next: Cell<*const Link>,
    prev: Cell<*const Link>,
    linked: Cell<bool>,
}

impl Link {
    pub(super) const fn new() -> Link {
        Link { next: Cell::new(null()), prev: Cell::new(null()), linked: Cell::new(false) }
    }
}

/// What can wait in a queue.
///
/// # Safety
///
/// The type is `repr(C)`, and a [`Link`] is its first field.
pub(super) unsafe trait Linked {}

/// First in, first out; all zeroes when it is empty.
#[repr(C)]
pub(super) struct Queue<T: Linked> {
    first: Cell<*const Link>,
    last: Cell<*const Link>,
    waiters: PhantomData<*const T>,
}

impl<T: Linked> Queue<T> {
    pub(super) const fn new() -> Queue<T> {
        Queue { first: Cell::new(null()), last: Cell::new(null()), waiters: PhantomData }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.get().is_null()
    }

    /// Takes a waiter in, behind the others.
    ///
    /// # Safety
    ///
    /// It is in no queue, and stays where it is until it has left this one.
    pub(super) unsafe fn push(&self, waiter: &T) {
        let link = link(waiter);
        link.linked.set(true);
        link.next.set(null());
        link.prev.set(self.last.get());
        // SAFETY: what is in the queue is where it was (see `push`).
        match unsafe { self.last.get().as_ref() } {
            None => self.first.set(link),
            Some(last) => last.next.set(link),
        }
        self.last.set(link);
    }

    /// The one that has waited longest.
    pub(super) fn first(&self) -> Option<&T> {
        // SAFETY: what is in the queue is where it was, and a link is the beginning of a waiter.
        unsafe { self.first.get().cast::<T>().as_ref() }
    }

    /// The first that satisfies, of those that have waited longest on.
    pub(super) fn find(&self, satisfies: impl Fn(&T) -> bool) -> Option<&T> {
        let mut at = self.first.get();
        // SAFETY: as in `first`.
        while let Some(link) = unsafe { at.as_ref() } {
            // SAFETY: as in `first`.
            let waiter = unsafe { &*at.cast::<T>() };
            if satisfies(waiter) {
                return Some(waiter);
            }
            at = link.next.get();
        }
        None
    }

    /// Takes out the one that has waited longest. It goes on once its park is ended, or once it finds itself outside the
    /// queue: until then it is there.
    pub(super) fn pop(&self) -> Option<&T> {
        let first = self.first();
        first.inspect(|first| self.remove(first));
        first
    }

    /// Takes a waiter out, wherever it stands; one that is in no queue is left as it is.
    pub(super) fn remove(&self, waiter: &T) {
        let link = link(waiter);
        if !link.linked.replace(false) {
            return;
        }
        // SAFETY: what is in the queue is where it was.
        let (prev, next) = unsafe { (link.prev.get().as_ref(), link.next.get().as_ref()) };
        match prev {
            None => self.first.set(link.next.get()),
            Some(prev) => prev.next.set(link.next.get()),
        }
        match next {
            None => self.last.set(link.prev.get()),
            Some(next) => next.prev.set(link.prev.get()),
        }
    }
}

fn link<T: Linked>(waiter: &T) -> &Link {
    // SAFETY: the trait says that a link is its first field.
    unsafe { &*(&raw const *waiter).cast() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::numbers::Numbers;
    use std::collections::VecDeque;

    #[repr(C)]
    struct Numbered(Link, usize);

    // SAFETY: a link is its first field.
    unsafe impl Linked for Numbered {}

    #[test]
    fn agrees_with_a_deque() {
        const WAITERS: usize = 12;
        let waiters: Vec<Numbered> = (0..WAITERS).map(|number| Numbered(Link::new(), number)).collect();
        let (queue, mut model, mut numbers) = (Queue::new(), VecDeque::new(), Numbers::new(3));
        for _ in 0..if cfg!(miri) { 500 } else { 20_000 } {
            let number = numbers.below(WAITERS as u64) as usize;
            match numbers.below(3) {
                0 if !model.contains(&number) => {
                    // SAFETY: it is in no queue, and the vector outlives the queue.
                    unsafe { queue.push(&waiters[number]) };
                    model.push_back(number);
                }
                1 => {
                    queue.remove(&waiters[number]);
                    model.retain(|&other| other != number);
                }
                _ => assert_eq!(queue.pop().map(|waiter| waiter.1), model.pop_front()),
            }
            assert_eq!(queue.is_empty(), model.is_empty());
            assert_eq!(queue.first().map(|waiter| waiter.1), model.front().copied());
        }
    }
}
