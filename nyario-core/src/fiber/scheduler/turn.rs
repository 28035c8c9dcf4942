//! Running: turn after turn, until there is nothing left to run, and the orderly end.

use super::{Loop, Options, REFUSALS, SWITCHES_PER_TURN, Waiting};
use crate::cache::fetch;
use crate::conn::ConnId;
use crate::driver::Foreseen;
use crate::fiber::control::{Errand, Fiber};
use crate::fiber::table::Outcome;
use crate::fiber::timers::TimerId;
use crate::runtime::Event;
use crate::sys::{Errno, Kernel};
use crate::trace;
use std::rc::Rc;

impl<K: Kernel> Loop<K> {
    /// Runs until [`stop`](Self::stop), or until no server is left and every fiber and timer has ended. Then
    /// servers are closed, timers ended, the remaining fibers are cancelled and waited for, and connections are closed.
    ///
    /// # Errors
    ///
    /// `EDEADLK` when the loop runs already.
    pub fn run(&self) -> Result<(), Errno> {
        if self.running.replace(true) {
            return Err(Errno(libc::EDEADLK));
        }
        self.with(|inner| inner.runtime.driver().rouse());
        while !self.with(|inner| inner.runtime.stopping()) && self.has_work() {
            self.step(None);
        }
        self.end();
        self.with(|inner| inner.runtime.rearm());
        self.running.set(false);
        Ok(())
    }

    pub(super) fn has_work(&self) -> bool {
        self.with(|inner| inner.has_work() || inner.inbox.has_news())
    }

    /// Begins what was posted, as far as there is room for fibers.
    #[cold]
    pub(super) fn begin_posted(&self) {
        let posted = self.with(|inner| {
            inner.posted.receive(&inner.inbox);
            inner.posted.clone()
        });
        while posted.waits() && self.with(|inner| inner.has_room()) {
            // Not a count of it, as in `start`.
            let mine = Rc::as_ptr(&posted);
            // SAFETY: what was posted stays as long as the loop, and its fibers run no longer.
            let code = move || unsafe { (*mine).run() };
            let created = self.create(Options::DETACHED, Errand::Own, code);
            posted.promise(created.is_ok());
            let Ok(fiber) = created else { return };
            self.with(|inner| inner.ready.push(fiber));
        }
    }

    /// One turn: those that are ready, those whose operation is over, and a look at the kernel once nobody is left, waiting
    /// for up to `limit` nanoseconds. Each of the first two has a bound of its own, so neither starves the other or the
    /// kernel.
    pub(super) fn step(&self, limit: Option<u64>) {
        trace::zone!("turn");
        self.credit.set(SWITCHES_PER_TURN);
        if self.with(|inner| inner.runtime.heed()) {
            drop(self.with(|inner| inner.disarm()));
        }
        if self.with(|inner| inner.inbox.has_news() || inner.posted.waits()) && !self.ending.get() {
            self.begin_posted();
        }
        let mut delivered = 0;
        while delivered < SWITCHES_PER_TURN
            && let Some(waiting) = self.with(|inner| inner.next_in_crowd())
        {
            delivered += 1;
            match waiting {
                Waiting::Handler(conn, handler) => self.start(conn, handler),
                Waiting::Call(timer) => self.call(timer, true),
            }
        }
        loop {
            while let Some(fiber) = self.next_ready() {
                self.switch(fiber, 0);
            }
            if delivered == SWITCHES_PER_TURN {
                break;
            }
            self.foresee();
            let Some(event) = self.with(|inner| inner.runtime.next()) else { break };
            delivered += 1;
            match event {
                Event::Resume { waiter, result } => self.switch(waiter as *mut Fiber, result),
                Event::Start { conn, handler } => {
                    if self.with(|inner| inner.admits(Waiting::Handler(conn, handler))) {
                        self.start(conn, handler);
                    }
                }
                Event::Alarm { timer } => {
                    let timer = TimerId::from_word(timer);
                    let admitted = self.with(|inner| inner.admits(Waiting::Call(timer)));
                    self.call(timer, admitted);
                }
            }
        }
        if self.has_fresh_timers() {
            self.look_at_the_clock();
        }
        self.with(|inner| {
            // With nobody left to wait for, waiting would never end.
            let idle = !inner.has_work() && inner.runtime.driver().pending() == 0;
            // What is posted at the end waits for the next run.
            let open = !self.ending.get();
            let busy = inner.wants_to_run() || (open && inner.wants_to_begin());
            let limit = if busy || delivered == SWITCHES_PER_TURN || idle { Some(0) } else { limit };
            if inner.runtime.turn_within(limit, inner.stacks.wants_trimming() || (open && inner.posted.waits())) {
                inner.stacks.trim();
            }
        });
    }

    /// Has the memory of those who are likely to run next come closer.
    #[inline(always)]
    fn foresee(&self) {
        let Foreseen { soon, later } = self.with(|inner| inner.runtime.foresee());
        if let Some(fiber) = later {
            fetch(fiber as *const Fiber);
        }
        if let Some(fiber) = soon {
            // SAFETY: whoever waits for an operation is suspended.
            unsafe { Fiber::fetch_stack(fiber as *const Fiber) };
        }
    }

    /// The first of those that are ready, while the credit lasts. They run in the order in which they became ready, so
    /// whoever becomes ready meanwhile comes after them.
    #[inline(always)]
    pub(super) fn next_ready(&self) -> Option<*mut Fiber> {
        let left = self.credit.get().checked_sub(1)?;
        let fiber = self.with(|inner| inner.ready.pop())?;
        self.credit.set(left);
        Some(fiber)
    }

    pub(super) fn start(&self, conn: ConnId, handler: u64) {
        // Not a count of it: a fiber that ends by `exit` would not give that back.
        let handler = self.with(|inner| Rc::as_ptr(&inner.handlers[handler as usize]));
        let code = move || {
            // SAFETY: handlers stay as long as the loop, and its fibers run no longer.
            unsafe { (*handler)(conn.fd()) };
            0
        };
        match self.create(Options::DETACHED, Errand::Serves(conn), code) {
            Ok(fiber) => self.switch(fiber, 0),
            Err(error) => {
                eprintln!("nyario: a connection is dropped: {error}");
                self.with(|inner| inner.runtime.finish(conn));
            }
        }
    }

    /// Inlined where the loop hands out events: a call in between would cost each fiber two mispredicted returns (see
    /// `context`).
    #[inline(always)]
    pub(in crate::fiber) fn switch(&self, fiber: *mut Fiber, result: i32) {
        self.turn_to(fiber);
        // SAFETY: whatever names a fiber to be resumed names a suspended one of this loop, once: its place in the
        // ready queue, or the completion of the one operation that it is parked on.
        let ended = unsafe { Fiber::resume(fiber, self.home.get(), result) };
        // Not always the one that was resumed: see `yield_now`.
        let fiber = self.current.replace(std::ptr::null_mut());
        #[cfg(feature = "tracy")]
        trace::fibers::leave();
        if ended {
            self.bury(fiber);
        }
    }

    /// The fiber is the one that runs from here on.
    #[inline(always)]
    pub(super) fn turn_to(&self, fiber: *mut Fiber) {
        self.current.set(fiber);
        self.switches.set(self.switches.get() + 1);
        #[cfg(feature = "tracy")]
        // SAFETY: it has not ended; what lies behind the pointer is its own.
        unsafe {
            let name = (*fiber).cold.as_ref().map_or(crate::fiber::Name::default(), |cold| cold.name);
            trace::fibers::enter(name.as_str(), (*fiber).id.word() as u32);
        }
    }

    #[cold]
    fn bury(&self, fiber: *mut Fiber) {
        // SAFETY: it has ended, and its stack, on which it lies, is given back below; nothing of it is touched after that.
        let (id, errand, ((value, well), slot)) = unsafe { ((*fiber).id, (*fiber).errand, Fiber::bury(fiber)) };
        let over = self.with(|inner| {
            let outcome = if well { Outcome::Value(value) } else { Outcome::Panicked };
            let joiner = inner.fibers.end(id, outcome);
            inner.unpark(joiner, 1);
            // SAFETY: as said above.
            unsafe { inner.clear(fiber, slot) };
            match errand {
                Errand::Own => None,
                Errand::Serves(conn) => {
                    inner.runtime.finish(conn);
                    None
                }
                Errand::Timer(timer) => inner.called(timer, self.kernel.now(), self.ending.get()),
            }
        });
        // What a timer holds may be foreign code's.
        drop(over);
    }

    /// Ends what the loop drives: nothing new, everything that waits is refused, and the kernel is reaped to the last.
    pub(super) fn end(&self) {
        self.ending.set(true);
        drop(self.with(|inner| inner.disarm()));
        self.begin_posted();
        self.with(|inner| {
            inner.runtime.hurry();
            inner.runtime.shut();
            // Whoever begins to wait from here on is refused on the spot.
            for fiber in inner.fibers.fibers() {
                // SAFETY: a fiber in the table has not ended.
                inner.runtime.cancel(unsafe { (*fiber).op });
            }
        });
        let live = || self.with(|inner| inner.fibers.live() + inner.crowded.len());
        let (mut stubborn, mut refusals) = (live(), 0);
        // With nobody left, what was accepted meanwhile is closed too, and closes end when the kernel has let go. A first
        // byte may start a handler even then, and that is waited for like the others.
        while refusals < REFUSALS && (stubborn > 0 || self.with(|inner| inner.runtime.wind_up())) {
            self.step(None);
            let left = live();
            refusals = if left == 0 || left < stubborn { 0 } else { refusals + 1 };
            stubborn = left;
        }
        if stubborn > 0 {
            eprintln!("nyario: {stubborn} fibers went on waiting after {REFUSALS} refusals; they are abandoned");
        }
        self.ending.set(false);
    }
}
