//! The fibers that may run.

use crate::fiber::control::Fiber;

/// Fibers that may run, in order, linked through their control blocks.
pub(super) struct ReadyQueue {
    first: *mut Fiber,
    last: *mut Fiber,
}

impl ReadyQueue {
    pub(super) const EMPTY: ReadyQueue = ReadyQueue { first: std::ptr::null_mut(), last: std::ptr::null_mut() };

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    pub(super) fn push(&mut self, fiber: *mut Fiber) {
        // SAFETY: a fiber in the queue is suspended or new, so its control block is there; it is in the queue once.
        unsafe {
            (*fiber).next = std::ptr::null_mut();
            if self.first.is_null() {
                self.first = fiber;
            } else {
                (*self.last).next = fiber;
            }
        }
        self.last = fiber;
    }

    pub(super) fn pop(&mut self) -> Option<*mut Fiber> {
        let fiber = self.first;
        if fiber.is_null() {
            return None;
        }
        // SAFETY: as in `push`.
        self.first = unsafe { (*fiber).next };
        Some(fiber)
    }
}
