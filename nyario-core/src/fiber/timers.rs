//! Timers: code that a loop calls later, once or again and again, each time on a fiber of its own.
//!
//! ```text
//!   after, every -> armed -- its time comes --> a fiber runs the call -- it ends --> armed again, or gone
//!                     |                    \
//!                     | cancel              `-- no room among the fibers --> due
//!                     v
//!                    gone
//! ```
//!
//! An armed timer is an entry here, an operation that parks until its deadline, and no fiber: see [`Runtime::arm`].
//!
//! [`Runtime::arm`]: crate::runtime::Runtime::arm

use super::callback::Callback;
use super::control::Errand;
use super::scheduler::{Inner, Loop, Options};
use crate::driver::OpId;
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
    Armed,
    /// Its time has come, and its call waits for room among the fibers.
    Due,
    Running,
    /// Its last call runs.
    Cancelled,
}

struct Entry {
    generation: u32,
    next_free: u32,
    state: State,
    /// What its next call waits for.
    op: OpId,
    /// When its next call is due, or the one that runs was.
    due: u64,
    /// 0 for one call.
    interval: u64,
    /// Where the code lies, as long as the entry serves a timer. It does not move: a fiber may be running it.
    code: *mut Option<Callback>,
}

const NONE: u32 = u32::MAX;

/// The timers of one loop.
pub(super) struct Timers {
    entries: Vec<Entry>,
    free: u32,
    live: usize,
}

impl Timers {
    pub(super) fn new() -> Timers {
        Timers { entries: Vec::new(), free: NONE, live: 0 }
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
        self.free = entry.next_free;
        (entry.state, entry.due, entry.interval) = (State::Armed, due, interval);
        // SAFETY: nobody runs the code of a free entry, and nothing of it needs to be dropped.
        unsafe { entry.code.write(Some(Callback::new(code))) };
        (TimerId(u64::from(entry.generation) << 32 | u64::from(index)), entry)
    }

    #[cold]
    fn grow(&mut self) {
        let code = Box::into_raw(Box::new(None));
        let (state, op) = (State::Free, OpId::NONE);
        self.free = self.entries.len() as u32;
        self.entries.push(Entry { generation: 1, next_free: NONE, state, op, due: 0, interval: 0, code });
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
        entry.next_free = self.free;
        // SAFETY: nobody runs it.
        let code = unsafe { (*entry.code).take_if(|code| code.needs_drop()) };
        self.free = id.index() as u32;
        self.live -= 1;
        code
    }

    /// The timers whose call does not run.
    fn resting(&self) -> Vec<TimerId> {
        let resting = |entry: &&Entry| matches!(entry.state, State::Armed | State::Due);
        let entries = (0u64..).zip(&self.entries).filter(|(_, entry)| resting(entry));
        entries.map(|(index, entry)| TimerId(u64::from(entry.generation) << 32 | index)).collect()
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
        let end = |id| {
            let op = self.timers.get(id).expect("it rests").op;
            self.runtime.disarm(op);
            self.timers.remove(id)
        };
        resting.into_iter().filter_map(end).collect()
    }
}

impl<K: Kernel> Loop<K> {
    /// Calls `code` once, in so many nanoseconds, on a fiber of its own. A timer that waits costs about 200 bytes and no
    /// stack, and keeps [`run`](Self::run) running as a fiber does; when the loop ends, it ends without a call. At the
    /// [limit on fibers](Self::set_fiber_limit) the call waits for its turn. May be called outside a fiber.
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
        let due = self.kernel().now().saturating_add(nanos);
        Ok(self.with(|inner| {
            let (id, entry) = inner.timers.insert(code, due, interval);
            entry.op = inner.runtime.arm(id.word(), due);
            id
        }))
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
                State::Armed | State::Due => {
                    inner.runtime.disarm(entry.op);
                    Ok(inner.timers.remove(id))
                }
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
