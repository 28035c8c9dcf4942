//! The loop of native fibers.

mod descriptors;
mod embedding;
mod inside;
mod join;
mod park;
mod ready;
mod turn;

use ready::ReadyQueue;

use super::cold::{Cold, Spare};
use super::context::Context;
use super::control::{Errand, Fiber};
use super::keys::Values;
use super::lists::Lists;
use super::name::Name;
use super::post::{Inbox, Posted, Poster};
use super::stack::{Class, Slot, StackPool};
use super::table::{FiberId, FiberTable};
use super::timers::{TimerId, Timers};
use crate::conn::{ConnId, Kind};
use crate::driver::{BackendKind, Config, Driver, Lent, OpId};
use crate::runtime::{Runtime, Start, Stopper};
use crate::sys::{Errno, Fd, Kernel, Native};
use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The kernel is looked at after so many switches, however many fibers are ready.
const SWITCHES_PER_TURN: u32 = 256;

/// How often a fiber that is asked to end at the close of a loop may begin to wait again. Nothing can end code that
/// ignores so many refusals; its stack is then left alone.
const REFUSALS: u32 = 1000;

/// Why a fiber parks if nobody says anything else.
const PARK: &str = "park";

/// How a fiber is spawned.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options<'a> {
    /// Nobody will join it; its outcome is dropped.
    pub detached: bool,
    /// What it is called in what people read: see [`Name::new`]. Empty is none.
    pub name: &'a str,
    /// How many bytes of stack it can use, from 16 KiB to 64 MiB, rounded up to a power of two; 0 for what the loop's
    /// fibers have unless they ask, 256 KiB if [`Loop::set_stack_size`] says nothing else.
    pub stack_size: usize,
}

impl Options<'static> {
    /// Of a fiber that nobody will join.
    pub const DETACHED: Options<'static> = Options { detached: true, name: "", stack_size: 0 };
}

/// A fiber that has used up its stack.
pub(crate) struct Overflow {
    pub(crate) fiber: FiberId,
    pub(crate) name: Name,
    pub(crate) stack_size: usize,
}

/// What serves a connection: called on a fiber of its own with the connection's descriptor.
type Handler = Rc<dyn Fn(Fd)>;

/// What waits for room among the fibers.
#[derive(Clone, Copy)]
enum Waiting {
    /// The handler of a connection.
    Handler(ConnId, u64),
    /// The call of a timer.
    Call(TimerId),
}

pub(super) struct Inner<K: Kernel> {
    pub(super) runtime: Runtime<K>,
    pub(super) timers: Timers,
    fibers: FiberTable,
    stacks: StackPool<K>,
    spare: Spare,
    /// The stacks of fibers that ask for none.
    class: Class,
    /// How many fibers there may be.
    most: usize,
    /// What the thread has set outside the fibers.
    pub(super) values: Values,
    handlers: Vec<Handler>,
    crowded: VecDeque<Waiting>,
    /// What other threads have for the loop to run, and what of it the loop has taken.
    inbox: Arc<Inbox>,
    posted: Rc<Posted>,
    ready: ReadyQueue,
}

impl<K: Kernel> Inner<K> {
    /// Ends a fiber's park: it is ready from now on.
    #[inline]
    fn unpark(&mut self, park: OpId, result: i32) {
        if let Some(waiter) = self.runtime.driver().release(park) {
            let fiber = waiter as *mut Fiber;
            // SAFETY: only a fiber parks with this driver, and it does not end before it is resumed.
            unsafe { (*fiber).unparked = result };
            self.ready.push(fiber);
        }
    }

    fn has_work(&self) -> bool {
        self.fibers.live() + self.timers.live() + self.crowded.len() > 0
            || self.runtime.serving() > 0
            || self.posted.waits()
    }

    fn has_room(&self) -> bool {
        self.fibers.live() < self.most
    }

    /// Whether what is to run on a new fiber may start. If not, it joins those that wait for their turn.
    fn admits(&mut self, waiting: Waiting) -> bool {
        let admitted = self.crowded.is_empty() && self.has_room();
        if !admitted {
            self.crowded.push_back(waiting);
        }
        admitted
    }

    /// Whether one of those that wait for room has it now.
    fn crowd_moves(&self) -> bool {
        !self.crowded.is_empty() && self.has_room()
    }

    /// Whether somebody does not wait for anything any more.
    fn wants_to_run(&self) -> bool {
        !self.ready.is_empty() || self.crowd_moves()
    }

    /// Whether something that was posted can begin.
    fn wants_to_begin(&self) -> bool {
        self.inbox.has_news() || (self.posted.is_next() && self.has_room())
    }

    /// Whether something is to be looked at again before long, though nothing happens.
    fn is_restless(&self) -> bool {
        self.stacks.wants_trimming() || self.posted.waits()
    }

    /// Whose turn it is of those that wait for room.
    fn next_in_crowd(&mut self) -> Option<Waiting> {
        while self.crowd_moves() {
            match self.crowded.pop_front() {
                Some(Waiting::Handler(conn, _)) if !self.runtime.conns().is_open(conn) => {}
                next => return next,
            }
        }
        None
    }

    /// The fiber of that name, until it has ended.
    fn fiber(&mut self, id: FiberId) -> Result<*mut Fiber, Errno> {
        let entry = self.fibers.get(id).filter(|entry| !entry.fiber.is_null()).ok_or(Errno(libc::ESRCH))?;
        Ok(entry.fiber)
    }

    /// What only some fibers have: from now on this one does.
    ///
    /// # Safety
    ///
    /// The fiber must not have ended.
    pub(super) unsafe fn cold(&mut self, fiber: *mut Fiber) -> &mut Cold {
        // SAFETY: forwarded from the caller; what lies behind the pointer is the fiber's own until it ends.
        unsafe {
            if (*fiber).cold.is_null() {
                (*fiber).cold = self.spare.take();
            }
            &mut *(*fiber).cold
        }
    }

    /// Calls a fiber by a name.
    ///
    /// # Safety
    ///
    /// The fiber must not have ended.
    unsafe fn call(&mut self, fiber: *mut Fiber, name: Name) {
        // SAFETY: forwarded from the caller.
        unsafe {
            if !name.is_empty() || !(*fiber).cold.is_null() {
                self.cold(fiber).name = name;
            }
        }
    }

    /// Takes back what a fiber leaves that has ended, or that will never run.
    ///
    /// # Safety
    ///
    /// Nothing of the fiber, which lies on that stack, may be touched any more.
    unsafe fn clear(&mut self, fiber: *mut Fiber, slot: Slot) {
        // SAFETY: forwarded from the caller.
        unsafe { self.spare.give((*fiber).cold) };
        self.stacks.give(slot);
    }
}

impl<K: Kernel> Drop for Inner<K> {
    /// What fibers that never ran were to run goes with them.
    fn drop(&mut self) {
        let fibers: Vec<*mut Fiber> = self.fibers.fibers().collect();
        for fiber in fibers {
            // SAFETY: a fiber in the table has not ended, and nobody resumes it any more.
            unsafe {
                if let Some(slot) = Fiber::discard(fiber) {
                    self.clear(fiber, slot);
                }
            }
        }
    }
}

/// A loop and its fibers. It stays on the thread that made it.
pub struct Loop<K: Kernel = Native> {
    inner: UnsafeCell<Inner<K>>,
    /// The fiber that runs, or null in the loop itself.
    current: Cell<*mut Fiber>,
    /// Where the loop goes on, while a fiber runs.
    home: UnsafeCell<Context>,
    /// How many ready fibers may still run before the kernel is looked at.
    credit: Cell<u32>,
    /// How often a fiber was resumed.
    switches: Cell<u64>,
    /// Why the next park is begun.
    why: Cell<&'static str>,
    running: Cell<bool>,
    /// How many fibers wait that were lent the waker.
    lent: Cell<usize>,
    /// The loop is ending: whatever would wait is refused.
    pub(super) ending: Cell<bool>,
    /// What calls that wait for several descriptors write down.
    polls: Lists<OpId>,
    pollfds: Lists<libc::pollfd>,
    kernel: K,
    number: u64,
}

/// How many loops the process has made.
static LOOPS: AtomicU64 = AtomicU64::new(0);

impl<K: Kernel> Loop<K> {
    /// A loop over that kernel.
    ///
    /// # Errors
    ///
    /// As [`Driver::new`].
    pub fn new(kernel: K, config: &Config) -> Result<Loop<K>, Errno> {
        let driver = Driver::new(kernel.clone(), config)?;
        let inner = Inner {
            runtime: Runtime::new(driver),
            fibers: FiberTable::new(),
            stacks: StackPool::new(kernel.clone()),
            timers: Timers::new(),
            spare: Spare::default(),
            class: Class::default(),
            most: usize::MAX,
            values: Values::default(),
            handlers: Vec::new(),
            crowded: VecDeque::new(),
            inbox: Arc::new(Inbox::new()),
            posted: Rc::default(),
            ready: ReadyQueue::EMPTY,
        };
        Ok(Loop {
            inner: UnsafeCell::new(inner),
            current: Cell::new(std::ptr::null_mut()),
            home: UnsafeCell::new(Context::NONE),
            credit: Cell::new(0),
            switches: Cell::new(0),
            why: Cell::new(PARK),
            running: Cell::new(false),
            lent: Cell::new(0),
            ending: Cell::new(false),
            polls: Lists::new(),
            pollfds: Lists::new(),
            kernel,
            number: LOOPS.fetch_add(1, Ordering::Relaxed) + 1,
        })
    }

    /// Works on the loop's state. Nothing that is called within may switch fibers or run foreign code: that is what
    /// makes the borrow exclusive.
    #[inline(always)]
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Inner<K>) -> R) -> R {
        // SAFETY: the loop is not Sync, `work` is one of this folder's closures, and none of them switches, calls back
        // into the loop, or runs code that could.
        work(unsafe { &mut *self.inner.get() })
    }

    /// Runs `code` on a new fiber, from the next round on.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there are as many fibers as [`set_fiber_limit`](Self::set_fiber_limit) allows; `ENOMEM` when there
    /// is no room for a stack; `ECANCELED` when the loop is ending; `EINVAL` for a size of stack out of bounds, and as
    /// [`Name::new`].
    pub fn spawn(&self, options: Options<'_>, code: impl FnOnce() -> u64 + 'static) -> Result<FiberId, Errno> {
        if self.ending.get() {
            return Err(Errno(libc::ECANCELED));
        }
        if !self.with(|inner| inner.has_room()) {
            return Err(Errno(libc::EAGAIN));
        }
        let fiber = self.create(options, Errand::Own, code)?;
        self.with(|inner| inner.ready.push(fiber));
        // SAFETY: the fiber is new, and nothing has ended it.
        Ok(unsafe { (*fiber).id })
    }

    pub(super) fn create(
        &self,
        options: Options<'_>,
        errand: Errand,
        code: impl FnOnce() -> u64 + 'static,
    ) -> Result<*mut Fiber, Errno> {
        // Most have none, and a name is as long as a cache line.
        let name = if options.name.is_empty() { None } else { Some(Name::new(options.name)?) };
        self.with(|inner| {
            let class = if options.stack_size == 0 { inner.class } else { Class::holding(options.stack_size)? };
            let slot = inner.stacks.take(class)?;
            // A panic ends the fiber and not the loop; the panic hook has told of it by then.
            let guarded = move || catch_unwind(AssertUnwindSafe(code)).map_or((0, false), |value| (value, true));
            let fiber = Fiber::create(slot, errand, guarded);
            let id = inner.fibers.insert(fiber, options.detached);
            // SAFETY: the control block was just laid out.
            unsafe {
                (*fiber).id = id;
                if let Some(name) = &name {
                    inner.call(fiber, *name);
                }
            }
            Ok(fiber)
        })
    }

    /// How many bytes of stack fibers have from now on that ask for no size; handlers are among them. From 16 KiB to
    /// 64 MiB, rounded up to a power of two; 256 KiB if nothing is said.
    ///
    /// # Errors
    ///
    /// `EINVAL` out of these bounds.
    pub fn set_stack_size(&self, bytes: usize) -> Result<(), Errno> {
        let class = Class::holding(bytes)?;
        self.with(|inner| inner.class = class);
        Ok(())
    }

    /// Allows so many fibers at a time, which is at least one; any number if nothing is said. Beyond it
    /// [`spawn`](Self::spawn) says `EAGAIN`, and the handlers of connections wait for their turn. Fibers that are there
    /// already stay.
    ///
    /// # Errors
    ///
    /// `EINVAL` for 0.
    pub fn set_fiber_limit(&self, most: usize) -> Result<(), Errno> {
        if most == 0 {
            return Err(Errno(libc::EINVAL));
        }
        self.with(|inner| inner.most = most);
        Ok(())
    }

    /// See [`Runtime::set_connection_limit`].
    ///
    /// # Errors
    ///
    /// `EINVAL` for 0.
    pub fn set_connection_limit(&self, most: usize) -> Result<(), Errno> {
        self.with(|inner| inner.runtime.set_connection_limit(most))
    }

    /// What a fiber is called; an empty name if it is called nothing.
    ///
    /// # Errors
    ///
    /// `ESRCH` when there is none of that id, or it has ended.
    pub fn name(&self, id: FiberId) -> Result<Name, Errno> {
        self.with(|inner| {
            let fiber = inner.fiber(id)?;
            // SAFETY: the fiber has not ended, so what lies behind the pointer is its own.
            Ok(unsafe { (*fiber).cold.as_ref() }.map_or(Name::default(), |cold| cold.name))
        })
    }

    /// Calls a fiber by a name from now on; an empty one is none.
    ///
    /// # Errors
    ///
    /// `ESRCH` when there is none of that id, or it has ended.
    pub fn set_name(&self, id: FiberId, name: Name) -> Result<(), Errno> {
        self.with(|inner| {
            let fiber = inner.fiber(id)?;
            // SAFETY: it has not ended.
            unsafe { inner.call(fiber, name) };
            Ok(())
        })
    }

    /// Registers a listening socket: each of its connections runs `handler` on a fiber of its own, and ends with it.
    /// See [`Runtime::register`].
    ///
    /// # Errors
    ///
    /// As [`Runtime::register`].
    pub fn register(&self, fd: Fd, start: Start, handler: impl Fn(Fd) + 'static) -> Result<(), Errno> {
        let handler: Handler = Rc::new(handler);
        self.with(|inner| {
            inner.runtime.register(fd, inner.handlers.len() as u64, start)?;
            inner.handlers.push(handler);
            Ok(())
        })
    }

    /// Ends the loop soon; see [`run`](Self::run).
    pub fn stop(&self) {
        self.stopper().stop();
    }

    /// What ends the loop from other threads and from signal handlers.
    pub fn stopper(&self) -> Stopper<K> {
        self.with(|inner| inner.runtime.stopper())
    }

    /// What has this loop run code from other threads.
    pub fn poster(&self) -> Poster<K> {
        self.with(|inner| Poster::new(inner.inbox.clone(), inner.runtime.driver().waker()))
    }

    /// Ends the loop once its fibers have ended, or in so many nanoseconds: its servers, its timers and the connections that
    /// have no fiber end at once, and then it waits for the fibers. The grace over, it ends as with [`stop`](Self::stop).
    pub fn drain(&self, grace: u64) {
        self.stopper().drain(grace);
    }

    /// What wakes parks of this loop from other threads.
    pub fn waker(&self) -> crate::driver::Waker<K> {
        self.with(|inner| inner.runtime.driver().waker())
    }

    /// The same for a fiber of this loop that waits, until it is [taken back](Self::take_waker_back).
    pub(crate) fn lend_waker(&self) -> Lent<K> {
        self.lent.set(self.lent.get() + 1);
        self.with(|inner| inner.runtime.driver().lend_waker())
    }

    /// The fiber waits no longer.
    pub(crate) fn take_waker_back(&self) {
        self.lent.set(self.lent.get() - 1);
    }

    /// Whether the caller runs on a fiber of this loop.
    pub fn in_fiber(&self) -> bool {
        !self.current.get().is_null()
    }

    /// The running fiber.
    pub fn me(&self) -> Option<FiberId> {
        let fiber = self.current.get();
        // SAFETY: the current fiber is running, so it has not ended.
        (!fiber.is_null()).then(|| unsafe { (*fiber).id })
    }

    /// The running fiber, if that address lies in the guard below its stack. Async-signal-safe.
    pub(crate) fn overflowed(&self, addr: usize) -> Option<Overflow> {
        // SAFETY: the current fiber is running, so it has not ended, and what lies behind the pointer is its own.
        unsafe {
            let fiber = self.current.get().as_ref().filter(|fiber| fiber.slot.guards(addr))?;
            let name = fiber.cold.as_ref().map_or(Name::default(), |cold| cold.name);
            Some(Overflow { fiber: fiber.id, name, stack_size: fiber.slot.size() })
        }
    }

    /// Which life a number leads: see [`Driver::life`].
    #[inline]
    pub(crate) fn life(&self, fd: Fd) -> u16 {
        self.with(|inner| inner.runtime.driver().life(fd))
    }

    /// How many connections of a kind are open.
    pub fn connections(&self, kind: Kind) -> usize {
        self.with(|inner| inner.runtime.conns().count(kind))
    }

    /// Fibers that have not ended.
    pub fn fibers(&self) -> usize {
        self.with(|inner| inner.fibers.live())
    }

    /// The backend at work.
    pub fn backend(&self) -> BackendKind {
        self.with(|inner| inner.runtime.backend())
    }

    /// Tells this loop from every other of the process; above 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The kernel beneath.
    pub fn kernel(&self) -> &K {
        &self.kernel
    }
}

impl<K: Kernel> Drop for Loop<K> {
    fn drop(&mut self) {
        self.destroy_values();
        // What goes with it may post, and be told that nobody is there.
        let inbox = self.with(|inner| inner.inbox.clone());
        inbox.close();
        if self.lent.get() > 0 {
            // A fiber that ignored every cancel is left waiting, and others may still find it.
            std::mem::forget(self.waker());
        }
    }
}
