//! The loop of native fibers.

mod embedding;
mod inside;

use super::blocking;
use super::cold::{Cold, Spare};
use super::context::Context;
use super::control::{Errand, Fiber};
use super::keys::Values;
use super::lists::Lists;
use super::name::Name;
use super::post::{Inbox, Posted, Poster};
use super::stack::{Class, Slot, StackPool};
use super::table::{FiberId, FiberTable, Outcome};
use super::timers::{TimerId, Timers};
use crate::conn::{ConnId, Kind};
use crate::driver::{BackendKind, Carries, Config, Driver, End, Op, OpId, Submitted};
use crate::runtime::{Event, Runtime, Start, Stopper};
use crate::sys::{Errno, Fd, Kernel, Native, check};
use crate::trace;
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
        let name = Name::new(options.name)?;
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
                inner.call(fiber, name);
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

    fn has_work(&self) -> bool {
        self.with(|inner| inner.has_work() || inner.inbox.has_news())
    }

    /// Begins what was posted, as far as there is room for fibers.
    #[cold]
    fn begin_posted(&self) {
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
    fn step(&self, limit: Option<u64>) {
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

    /// The first of those that are ready, while the credit lasts. They run in the order in which they became ready, so
    /// whoever becomes ready meanwhile comes after them.
    #[inline(always)]
    fn next_ready(&self) -> Option<*mut Fiber> {
        let left = self.credit.get().checked_sub(1)?;
        let fiber = self.with(|inner| inner.ready.pop())?;
        self.credit.set(left);
        Some(fiber)
    }

    fn start(&self, conn: ConnId, handler: u64) {
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
    pub(super) fn switch(&self, fiber: *mut Fiber, result: i32) {
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
    fn turn_to(&self, fiber: *mut Fiber) {
        self.current.set(fiber);
        self.switches.set(self.switches.get() + 1);
        #[cfg(feature = "tracy")]
        // SAFETY: it has not ended; what lies behind the pointer is its own.
        unsafe {
            let name = (*fiber).cold.as_ref().map_or(Name::default(), |cold| cold.name);
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
    fn end(&self) {
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
    fn park_on(&self, fiber: *mut Fiber, id: OpId) -> i32 {
        // SAFETY: the caller runs on this fiber, so its control block is there before and after the switch.
        unsafe {
            (*fiber).op = id;
            if (*fiber).cancelled || self.ending.get() {
                self.with(|inner| inner.runtime.cancel(id));
            }
            let result = Fiber::suspend(fiber);
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
        // SAFETY: the fiber runs; a park lends no memory.
        let submitted = self.with(|inner| unsafe { inner.runtime.submit(Op::Park, fiber as u64, (*fiber).deadline) });
        let why = self.why.replace(PARK);
        let result = match submitted {
            Submitted::Done(result) => result,
            Submitted::Pending(id) => {
                self.with(|inner| inner.runtime.driver().explain(id, why));
                announce(id);
                let result = self.park_on(fiber, id);
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
        // SAFETY: a park lends no memory.
        let submitted = self.with(|inner| unsafe { inner.runtime.submit(Op::Park, fiber as u64, 0) });
        let Submitted::Pending(id) = submitted else { unreachable!("a driver that is being dropped runs no fiber") };
        let why = self.why.replace(PARK);
        self.with(|inner| inner.runtime.driver().explain(id, why));
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
        let until = self.kernel.now().saturating_add(nanos);
        // SAFETY: the fiber runs.
        let deadline = unsafe { (*fiber).deadline };
        let sooner = deadline != 0 && deadline < until;
        let park = |inner: &mut Inner<K>| {
            // SAFETY: a park lends no memory.
            unsafe { inner.runtime.submit(Op::Park, fiber as u64, if sooner { deadline } else { until }) }
        };
        let result = match self.with(park) {
            Submitted::Done(result) => result,
            Submitted::Pending(id) => {
                self.with(|inner| inner.runtime.driver().explain(id, "sleep"));
                self.park_on(fiber, id)
            }
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

    /// Waits for a fiber to end and takes its value.
    ///
    /// # Errors
    ///
    /// `ESRCH` when there is none of that name (any more), `EINVAL` when it is detached or somebody joins it already,
    /// `EDEADLK` for a fiber that joins itself or a call outside a fiber, `ENOTRECOVERABLE` when it panicked, and
    /// `ECANCELED` or `ETIMEDOUT`: then it was not joined.
    pub fn join(&self, id: FiberId) -> Result<u64, Errno> {
        let fiber = self.current.get();
        let waits = self.with(|inner| {
            let entry = inner.fibers.get(id).ok_or(Errno(libc::ESRCH))?;
            if entry.detached || entry.joiner != OpId::NONE {
                return Err(Errno(libc::EINVAL));
            }
            let ended = entry.fiber.is_null();
            if !ended && (fiber.is_null() || entry.fiber == fiber) {
                return Err(Errno(libc::EDEADLK));
            }
            Ok(!ended)
        })?;
        let announce = |park| self.with(|inner| inner.fibers.get(id).expect("found above").joiner = park);
        let waited = if waits { self.because("join").park(announce).map(drop) } else { Ok(()) };
        self.with(|inner| {
            let entry = inner.fibers.get(id).expect("only its one joiner removes it");
            entry.joiner = OpId::NONE;
            if !entry.fiber.is_null() {
                return Err(waited.expect_err("only the fiber's end ends the park well"));
            }
            let outcome = entry.outcome;
            inner.fibers.remove(id);
            match outcome {
                Outcome::Value(value) => Ok(value),
                Outcome::Panicked => Err(Errno(libc::ENOTRECOVERABLE)),
            }
        })
    }

    /// Declares that nobody will join the fiber.
    ///
    /// # Errors
    ///
    /// `ESRCH` when there is none of that name, `EINVAL` when it is detached or being joined already.
    pub fn detach(&self, id: FiberId) -> Result<(), Errno> {
        self.with(|inner| {
            let entry = inner.fibers.get(id).ok_or(Errno(libc::ESRCH))?;
            if entry.detached || entry.joiner != OpId::NONE {
                return Err(Errno(libc::EINVAL));
            }
            entry.detached = true;
            if entry.fiber.is_null() {
                inner.fibers.remove(id);
            }
            Ok(())
        })
    }

    /// Makes the fiber's present suspension fail with `ECANCELED`, or its next one: when it does not wait now, or when
    /// what it waits for is achieved before the cancel reaches it, which is then returned and not lost.
    ///
    /// # Errors
    ///
    /// `ESRCH` when there is none of that name, or it has ended.
    pub fn cancel(&self, id: FiberId) -> Result<(), Errno> {
        self.with(|inner| {
            let fiber = inner.fiber(id)?;
            // SAFETY: it has not ended.
            unsafe {
                (*fiber).cancelled = true;
                inner.runtime.cancel((*fiber).op);
            }
            Ok(())
        })
    }

    /// The running fiber was told of a cancel by a call that has something else to say: the next suspension tells it.
    pub(crate) fn cancel_later(&self) {
        let fiber = self.current.get();
        if !fiber.is_null() {
            // SAFETY: the fiber runs.
            unsafe { (*fiber).cancelled = true };
        }
    }

    /// Sets the running fiber's deadline, in nanoseconds of the monotonic clock, 0 for none: whatever it waits for
    /// past then fails with `ETIMEDOUT`. The one before is returned.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside a fiber.
    pub fn deadline(&self, when: u64) -> Result<u64, Errno> {
        let fiber = self.running_fiber()?;
        // SAFETY: the fiber runs.
        Ok(unsafe { std::mem::replace(&mut (*fiber).deadline, when) })
    }

    /// Narrows the running fiber's deadline to so many nanoseconds from now, unless it is sooner already. The one before
    /// is returned, for [`deadline`](Self::deadline) to restore: so scopes nest.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside a fiber.
    pub fn within(&self, nanos: u64) -> Result<u64, Errno> {
        // A deadline is told as a signed number.
        let when = self.kernel.now().saturating_add(nanos).clamp(1, i64::MAX as u64);
        let fiber = self.running_fiber()?;
        // SAFETY: the fiber runs.
        let deadline = unsafe { &mut (*fiber).deadline };
        let narrowed = if *deadline == 0 { when } else { when.min(*deadline) };
        Ok(std::mem::replace(deadline, narrowed))
    }

    /// The running fiber, or `EINVAL` outside one.
    pub(super) fn running_fiber(&self) -> Result<*mut Fiber, Errno> {
        let fiber = self.current.get();
        if fiber.is_null() { Err(Errno(libc::EINVAL)) } else { Ok(fiber) }
    }

    /// Enters a socket that the caller opened: nyario alone will read it. See [`Driver::own`].
    ///
    /// # Errors
    ///
    /// As [`Driver::own`].
    pub fn opened(&self, fd: Fd, nonblocking: bool) -> Result<(), Errno> {
        self.with(|inner| inner.runtime.opened(fd, nonblocking)).map(drop)
    }

    /// The same of a socket of which it is known what comes by it.
    ///
    /// # Errors
    ///
    /// As [`Driver::own`].
    pub fn opened_as(&self, fd: Fd, nonblocking: bool, carries: Carries) -> Result<(), Errno> {
        self.with(|inner| inner.runtime.opened_as(fd, nonblocking, carries)).map(drop)
    }

    /// Which life a number leads: see [`Driver::life`].
    #[inline]
    pub(crate) fn life(&self, fd: Fd) -> u16 {
        self.with(|inner| inner.runtime.driver().life(fd))
    }

    /// Carries a socket's call with flags out without waiting: see [`Driver::attempt`].
    ///
    /// # Safety
    ///
    /// The operation's pointers must be valid.
    pub unsafe fn attempt(&self, op: Op) -> i32 {
        // SAFETY: forwarded from the caller.
        self.with(|inner| unsafe { inner.runtime.driver().attempt(op) })
    }

    /// Lists of descriptors to be borrowed while a call waits for them.
    pub(crate) fn pollfds(&self) -> &Lists<libc::pollfd> {
        &self.pollfds
    }

    /// The poll bits among `events` that hold because of what the loop has received: see [`Driver::held`].
    pub(crate) fn held(&self, fd: Fd, events: u32) -> u32 {
        self.with(|inner| inner.runtime.driver().held(fd, events))
    }

    /// Works off what the kernel has received for the loop: see [`Driver::catch_up`].
    pub(crate) fn catch_up(&self, fd: Fd) {
        self.with(|inner| inner.runtime.driver().catch_up(fd));
    }

    /// Whether a multishot receive is at work: see [`Driver::receives`].
    pub(crate) fn receives(&self, fd: Fd) -> bool {
        self.with(|inner| inner.runtime.driver().receives(fd))
    }

    /// Moves bytes without waiting: see [`Driver::splice`].
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn splice(&self, from: End, to: End, len: usize, flags: u32) -> i32 {
        // SAFETY: forwarded from the caller.
        self.with(|inner| unsafe { inner.runtime.driver().splice(from, to, len, flags) })
    }

    /// Sends of a file without waiting: see [`Driver::sendfile`].
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn sendfile(&self, to: Fd, from: End, len: usize) -> i32 {
        // SAFETY: forwarded from the caller.
        self.with(|inner| unsafe { inner.runtime.driver().sendfile(to, from, len) })
    }

    /// Receives nothing ahead any more: see [`Driver::fall_behind`].
    pub(crate) fn fall_behind(&self, fd: Fd) {
        self.with(|inner| inner.runtime.driver().fall_behind(fd));
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
    }
}

/// Fibers that may run, in order, linked through their control blocks.
struct ReadyQueue {
    first: *mut Fiber,
    last: *mut Fiber,
}

impl ReadyQueue {
    const EMPTY: ReadyQueue = ReadyQueue { first: std::ptr::null_mut(), last: std::ptr::null_mut() };

    fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    fn push(&mut self, fiber: *mut Fiber) {
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

    fn pop(&mut self) -> Option<*mut Fiber> {
        let fiber = self.first;
        if fiber.is_null() {
            return None;
        }
        // SAFETY: as in `push`.
        self.first = unsafe { (*fiber).next };
        Some(fiber)
    }
}
