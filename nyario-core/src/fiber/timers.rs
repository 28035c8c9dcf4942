//! Timers: code that a loop calls later, once or again and again, each time on a fiber of its own.
//!
//! ```text
//!     after        every
//!       |            |
//!       v            v
//!     fresh -----> armed -- its time comes --> a fiber runs the call -- it ends --> armed again, or gone
//!       |            |                    \
//!       | cancel     | cancel              `-- no room among the fibers --> due
//!       v            v
//!      gone         gone
//! ```
//!
//! An armed timer is an entry here, an operation that parks until its deadline, and no fiber: see [`Runtime::arm`].
//!
//! Most timers are set in case something takes too long, and cancelled because it has not. So those that fibers set are
//! only written down at first. They count from the loop's next look at the clock, one for all of them, which is due at
//! the end of the turn: until then no call could begin anyway. One that is cancelled by then has cost neither the clock
//! nor an operation.
//!
//! [`Runtime::arm`]: crate::runtime::Runtime::arm

use super::callback::Callback;
use super::control::Errand;
use super::scheduler::{Inner, Loop, Options};
use crate::driver::OpId;
use crate::driver::list::{Index, Link, Links, List, NONE};
use crate::sys::{Errno, Kernel};

/// Names a timer for good; a name is a positive 61-bit number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerId(u64);

impl TimerId {
    /// The name as a number, above 0.
    pub fn word(self) -> u64 {
        self.0
    }

    /// The name that [`word`](Self::word) gave.
    pub fn from_word(word: u64) -> TimerId {
        TimerId(word)
    }

    fn new(generation: u32, index: Index) -> TimerId {
        TimerId(u64::from(generation) << 32 | u64::from(index))
    }

    fn index(self) -> usize {
        self.0 as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A name fits beside the three bits that the runtime keeps of a waiter.
const GENERATION_MASK: u32 = (1 << 29) - 1;

/// How long a call waits that there is no memory for.
const PATIENCE_NANOS: u64 = 10_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// Set, and the loop has not looked at the clock since.
    Fresh,
    Armed,
    /// Its time has come, and its call waits for room among the fibers.
    Due,
    Running,
    /// Its last call runs.
    Cancelled,
}

struct Entry {
    generation: u32,
    /// Among the fresh or the free ones.
    link: Link,
    state: State,
    /// What its next call waits for, if it is armed.
    op: OpId,
    /// When its next call is due, or the one that runs was; of a fresh one, how long after the look at the clock.
    due: u64,
    /// 0 for one call.
    interval: u64,
    /// Where the code lies, as long as the entry serves a timer. It does not move: a fiber may be running it.
    code: *mut Option<Callback>,
}

impl Links for Vec<Entry> {
    fn link(&mut self, index: Index) -> &mut Link {
        &mut self[index as usize].link
    }
}

/// The timers of one loop.
pub(super) struct Timers {
    entries: Vec<Entry>,
    free: Index,
    /// In the order in which they were set.
    fresh: List,
    live: usize,
}

impl Timers {
    pub(super) fn new() -> Timers {
        Timers { entries: Vec::new(), free: NONE, fresh: List::EMPTY, live: 0 }
    }

    /// Timers that call once more at least, or whose call runs.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    #[inline(always)]
    fn insert(&mut self, code: impl Fn() + 'static, due: u64, interval: u64) -> (TimerId, &mut Entry) {
        if self.free == NONE {
            self.grow();
        }
        self.live += 1;
        let index = self.free;
        let entry = &mut self.entries[index as usize];
        self.free = entry.link.next;
        (entry.state, entry.due, entry.interval) = (State::Armed, due, interval);
        // SAFETY: nobody runs the code of a free entry, and nothing of it needs to be dropped.
        unsafe { entry.code.write(Some(Callback::new(code))) };
        (TimerId::new(entry.generation, index), entry)
    }

    #[cold]
    fn grow(&mut self) {
        let code = Box::into_raw(Box::new(None));
        let (state, op) = (State::Free, OpId::NONE);
        self.free = self.entries.len() as Index;
        self.entries.push(Entry { generation: 1, link: Link::UNLINKED, state, op, due: 0, interval: 0, code });
    }

    /// Enters one that is to call once, so long after the next look at the clock.
    #[inline(always)]
    fn insert_fresh(&mut self, code: impl Fn() + 'static, nanos: u64) -> TimerId {
        let (id, entry) = self.insert(code, nanos, 0);
        entry.state = State::Fresh;
        self.fresh.push(&mut self.entries, id.index() as Index);
        id
    }

    fn get(&mut self, id: TimerId) -> Option<&mut Entry> {
        let known = |entry: &&mut Entry| entry.generation == id.generation() && entry.state != State::Free;
        self.entries.get_mut(id.index()).filter(known)
    }

    /// Frees a timer whose call does not run. What of its code needs to be dropped is, where foreign code may run.
    #[inline]
    fn remove(&mut self, id: TimerId) -> Option<Callback> {
        let entry = &mut self.entries[id.index()];
        debug_assert!(entry.generation == id.generation() && entry.state != State::Free, "removed once");
        entry.state = State::Free;
        entry.generation = ((entry.generation + 1) & GENERATION_MASK).max(1);
        entry.link.next = self.free;
        // SAFETY: nobody runs it.
        let code = unsafe { (*entry.code).take_if(|code| code.needs_drop()) };
        self.free = id.index() as Index;
        self.live -= 1;
        code
    }

    /// The timers whose call does not run.
    fn resting(&self) -> Vec<TimerId> {
        let resting = |entry: &&Entry| matches!(entry.state, State::Fresh | State::Armed | State::Due);
        let entries = (0..).zip(&self.entries).filter(|(_, entry)| resting(entry));
        entries.map(|(index, entry)| TimerId::new(entry.generation, index)).collect()
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        for entry in &self.entries {
            // A fiber that ignored every cancel still has its frames in the code; it stays rather than dangle.
            if !matches!(entry.state, State::Running | State::Cancelled) {
                // SAFETY: it came from a box, and nobody runs it.
                drop(unsafe { Box::from_raw(entry.code) });
            }
        }
    }
}

impl<K: Kernel> Inner<K> {
    fn arm(&mut self, id: TimerId, when: u64) {
        let op = self.runtime.arm(id.word(), when);
        let entry = self.timers.get(id).expect("an armed timer has an entry");
        (entry.state, entry.op) = (State::Armed, op);
    }

    /// The time of a timer has come: whether its call may begin, and where its code lies. If there is no room, it joins
    /// those that wait for their turn.
    fn begin(&mut self, id: TimerId, admitted: bool) -> Option<*const Option<Callback>> {
        let entry = self.timers.get(id)?;
        entry.op = OpId::NONE;
        entry.state = if admitted { State::Running } else { State::Due };
        admitted.then_some(entry.code.cast_const())
    }

    /// The call of a timer is over. Returns the code of one that has made its last.
    pub(super) fn called(&mut self, id: TimerId, now: u64, ending: bool) -> Option<Callback> {
        let entry = self.timers.get(id).expect("the timer of a call has an entry");
        if entry.state == State::Cancelled || entry.interval == 0 || ending {
            return self.timers.remove(id);
        }
        let late = now.saturating_sub(entry.due);
        // Calls that came due meanwhile are left out; the next is where it would have been without them.
        let steps = late.div_ceil(entry.interval).max(1);
        entry.due = entry.due.saturating_add(steps.saturating_mul(entry.interval));
        let due = entry.due;
        self.arm(id, due);
        None
    }

    /// Ends every timer whose call does not run.
    pub(super) fn disarm(&mut self) -> Vec<Callback> {
        let resting = self.timers.resting();
        resting.into_iter().filter_map(|id| self.end_timer(id)).collect()
    }

    /// Ends a timer whose call does not run.
    #[inline(always)]
    fn end_timer(&mut self, id: TimerId) -> Option<Callback> {
        let Inner { runtime, timers, .. } = self;
        let Entry { state, op, .. } = timers.entries[id.index()];
        if state == State::Fresh {
            timers.fresh.remove(&mut timers.entries, id.index() as Index);
        } else {
            runtime.disarm(op);
        }
        timers.remove(id)
    }

    /// The loop has looked at the clock: what was set before counts from then, a nanosecond apart, so that those which
    /// wait equally long call in their order. Returns from when on whatever comes next counts.
    #[cold]
    fn count_from(&mut self, now: u64) -> u64 {
        let mut now = now;
        loop {
            let index = self.timers.fresh.pop(&mut self.timers.entries);
            let Some(entry) = self.timers.entries.get(index as usize) else { return now };
            let (id, due) = (TimerId::new(entry.generation, index), now.saturating_add(entry.due));
            self.arm(id, due);
            now += 1;
        }
    }
}

impl<K: Kernel> Loop<K> {
    /// Calls `code` once, in so many nanoseconds, on a fiber of its own. A timer that waits costs about 200 bytes and no
    /// stack, and keeps [`run`](Self::run) running as a fiber does; when the loop ends, it ends without a call. At the
    /// [limit on fibers](Self::set_fiber_limit) the call waits for its turn. May be called outside a fiber. On one the time
    /// counts from the loop's next look at the clock, at the end of the turn at the latest.
    ///
    /// What `code` holds has two words at the most, as the compiler says of more: box it then.
    ///
    /// # Errors
    ///
    /// `ECANCELED` when the loop is ending.
    pub fn after(&self, nanos: u64, code: impl Fn() + 'static) -> Result<TimerId, Errno> {
        self.set_timer(nanos, 0, code)
    }

    /// Like [`after`](Self::after), again and again: the k-th call is due k intervals from now, however late the one
    /// before was. At most one runs at a time: those that come due before it has ended are left out.
    ///
    /// # Errors
    ///
    /// `ECANCELED` when the loop is ending; `EINVAL` for an interval of 0.
    pub fn every(&self, nanos: u64, code: impl Fn() + 'static) -> Result<TimerId, Errno> {
        if nanos == 0 {
            return Err(Errno(libc::EINVAL));
        }
        self.set_timer(nanos, nanos, code)
    }

    #[inline(always)]
    fn set_timer(&self, nanos: u64, interval: u64, code: impl Fn() + 'static) -> Result<TimerId, Errno> {
        if self.ending.get() {
            return Err(Errno(libc::ECANCELED));
        }
        if interval == 0 && self.in_fiber() {
            return Ok(self.with(|inner| inner.timers.insert_fresh(code, nanos)));
        }
        let due = self.look_at_the_clock().saturating_add(nanos);
        Ok(self.with(|inner| {
            let (id, entry) = inner.timers.insert(code, due, interval);
            entry.op = inner.runtime.arm(id.word(), due);
            id
        }))
    }

    /// The time, from which fresh timers count now: what begins after them and lasts as long is not to end before them.
    #[inline]
    pub(crate) fn look_at_the_clock(&self) -> u64 {
        let now = self.kernel().now();
        if self.has_fresh_timers() { self.with(|inner| inner.count_from(now)) } else { now }
    }

    /// Whether timers wait for a look at the clock.
    #[inline]
    pub(super) fn has_fresh_timers(&self) -> bool {
        self.with(|inner| !inner.timers.fresh.is_empty())
    }

    /// Ends a timer: no call of it begins any more. One that has begun goes on: it is a fiber like any other.
    ///
    /// # Errors
    ///
    /// `ESRCH` when there is none of that name: also once the only call, or the last, has begun.
    pub fn cancel_timer(&self, id: TimerId) -> Result<(), Errno> {
        let code = self.with(|inner| {
            let entry = inner.timers.get(id).ok_or(Errno(libc::ESRCH))?;
            match entry.state {
                State::Running if entry.interval > 0 => {
                    entry.state = State::Cancelled;
                    Ok(None)
                }
                State::Running | State::Cancelled | State::Free => Err(Errno(libc::ESRCH)),
                State::Fresh | State::Armed | State::Due => Ok(inner.end_timer(id)),
            }
        })?;
        // What it holds may be foreign code's.
        drop(code);
        Ok(())
    }

    /// Timers that will call once more at least, or whose call runs.
    pub fn timers(&self) -> usize {
        self.with(|inner| inner.timers.live())
    }

    /// Runs the call of a timer whose time has come, unless it has been cancelled.
    pub(super) fn call(&self, id: TimerId, admitted: bool) {
        let Some(code) = self.with(|inner| inner.begin(id, admitted)) else { return };
        // SAFETY: the entry keeps the code where it is until the fiber has ended.
        let call = move || unsafe { (*code).as_ref() }.expect("a timer that runs has its code").call();
        let code = move || {
            call();
            0
        };
        match self.create(Options::DETACHED, Errand::Timer(id), code) {
            Ok(fiber) => self.switch(fiber, 0),
            Err(_) => {
                let later = self.kernel().now().saturating_add(PATIENCE_NANOS);
                self.with(|inner| inner.arm(id, later));
            }
        }
    }
}
