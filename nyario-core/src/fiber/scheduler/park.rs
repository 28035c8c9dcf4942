//! Waiting: how a fiber suspends, and what ends that.

use super::{Loop, PARK};
use crate::driver::{Op, OpId, Submitted};
use crate::fiber::blocking;
use crate::fiber::control::Fiber;
use crate::sys::{Errno, Fd, Kernel, check};

impl<K: Kernel> Loop<K> {
    /// Carries an operation out: on a fiber it suspends that fiber, elsewhere it blocks the thread. Honours the
    /// fiber's deadline (`-ETIMEDOUT`) and its cancel (`-ECANCELED`) whenever it has to wait.
    ///
    /// # Safety
    ///
    /// The operation's pointers must stay valid until the call returns.
    #[inline(always)]
    pub unsafe fn perform(&self, op: Op) -> i32 {
        let fiber = self.current.get();
        if fiber.is_null() {
            // SAFETY: forwarded from the caller.
            return unsafe { self.perform_here(op) };
        }
        // SAFETY: the fiber runs; and it does not return from here before the operation is over, so whatever the
        // caller lends for the call is lent for the operation. The borrow is as in `with`, written out so that the
        // compiler sees which operation it is and leaves out the rest.
        let submitted = unsafe {
            let runtime = &mut (*self.inner.get()).runtime;
            match op {
                Op::Close { fd } => runtime.close(fd, fiber as u64),
                // A fiber is resumed once.
                Op::Accept { multi: true, .. } => Submitted::Done(-libc::EINVAL),
                op => runtime.submit(op, fiber as u64, (*fiber).deadline),
            }
        };
        match submitted {
            Submitted::Done(result) => result,
            Submitted::Pending(id) => self.park_on(fiber, id),
        }
    }

    #[cold]
    unsafe fn perform_here(&self, op: Op) -> i32 {
        match op {
            Op::Close { fd } => self.with(|inner| inner.runtime.close_now(fd)),
            // SAFETY: forwarded from the caller. The loop may hold bytes of the descriptor.
            op => match self.with(|inner| unsafe { inner.runtime.driver().perform(op) }) {
                Some(result) => result,
                // SAFETY: forwarded from the caller.
                None => unsafe { blocking::perform(&self.kernel, op) },
            },
        }
    }

    #[inline(always)]
    pub(super) fn park_on(&self, fiber: *mut Fiber, id: OpId) -> i32 {
        // SAFETY: the caller runs on this fiber.
        self.park_by(fiber, id, || unsafe { Fiber::suspend(fiber) })
    }

    /// As [`park_on`](Self::park_on), for what waits for another fiber: one that is ready runs next, as it would in any
    /// case, but not by way of the loop. What waits for the kernel has the loop hand out the next event.
    #[inline(always)]
    fn park_passing(&self, fiber: *mut Fiber, id: OpId) -> i32 {
        self.park_by(fiber, id, || match self.next_ready() {
            // SAFETY: the caller runs on this fiber; one that is ready is suspended or new.
            Some(next) => unsafe {
                self.turn_to(next);
                Fiber::pass(fiber, next)
            },
            // SAFETY: as above.
            None => unsafe { Fiber::suspend(fiber) },
        })
    }

    #[inline(always)]
    fn park_by(&self, fiber: *mut Fiber, id: OpId, leave: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the caller runs on this fiber, so its control block is there before and after the switch.
        unsafe {
            (*fiber).op = id;
            if (*fiber).cancelled || self.ending.get() {
                self.with(|inner| inner.runtime.cancel(id));
            }
            let result = leave();
            (*fiber).op = OpId::NONE;
            if result == -libc::ECANCELED {
                // Told; a cancel that came too late for this suspension is for the next one.
                (*fiber).cancelled = false;
            }
            result
        }
    }

    /// Says why the fiber that runs is about to park, in a word that people will read: see [`inspect`](Self::inspect). To be
    /// followed by the park.
    #[inline]
    pub fn because(&self, why: &'static str) -> &Self {
        if self.in_fiber() {
            self.why.set(why);
        }
        self
    }

    /// Suspends the running fiber until somebody ends its park: `announce` is told the park's name just before, for
    /// [`unpark`](Self::unpark) on this thread or [`Waker::complete`](crate::driver::Waker::complete) on any other, once.
    /// What every primitive that fibers wait on is built from. Returns what the park was ended with, which is above 0.
    ///
    /// # Errors
    ///
    /// `ECANCELED`, `ETIMEDOUT` when the fiber's deadline passes first, and `EDEADLK` outside a fiber, where nobody could
    /// end it. The park is over then, and ending it does nothing.
    pub fn park(&self, announce: impl FnOnce(OpId)) -> Result<i32, Errno> {
        let fiber = self.current.get();
        if fiber.is_null() {
            return Err(Errno(libc::EDEADLK));
        }
        let why = self.why.replace(PARK);
        // SAFETY: the fiber runs.
        let deadline = unsafe { (*fiber).deadline };
        let submitted = self.with(|inner| inner.runtime.park(fiber as u64, deadline, why));
        let result = match submitted {
            Submitted::Done(result) => result,
            Submitted::Pending(id) => {
                announce(id);
                let result = self.park_passing(fiber, id);
                // SAFETY: the fiber runs.
                match unsafe { std::mem::take(&mut (*fiber).unparked) } {
                    0 => result,
                    unparked => unparked,
                }
            }
        };
        // A park that ends by itself has met the deadline.
        check(if result == 0 { -libc::ETIMEDOUT } else { result })
    }

    /// Suspends the running fiber until one of several polls has something to tell, until that time (0: for ever), a cancel
    /// or the fiber's deadline. Whatever was begun is over when it returns: above 0 for something to tell, 0 when the time
    /// is up, or a negative errno. To be called on a fiber.
    pub(crate) fn wait_for_any(&self, polls: impl Iterator<Item = (Fd, u32)>, until: u64) -> i32 {
        self.polls.lend(|begun| {
            let fiber = self.current.get();
            // SAFETY: the fiber runs.
            let deadline = unsafe { (*fiber).deadline };
            let sooner = deadline != 0 && (until == 0 || deadline < until);
            let submit = |op, deadline| {
                // SAFETY: parks and polls lend no memory.
                self.with(|inner| unsafe { inner.runtime.submit(op, fiber as u64, deadline) })
            };
            let park = match submit(Op::Park, if sooner { deadline } else { until }) {
                Submitted::Pending(park) => park,
                Submitted::Done(result) => return result,
            };
            let mut told = None;
            for (fd, events) in polls {
                match submit(Op::Poll { fd, events }, 0) {
                    Submitted::Pending(id) => begun.push(id),
                    Submitted::Done(result) => {
                        told = Some(result);
                        break;
                    }
                }
            }
            begun.push(park);
            let mut left = begun.len();
            let result = told.unwrap_or_else(|| {
                left -= 1;
                self.park_on(fiber, park)
            });
            self.with(|inner| begun.iter().for_each(|&id| inner.runtime.cancel(id)));
            while left > 0 {
                // Nobody cancels these but the loop above: the control block does not name them.
                // SAFETY: the fiber runs, and each operation that is left resumes it once.
                unsafe { Fiber::suspend(fiber) };
                left -= 1;
            }
            if result == 0 && sooner { -libc::ETIMEDOUT } else { result }
        })
    }

    /// Like [`park`](Self::park), for what has to be waited out: neither a cancel nor the deadline nor the end of the loop
    /// ends it. A cancel meanwhile is for the next suspension. To be called on a fiber.
    pub(crate) fn park_firmly(&self, announce: impl FnOnce(OpId)) {
        let fiber = self.current.get();
        let why = self.why.replace(PARK);
        let submitted = self.with(|inner| inner.runtime.park(fiber as u64, 0, why));
        let Submitted::Pending(id) = submitted else { unreachable!("a driver that is being dropped runs no fiber") };
        announce(id);
        // SAFETY: the fiber runs. Nobody cancels a park that its control block does not name.
        unsafe { Fiber::suspend(fiber) };
    }

    /// Why the running fiber must not begin to wait, if there is a reason; off a fiber there is none.
    ///
    /// # Errors
    ///
    /// `ECANCELED`, which is used up, and `ETIMEDOUT`.
    pub(crate) fn refusal(&self) -> Result<(), Errno> {
        let fiber = self.current.get();
        if fiber.is_null() {
            return Ok(());
        }
        // SAFETY: the fiber runs.
        let cancelled = unsafe { std::mem::take(&mut (*fiber).cancelled) };
        if cancelled || self.ending.get() {
            return Err(Errno(libc::ECANCELED));
        }
        if self.is_late() { Err(Errno(libc::ETIMEDOUT)) } else { Ok(()) }
    }

    /// Whether the running fiber's deadline has passed.
    pub(crate) fn is_late(&self) -> bool {
        let fiber = self.current.get();
        // SAFETY: the fiber runs.
        let deadline = if fiber.is_null() { 0 } else { unsafe { (*fiber).deadline } };
        deadline != 0 && deadline <= self.kernel.now()
    }

    /// Ends the park of a fiber of this loop, if it has not ended: [`park`](Self::park) returns `result` there, which
    /// must be above 0. The fiber runs in its turn, not now.
    pub fn unpark(&self, park: OpId, result: i32) {
        debug_assert!(result > 0, "0 would look like a deadline, and less like a failure");
        self.with(|inner| inner.unpark(park, result));
    }

    /// Suspends the running fiber for so many nanoseconds; outside a fiber, the thread.
    ///
    /// # Errors
    ///
    /// `ECANCELED`, and `ETIMEDOUT` when the fiber's deadline passes first.
    pub fn sleep(&self, nanos: u64) -> Result<(), Errno> {
        let fiber = self.current.get();
        if fiber.is_null() {
            return check(blocking::sleep(&self.kernel, nanos)).map(drop);
        }
        let until = self.look_at_the_clock().saturating_add(nanos);
        // SAFETY: the fiber runs.
        let deadline = unsafe { (*fiber).deadline };
        let sooner = deadline != 0 && deadline < until;
        let when = if sooner { deadline } else { until };
        let result = match self.with(|inner| inner.runtime.park(fiber as u64, when, "sleep")) {
            Submitted::Done(result) => result,
            Submitted::Pending(id) => self.park_on(fiber, id),
        };
        check(if result == 0 && sooner { -libc::ETIMEDOUT } else { result }).map(drop)
    }

    /// Lets the other ready fibers run first. Outside a fiber it does nothing.
    ///
    /// # Errors
    ///
    /// `ECANCELED`.
    pub fn yield_now(&self) -> Result<(), Errno> {
        let fiber = self.current.get();
        if fiber.is_null() {
            return Ok(());
        }
        self.with(|inner| inner.ready.push(fiber));
        // SAFETY: the caller runs on this fiber, and the ready queue will resume it; whatever else is in the queue is
        // suspended or new. A fiber cannot pass the thread on to itself: it has its turn already.
        let cancelled = unsafe {
            match self.next_ready() {
                None => drop(Fiber::suspend(fiber)),
                Some(next) if next == fiber => {}
                Some(next) => {
                    self.turn_to(next);
                    Fiber::pass(fiber, next);
                }
            }
            std::mem::take(&mut (*fiber).cancelled)
        };
        if cancelled || self.ending.get() { Err(Errno(libc::ECANCELED)) } else { Ok(()) }
    }
}
