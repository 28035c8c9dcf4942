//! One thread's loop: the core's runtime, and which Ruby fiber waits for what.

use crate::fiber;
use crate::raise;
use crate::typed::{self, DataType, Typed};
use crate::wait;
use nyario_core::conn::ConnId;
use nyario_core::driver::{Config, Driver, Op, OpId, Submitted, Waker};
use nyario_core::local;
use nyario_core::runtime::{Event, NOBODY, Runtime, Stopper};
use nyario_core::sys::{Errno, Fd, Linux};
use rb_sys::{VALUE, rb_fiber_current, rb_fiber_transfer, rb_gc_mark, rb_jump_tag, rb_protect};
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, c_int};
use std::mem::{ManuallyDrop, replace};
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const QNIL: VALUE = rb_sys::special_consts::Qnil as VALUE;
pub(crate) const QTRUE: VALUE = rb_sys::special_consts::Qtrue as VALUE;
pub(crate) const QFALSE: VALUE = rb_sys::special_consts::Qfalse as VALUE;

/// The place of a fiber in its loop.
pub(crate) type Slot = u32;

/// No fiber of the loop's: the root fiber, or one that we do not know.
pub(crate) const NO_SLOT: Slot = u32::MAX;

/// The place of a fiber that has given up its place: nobody will resume it.
pub(crate) const DROPPED: Slot = u32::MAX - 1;

/// How many fibers may run, one after the other, before the root fiber looks at the kernel.
const CHAIN: u32 = 256;

/// Fibers without a job that are kept for the next connections. A Ruby fiber that has run holds some 13 KiB.
const POOL: usize = 512;

/// What a forked child is told that goes on where its parent's loop was.
pub(crate) const PARENTS: &str = "the loop is the parent process's";

/// One read brings at most this much.
pub(crate) const READ_MAX: usize = 65_536;

/// What a fiber is to run.
#[derive(Clone, Copy)]
pub(crate) enum Job {
    None,
    /// Serve a connection.
    Serve {
        conn: ConnId,
        callable: VALUE,
    },
    /// Run a block, for a task.
    Run {
        block: VALUE,
        task: VALUE,
    },
    /// Run what `Fiber.schedule` was given; the fiber ends with it.
    Scheduled,
    /// Not a fiber's slot at all: a timer that raises in the fiber (see `scheduler::timeout`). `what` is an array, an
    /// exception's class and its arguments.
    Timeout {
        fiber: VALUE,
        what: VALUE,
    },
    /// Nor is this: one of several operations whose end unblocks the fiber (see `scheduler::select`).
    #[cfg(ruby_gte_3_2)]
    Watch {
        fiber: VALUE,
    },
}

/// A fiber that waits or runs on this loop.
pub(crate) struct Waiter {
    pub(crate) fiber: VALUE,
    /// Counts the waits, so that the completion of one that an exception cut short meets nobody.
    pub(crate) sequence: u32,
    pub(crate) result: i32,
    /// What it is parked on.
    pub(crate) op: OpId,
    pub(crate) job: Job,
    /// It gave control away past the loop, and is to get it back.
    bypassed: bool,
    /// It is among those that are ready because it has let others go first.
    queued: bool,
    /// It waits for somebody to unblock it, besides what it is parked on.
    pub(crate) blocked: bool,
    /// Somebody has; it is among those that are ready.
    unblocked: bool,
    /// What is to be raised where it is parked, or nil: an exception, or an array of its class and arguments. It is among
    /// those that are ready.
    raised: VALUE,
}

impl Waiter {
    fn new(fiber: VALUE) -> Waiter {
        Waiter {
            fiber,
            sequence: 0,
            result: 0,
            op: OpId::NONE,
            job: Job::None,
            bypassed: false,
            queued: false,
            blocked: false,
            unblocked: false,
            raised: QNIL,
        }
    }
}

/// What is to be raised in a fiber as soon as it would wait.
pub(crate) struct Pending {
    fiber: VALUE,
    what: VALUE,
    /// The timer's slot, or `NO_SLOT`.
    timer: Slot,
}

/// How a wait ended that somebody ended with [`unblock`]: no operation completes with that.
pub(crate) const UNBLOCKED: i32 = i32::MAX;

pub(crate) struct Handler {
    pub(crate) callable: VALUE,
    /// The Ruby object of the server, closed with the loop.
    pub(crate) server: VALUE,
    /// The loop's own descriptor of it; -1 once it has been closed.
    pub(crate) fd: Fd,
}

/// The loop. Everything is reached through a raw pointer, for moments at a time: no borrow may live across a transfer
/// or a call into Ruby.
pub(crate) struct Looped {
    /// Names the loop among all that the process ever had.
    pub(crate) id: u64,
    /// Gone once the loop is `over`.
    pub(crate) runtime: ManuallyDrop<Runtime<Linux>>,
    /// None once the loop is over: it holds a descriptor.
    waker: Option<Waker<Linux>>,
    pub(crate) waiters: Vec<Waiter>,
    free: Vec<Slot>,
    /// Where each fiber is.
    places: HashMap<VALUE, Slot>,
    /// What fibers that do not wait are to be told when they do.
    pending: Vec<Pending>,
    /// Fibers of others that are parked.
    pub(crate) guests: usize,
    /// Fibers of ours that have no job.
    pool: Vec<Slot>,
    pub(crate) ready: VecDeque<Slot>,
    pub(crate) handlers: Vec<Handler>,
    /// The fiber that runs.
    pub(crate) current: Slot,
    /// Control is on its way from one fiber to the other by the loop's own doing.
    switching: bool,
    /// The fiber that called `Nyario.loop`.
    pub(crate) root: VALUE,
    chain: u32,
    pub(crate) scratch: Box<[u8]>,
    /// Jobs that have not ended.
    pub(crate) jobs: usize,
    /// The exception that ends the loop, or nil.
    pub(crate) failure: VALUE,
    pub(crate) running: bool,
    /// Whatever would wait is refused.
    pub(crate) ending: bool,
    over: bool,
    forks: u32,
    /// The Ruby thread that made it.
    thread: VALUE,
    pub(crate) object: VALUE,
}

/// What keeps the loop's values alive for the garbage collector, and the loop itself for fibers that outlive it.
struct Root(*mut Looped);

impl Drop for Root {
    fn drop(&mut self) {
        // SAFETY: the box is the object's own; its runtime was dropped by `free`.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl Typed for Root {
    const NAME: &'static CStr = c"Nyario loop";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Root>();
        &TYPE
    };

    fn mark(&self) {
        // SAFETY: the box is the object's own; marking happens with the GVL held, so it does not change meanwhile.
        let looped = unsafe { &*self.0 };
        // SAFETY: each is nil or a live object.
        unsafe {
            for waiter in &looped.waiters {
                rb_gc_mark(waiter.fiber);
                match waiter.job {
                    Job::None => {}
                    Job::Serve { callable, .. } => rb_gc_mark(callable),
                    Job::Run { block, task } => {
                        rb_gc_mark(block);
                        rb_gc_mark(task);
                    }
                    Job::Scheduled => {}
                    #[cfg(ruby_gte_3_2)]
                    Job::Watch { fiber } => rb_gc_mark(fiber),
                    Job::Timeout { fiber, what } => {
                        rb_gc_mark(fiber);
                        rb_gc_mark(what);
                    }
                }
                rb_gc_mark(waiter.raised);
            }
            for pending in &looped.pending {
                rb_gc_mark(pending.fiber);
                rb_gc_mark(pending.what);
            }
            for handler in &looped.handlers {
                rb_gc_mark(handler.callable);
                rb_gc_mark(handler.server);
            }
            rb_gc_mark(looped.root);
            rb_gc_mark(looped.failure);
        }
    }
}

thread_local! {
    static LOOPED: Cell<*mut Looped> = const { Cell::new(null_mut()) };
}

static LOOPS: AtomicU64 = AtomicU64::new(0);

/// What ends each loop of the process, for threads that run none of their own.
static STOPPERS: Mutex<Vec<Stoppable>> = Mutex::new(Vec::new());

struct Stoppable {
    id: u64,
    forks: u32,
    stopper: Stopper<Linux>,
}

/// The thread's loop, or null.
#[inline]
pub(crate) fn current() -> *mut Looped {
    let looped = LOOPED.get();
    // SAFETY: the pointer is the thread's own and is cleared before the loop goes.
    if looped.is_null() || unsafe { (*looped).forks } == local::forks() { looped } else { null_mut() }
}

/// The thread's loop while it runs, or null.
#[inline]
pub(crate) fn running() -> *mut Looped {
    let looped = current();
    // SAFETY: as above.
    if looped.is_null() || unsafe { (*looped).running } { looped } else { null_mut() }
}

/// The thread's loop, made if there is none.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn get() -> Result<*mut Looped, Errno> {
    let looped = current();
    // SAFETY: the GVL is held; what `current` returns is alive.
    let thread = unsafe { rb_sys::rb_thread_current() };
    if !looped.is_null() {
        // SAFETY: as above.
        unsafe {
            if (*looped).thread == thread {
                return Ok(looped);
            }
            // Ruby runs its threads on native ones that it keeps: this loop's thread ended without having run it.
            free(looped);
        }
    }
    let driver = Driver::new(Linux, &Config::from_env()?)?;
    let mut runtime = Runtime::new(driver);
    let waker = runtime.driver().waker();
    let stopper = runtime.stopper();
    let id = LOOPS.fetch_add(1, Ordering::Relaxed);
    let looped = Box::into_raw(Box::new(Looped {
        id,
        runtime: ManuallyDrop::new(runtime),
        waker: Some(waker),
        waiters: Vec::new(),
        free: Vec::new(),
        places: HashMap::new(),
        pending: Vec::new(),
        guests: 0,
        pool: Vec::new(),
        ready: VecDeque::new(),
        handlers: Vec::new(),
        current: NO_SLOT,
        switching: false,
        root: QNIL,
        chain: 0,
        scratch: vec![0; READ_MAX].into_boxed_slice(),
        jobs: 0,
        failure: QNIL,
        running: false,
        ending: false,
        over: false,
        forks: local::forks(),
        thread,
        object: QNIL,
    }));
    // SAFETY: as above; registering the place keeps the object, and so everything it marks, alive. Until then it is this
    // stack that does.
    unsafe {
        let object = typed::wrap(rb_sys::rb_cObject, Root(looped));
        (*looped).object = object;
        rb_sys::rb_gc_register_address(&raw mut (*looped).object);
        std::hint::black_box(object);
    }
    let stoppable = Stoppable { id, forks: local::forks(), stopper };
    STOPPERS.lock().expect("nothing panics under it").push(stoppable);
    LOOPED.set(looped);
    Ok(looped)
}

/// Frees what the thread's loop has of the kernel. The rest goes with the Ruby object, once no fiber knows it any more.
///
/// # Safety
///
/// The GVL is held, and it is the thread's own loop.
pub(crate) unsafe fn free(looped: *mut Looped) {
    LOOPED.set(null_mut());
    // SAFETY: as above; the object that is unregistered lies on this stack meanwhile.
    unsafe {
        let object = (*looped).object;
        STOPPERS.lock().expect("nothing panics under it").retain(|known| known.id != (*looped).id);
        rb_sys::rb_gc_unregister_address(&raw mut (*looped).object);
        (*looped).over = true;
        (*looped).running = false;
        ManuallyDrop::drop(&mut (*looped).runtime);
        (*looped).waker = None;
        (*looped).waiters = Vec::new();
        (*looped).handlers = Vec::new();
        (*looped).scratch = Box::default();
        std::hint::black_box(object);
    }
}

/// Leaves the loop of the parent process alone, in the child.
pub(crate) fn disown() {
    LOOPED.set(null_mut());
}

/// Asks every loop of the process to end.
pub(crate) fn stop_all() {
    for known in STOPPERS.lock().expect("nothing panics under it").iter() {
        if known.forks == local::forks() {
            known.stopper.stop();
        }
    }
}

impl Looped {
    /// Whether nothing of it may be used any more: it has ended, or it is the parent process's.
    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.over || self.forks != local::forks()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the fiber that runs is, or runs within, that task's.
    pub(crate) fn runs(&self, wanted: VALUE) -> bool {
        let waiter = self.waiters.get(self.current as usize);
        waiter.is_some_and(|waiter| matches!(waiter.job, Job::Run { task, .. } if task == wanted))
    }

    #[inline]
    fn is_in(&self, slot: Slot, fiber: VALUE) -> bool {
        self.waiters.get(slot as usize).is_some_and(|waiter| waiter.fiber == fiber)
    }

    pub(crate) fn has_job(&self, slot: Slot) -> bool {
        !matches!(self.waiters[slot as usize].job, Job::None)
    }

    fn word(&self, slot: Slot) -> u64 {
        // The lowest two bits are the runtime's; 30 bits of the sequence fit above the slot.
        u64::from(self.waiters[slot as usize].sequence) << 34 | u64::from(slot) << 2
    }

    pub(crate) fn enter(&mut self, fiber: VALUE) -> Slot {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.waiters[slot as usize].fiber = fiber;
                slot
            }
            None => {
                self.waiters.push(Waiter::new(fiber));
                (self.waiters.len() - 1) as Slot
            }
        };
        if fiber != QNIL {
            self.places.insert(fiber, slot);
        }
        slot
    }

    pub(crate) fn leave(&mut self, slot: Slot) {
        let waiter = &mut self.waiters[slot as usize];
        let fiber = replace(&mut waiter.fiber, QNIL);
        (waiter.job, waiter.bypassed) = (Job::None, false);
        self.places.remove(&fiber);
        self.free.push(slot);
    }

    /// Ends the wait of a fiber that is blocked. `false`: it is not.
    pub(crate) fn unblock(&mut self, fiber: VALUE) -> bool {
        let Some(&slot) = self.places.get(&fiber) else { return false };
        let waiter = &mut self.waiters[slot as usize];
        if !replace(&mut waiter.blocked, false) {
            return false;
        }
        waiter.unblocked = true;
        if waiter.raised == QNIL {
            self.ready.push_back(slot);
        }
        true
    }

    /// Raises in a fiber: where it is parked, or else where it would next wait. `what` is an exception, or an array of its
    /// class and its arguments.
    pub(crate) fn raise_in(&mut self, fiber: VALUE, what: VALUE, timer: Slot) {
        let place = self.places.get(&fiber).map(|&slot| (slot, &mut self.waiters[slot as usize]));
        match place {
            Some((slot, waiter)) if waiter.op != OpId::NONE && waiter.raised == QNIL => {
                waiter.raised = what;
                if !waiter.unblocked {
                    self.ready.push_back(slot);
                }
            }
            _ => self.pending.push(Pending { fiber, what, timer }),
        }
    }

    /// Takes back what a timer has raised and nobody has been told.
    pub(crate) fn unraise(&mut self, timer: Slot) {
        self.pending.retain(|pending| pending.timer != timer);
    }

    /// What is to be raised in the fiber now that it would wait.
    fn take_pending(&mut self, slot: Slot) -> Option<VALUE> {
        let fiber = self.waiters[slot as usize].fiber;
        let at = self.pending.iter().position(|pending| pending.fiber == fiber)?;
        Some(self.pending.remove(at).what)
    }

    /// Stops waiting for what the fiber in `slot` is parked on; its completion will meet nobody.
    pub(crate) fn forget(&mut self, slot: Slot) {
        let op = replace(&mut self.waiters[slot as usize].op, OpId::NONE);
        self.runtime.cancel(op);
    }

    /// The fiber in `slot` runs, by whatever way it got here. One that gave control away past the loop (by
    /// `Fiber#raise` or `Fiber#transfer`) is not parked, so nothing would ever resume it: it gets its turn again.
    #[inline]
    pub(crate) fn arrive(&mut self, slot: Slot) {
        let from = replace(&mut self.current, slot);
        if !replace(&mut self.switching, false) {
            self.bypass(from);
        }
    }

    #[cold]
    fn bypass(&mut self, slot: Slot) {
        let Some(waiter) = self.waiters.get_mut(slot as usize) else { return };
        let runs = waiter.op == OpId::NONE && !matches!(waiter.job, Job::None);
        if runs && !replace(&mut waiter.bypassed, true) {
            self.ready.push_back(slot);
        }
    }

    /// Puts a fiber of ours away until there is another job. `false`: there are enough, it is dropped.
    pub(crate) fn rest(&mut self, slot: Slot) -> bool {
        let waiter = &mut self.waiters[slot as usize];
        (waiter.job, waiter.bypassed) = (Job::None, false);
        if self.pool.len() < POOL && !self.ending {
            self.pool.push(slot);
            return true;
        }
        self.leave(slot);
        false
    }

    /// The fiber that runs ends, and Ruby goes on with the root fiber.
    pub(crate) fn depart(&mut self) {
        (self.current, self.switching) = (NO_SLOT, true);
    }

    /// Ends the loop's wait, from a thread that is not its own.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        self.jobs > 0 || self.runtime.serving() > 0
    }

    pub(crate) fn refill_chain(&mut self) {
        self.chain = CHAIN;
    }

    /// Whether a turn need not wait.
    pub(crate) fn is_busy(&self) -> bool {
        !self.ready.is_empty() || self.chain == 0
    }

    /// Begins an operation of the fiber in `slot`.
    ///
    /// # Safety
    ///
    /// As [`Runtime::submit`].
    #[inline(always)]
    pub(crate) unsafe fn submit(&mut self, slot: Slot, op: Op, deadline: u64) -> Submitted {
        let waiter = &mut self.waiters[slot as usize];
        waiter.sequence = (waiter.sequence + 1) & 0x3fff_ffff;
        let word = self.word(slot);
        let submitted = match op {
            Op::Close { fd } => self.runtime.close(fd, word),
            // SAFETY: forwarded from the caller.
            op => unsafe { self.runtime.submit(op, word, deadline) },
        };
        if let Submitted::Pending(id) = submitted {
            self.waiters[slot as usize].op = id;
            if self.ending {
                self.runtime.cancel(id);
            }
        }
        submitted
    }
}

/// Whose turn it is: the next fiber that is ready, has its result, or gets a connection to serve. `NO_SLOT` when a
/// turn is due. May create a fiber, so Ruby runs.
///
/// # Safety
///
/// The GVL is held, and `looped` is the thread's own.
#[inline]
unsafe fn next(looped: *mut Looped) -> Slot {
    // SAFETY: as above. Each borrow ends with its statement; only `fiber::start` calls into Ruby.
    unsafe {
        if (*looped).chain == 0 || (*looped).failure != QNIL {
            return NO_SLOT;
        }
        (*looped).chain -= 1;
        if let Some(slot) = (*looped).ready.pop_front() {
            (&mut (*looped).waiters)[slot as usize].queued = false;
            return slot;
        }
        loop {
            match (*looped).runtime.next() {
                None => return NO_SLOT,
                Some(Event::Resume { waiter, result }) => {
                    let slot = (waiter >> 2) as u32;
                    let known = &mut (&mut (*looped).waiters)[slot as usize];
                    if u64::from(known.sequence) == waiter >> 34 && known.op != OpId::NONE {
                        known.op = OpId::NONE;
                        known.result = result;
                        match known.job {
                            Job::Timeout { fiber, what } if result == 0 => (*looped).raise_in(fiber, what, slot),
                            Job::Timeout { .. } => {}
                            #[cfg(ruby_gte_3_2)]
                            Job::Watch { fiber } => drop((*looped).unblock(fiber)),
                            _ => return slot,
                        }
                        if let Some(slot) = (*looped).ready.pop_front() {
                            return slot;
                        }
                    }
                }
                Some(Event::Start { conn, handler }) => {
                    let callable = (&(*looped).handlers)[handler as usize].callable;
                    if let Some(slot) = fiber::start(looped, Job::Serve { conn, callable }) {
                        return slot;
                    }
                    (*looped).runtime.finish(conn);
                }
                Some(Event::Alarm { .. }) => unreachable!("no timer is armed"),
            }
        }
    }
}

/// A fiber of ours without a job, if there is one.
pub(crate) fn rested(looped: &mut Looped) -> Option<Slot> {
    looped.pool.pop()
}

/// Gives control away until somebody gives it back to the fiber in `me` (`NO_SLOT`: the root fiber). Anything but 0 is
/// Ruby's tag of what was raised in the fiber instead, to be handed on with `rb_jump_tag`; the loop may be gone then.
///
/// # Safety
///
/// The GVL is held, the caller runs on that fiber, holds no borrow of the loop, and something will resume the fiber.
#[inline]
pub(crate) unsafe fn give_way(looped: *mut Looped, me: Slot) -> c_int {
    // SAFETY: as above.
    unsafe {
        loop {
            let to = next(looped);
            if to == me {
                return 0;
            }
            (*looped).current = to;
            (*looped).switching = true;
            let mut state = 0;
            if to == NO_SLOT {
                rb_protect(Some(transfer), (*looped).root, &mut state);
                if state != 0 && !(*looped).is_gone() && (*looped).current == to && refused() {
                    // The root fiber waits for this one to yield to it, so the turn is taken here.
                    ((*looped).current, (*looped).switching) = (me, false);
                    rb_protect(Some(turn_here), looped as VALUE, &mut state);
                    if state != 0 || (*looped).is_gone() {
                        return state;
                    }
                    continue;
                }
            } else {
                let waiter = &raw mut (&mut (*looped).waiters)[to as usize];
                // That one goes on in Ruby's own code, so it does not say that it has arrived.
                let bypassed = replace(&mut (*waiter).bypassed, false);
                (*looped).switching = !bypassed;
                rb_protect(Some(transfer), (*waiter).fiber, &mut state);
                if bypassed && state != 0 && !(*looped).is_gone() && (*looped).current == to && refused() {
                    // It has been resumed already, or waits for a fiber of its own.
                    continue;
                }
            }
            if !(*looped).is_gone() {
                (*looped).arrive(me);
            } else if state == 0 {
                rb_protect(Some(refuse), looped as VALUE, &mut state);
            }
            return state;
        }
    }
}

unsafe extern "C" fn transfer(fiber: VALUE) -> VALUE {
    // SAFETY: called with the GVL held; may raise, under `rb_protect`.
    unsafe { rb_fiber_transfer(fiber, 0, std::ptr::null()) }
}

unsafe extern "C" fn turn_here(looped: VALUE) -> VALUE {
    let looped = looped as *mut Looped;
    // SAFETY: called above, with the GVL held; may raise, under `rb_protect`.
    unsafe {
        (*looped).refill_chain();
        wait::turn(looped);
        rb_sys::rb_thread_check_ints();
    }
    QNIL
}

unsafe extern "C" fn refuse(looped: VALUE) -> VALUE {
    // SAFETY: as above; it is the loop of the fiber that runs.
    unsafe {
        if (*(looped as *const Looped)).over {
            raise::runtime("the loop of this fiber has ended");
        }
        raise::runtime(PARENTS)
    }
}

/// Whether what was raised is Ruby's refusal to transfer. It is swallowed then.
#[cold]
unsafe fn refused() -> bool {
    // SAFETY: the GVL is held; the class is Ruby's own, so looking it up raises nothing.
    unsafe {
        let class = rb_sys::rb_path2class(c"FiberError".as_ptr());
        let refused = rb_sys::rb_obj_is_kind_of(rb_sys::rb_errinfo(), class) == QTRUE;
        if refused {
            rb_sys::rb_set_errinfo(QNIL);
        }
        refused
    }
}

/// What became of a wait.
pub(crate) struct Waited {
    pub(crate) result: i32,
    /// Ruby's tag of what was raised in the fiber, or 0.
    pub(crate) tag: c_int,
}

/// Parks the fiber in `me` on the operation that it has just begun, until the operation ends or something is raised.
///
/// # Safety
///
/// As [`give_way`]; and the operation borrows no memory, because an exception ends the wait before the operation.
#[inline]
unsafe fn park(looped: *mut Looped, me: Slot) -> Waited {
    // SAFETY: as above. A fiber is transferred to only with its result, but whoever holds it can transfer to it too.
    unsafe {
        loop {
            let tag = give_way(looped, me);
            if tag != 0 {
                if !(*looped).is_gone() {
                    (*looped).forget(me);
                }
                return Waited { result: 0, tag };
            }
            let waiter = &mut (&mut (*looped).waiters)[me as usize];
            if waiter.op == OpId::NONE {
                return Waited { result: waiter.result, tag: 0 };
            }
            let raised = replace(&mut waiter.raised, QNIL);
            let unblocked = replace(&mut waiter.unblocked, false);
            if raised != QNIL || unblocked {
                (*looped).forget(me);
                let tag = if raised == QNIL { 0 } else { tag_of(raised) };
                return Waited { result: UNBLOCKED, tag };
            }
        }
    }
}

/// Ruby's tag of an exception that is not raised yet.
#[cold]
unsafe fn tag_of(what: VALUE) -> c_int {
    unsafe extern "C" fn raise(what: VALUE) -> VALUE {
        // SAFETY: called below, with the GVL held; an array holds a class and its arguments, and lies on this stack.
        unsafe {
            if !rb_sys::RB_TYPE_P(what, rb_sys::ruby_value_type::RUBY_T_ARRAY) {
                rb_sys::rb_exc_raise(what);
            }
            let (count, items) = (rb_sys::RARRAY_LEN(what), rb_sys::RARRAY_CONST_PTR(what));
            rb_sys::rb_exc_raise(rb_sys::rb_make_exception(count as c_int, items))
        }
    }
    let mut tag = 0;
    // SAFETY: called with the GVL held.
    unsafe { rb_protect(Some(raise), what, &mut tag) };
    tag
}

/// As [`park`], for an operation that borrows memory: whatever is raised, the operation ends first.
///
/// # Safety
///
/// As [`give_way`].
unsafe fn park_to_the_end(looped: *mut Looped, me: Slot) -> Waited {
    let mut waited = Waited { result: -libc::ECANCELED, tag: 0 };
    // SAFETY: as above. Ruby keeps what was raised last in the fiber itself. A loop that is gone has let go of all memory.
    unsafe {
        loop {
            let tag = give_way(looped, me);
            if tag != 0 {
                waited.tag = tag;
                if (*looped).is_gone() {
                    return waited;
                }
                let op = (&(*looped).waiters)[me as usize].op;
                (*looped).runtime.cancel(op);
            }
            let waiter = &mut (&mut (*looped).waiters)[me as usize];
            if waiter.op == OpId::NONE {
                waited.result = waiter.result;
                return waited;
            }
            let raised = replace(&mut waiter.raised, QNIL);
            if raised != QNIL {
                waited.tag = tag_of(raised);
                let op = (&(*looped).waiters)[me as usize].op;
                (*looped).runtime.cancel(op);
            }
        }
    }
}

/// Lets the caller's fiber wait: `work` is told its slot, and what it came to is returned; or `None` when the caller has
/// no fiber to suspend.
///
/// # Safety
///
/// The GVL is held, `looped` is the thread's own and runs, and the caller holds no borrow of it.
#[inline(always)]
unsafe fn in_slot(looped: *mut Looped, work: impl FnOnce(Slot) -> Waited) -> Option<Waited> {
    // SAFETY: as above. The object keeps the loop's memory while this fiber is parked.
    unsafe {
        let (object, before) = ((*looped).object, (*looped).current);
        let me = me(looped);
        let (slot, guest) = match me {
            Me::Ours(slot) => (slot, false),
            Me::Guest(slot) => (slot, true),
            Me::Root => return None,
        };
        (*looped).guests += usize::from(guest);
        let pending = if (*looped).pending.is_empty() { None } else { (*looped).take_pending(slot) };
        let waited = match pending {
            None => work(slot),
            Some(what) => Waited { result: UNBLOCKED, tag: tag_of(what) },
        };
        if guest && !(*looped).is_gone() {
            (*looped).leave(slot);
            (*looped).guests -= 1;
            (*looped).current = before;
        }
        std::hint::black_box(object);
        Some(waited)
    }
}

/// Carries an operation out on the caller's fiber: what it came to, or `None` when the caller has no fiber to suspend.
///
/// # Safety
///
/// The GVL is held, `looped` is the thread's own and runs, and the caller holds no borrow of it. Whatever the operation
/// borrows stays valid until it ends. `begun` is told its name if it has to wait.
#[inline]
pub(crate) unsafe fn carry_out(looped: *mut Looped, op: Op, deadline: u64, begun: impl FnOnce(OpId)) -> Option<Waited> {
    let borrows = matches!(op, Op::Read { .. } | Op::Write { .. });
    // SAFETY: as above.
    unsafe {
        in_slot(looped, |slot| match (*looped).submit(slot, op, deadline) {
            Submitted::Done(result) => Waited { result, tag: 0 },
            Submitted::Pending(id) => {
                begun(id);
                if borrows { park_to_the_end(looped, slot) } else { park(looped, slot) }
            }
        })
    }
}

/// Parks the caller's fiber until somebody unblocks it ([`UNBLOCKED`]), its deadline passes (0), or something is raised.
///
/// # Safety
///
/// As [`carry_out`].
pub(crate) unsafe fn block(looped: *mut Looped, deadline: u64) -> Option<Waited> {
    // SAFETY: as above; a park borrows nothing.
    unsafe {
        in_slot(looped, |slot| {
            let submitted = (*looped).submit(slot, Op::Park, deadline);
            let Submitted::Pending(_) = submitted else { return Waited { result: -libc::ECANCELED, tag: 0 } };
            (&mut (*looped).waiters)[slot as usize].blocked = true;
            let waited = park(looped, slot);
            if !(*looped).is_gone() {
                (&mut (*looped).waiters)[slot as usize].blocked = false;
            }
            waited
        })
    }
}

/// Lets the other fibers that are ready run first; `first` the very first, if there is one.
///
/// # Safety
///
/// As [`carry_out`].
pub(crate) unsafe fn yield_to(looped: *mut Looped, first: Option<Slot>) -> Option<Waited> {
    // SAFETY: as above.
    unsafe {
        in_slot(looped, |slot| {
            (&mut (*looped).waiters)[slot as usize].queued = true;
            (*looped).ready.push_back(slot);
            if let Some(first) = first {
                (*looped).ready.push_front(first);
            }
            let tag = give_way(looped, slot);
            if !(*looped).is_gone() && replace(&mut (&mut (*looped).waiters)[slot as usize].queued, false) {
                // Something else than its turn has brought it back.
                (*looped).ready.retain(|&other| other != slot);
            }
            Waited { result: 0, tag }
        })
    }
}

/// As [`carry_out`]: what was raised meanwhile goes on its way.
///
/// # Safety
///
/// As [`carry_out`]; the caller holds nothing with a destructor.
#[inline]
pub(crate) unsafe fn perform(looped: *mut Looped, op: Op, deadline: u64, begun: impl FnOnce(OpId)) -> Option<i32> {
    // SAFETY: as above.
    unsafe {
        match carry_out(looped, op, deadline, begun) {
            None => None,
            Some(Waited { result, tag: 0 }) => Some(result),
            Some(Waited { tag, .. }) => rb_jump_tag(tag),
        }
    }
}

/// Closes a connection of the loop; whatever waits on it fails with `-EBADF`.
///
/// # Safety
///
/// As [`perform`].
pub(crate) unsafe fn close(looped: *mut Looped, fd: Fd) -> i32 {
    // SAFETY: as above.
    unsafe {
        match perform(looped, Op::Close { fd }, 0, |_| {}) {
            Some(result) => result,
            // Nobody waits for it to have happened.
            None => match (*looped).runtime.close(fd, NOBODY) {
                Submitted::Done(result) => result,
                Submitted::Pending(_) => 0,
            },
        }
    }
}

/// The caller's fiber on that loop.
enum Me {
    /// A fiber of the loop's own.
    Ours(Slot),
    /// A fiber that Ruby code made, with a slot for the time of one call.
    Guest(Slot),
    /// The loop's root fiber, in a signal handler.
    Root,
}

/// Finds out which fiber calls.
///
/// # Safety
///
/// The GVL is held, and `looped` is the thread's own and runs.
#[inline]
unsafe fn me(looped: *mut Looped) -> Me {
    // SAFETY: as above.
    unsafe {
        let fiber = rb_fiber_current();
        let current = (*looped).current;
        if (*looped).is_in(current, fiber) {
            return Me::Ours(current);
        }
        if fiber == (*looped).root { Me::Root } else { Me::Guest((*looped).enter(fiber)) }
    }
}
