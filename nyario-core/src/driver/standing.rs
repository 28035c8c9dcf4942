//! What is done while the thread waits. Whatever else ends meanwhile comes early, and is handed out later.

use super::op::{Op, OpId, Request, Submitted};
use super::{Backend, CALLER, Driver, Harvest};
use crate::sys::{Fd, Kernel};

impl<K: Kernel> Driver<K> {
    /// Carries an operation out while the thread waits, on a descriptor of which the driver may hold bytes; `None`
    /// says that the kernel can be asked as well. Whatever else ends meanwhile is handed out later.
    ///
    /// # Safety
    ///
    /// As [`submit`](Self::submit), until the call returns.
    pub unsafe fn perform(&mut self, op: Op) -> Option<i32> {
        if !self.owns(Request::new(op).fd) {
            return None;
        }
        // SAFETY: forwarded from the caller.
        match unsafe { self.submit(op, CALLER, 0) } {
            Submitted::Done(result) => Some(result),
            Submitted::Pending(id) => Some(self.wait_for(id)),
        }
    }

    /// Closes while the thread waits; see [`Op::Close`].
    pub fn close_now(&mut self, fd: Fd) -> i32 {
        match self.close(Request::new(Op::Close { fd }), CALLER) {
            Submitted::Done(result) => result,
            Submitted::Pending(id) => self.wait_for(id),
        }
    }

    /// Waits, with the thread, for the end of an operation that was begun for [`CALLER`].
    fn wait_for(&mut self, id: OpId) -> i32 {
        loop {
            let ended = match self.ledger.slab.find(id) {
                Some(index) => self.ledger.take_done(index),
                None => {
                    let place = self.early.iter().position(|completion| completion.waiter == CALLER);
                    place.and_then(|place| self.early.remove(place))
                }
            };
            match ended {
                Some(completion) => return completion.result,
                None => self.look(None),
            }
            self.absorb();
        }
    }

    /// Works off the kernel's events without handing anything out.
    pub(super) fn absorb(&mut self) {
        // With one result in the list, those to come join it, where their operations can still be told: a connection
        // that nobody takes is to be closed with the driver.
        let first = self.ledger.slab.insert(Request::new(Op::Park), 0);
        self.ledger.finish(first, 0);
        loop {
            let harvest = match &mut self.backend {
                Backend::Uring(uring) => uring.harvest(&mut self.ledger),
                Backend::Readiness(readiness) => readiness.harvest(&mut self.ledger),
            };
            match harvest {
                Harvest::Idle => break,
                Harvest::Quiet => {}
                Harvest::Complete(completion) => self.early.push_back(completion),
            }
        }
        self.ledger.take_done(first);
    }
}
