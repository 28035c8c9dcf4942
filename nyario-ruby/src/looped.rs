//! One thread's loop: the core's runtime, and which Ruby fiber waits for what.

use crate::fiber;
use crate::typed::{self, DataType, Typed};
use nyario_core::conn::ConnId;
use nyario_core::driver::{Config, Driver, Op, OpId, Submitted};
use nyario_core::local;
use nyario_core::runtime::{Event, Runtime, Start, Stopper};
use nyario_core::sys::{Errno, Linux};
use rb_sys::{VALUE, rb_fiber_current, rb_fiber_transfer, rb_gc_mark};
use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::Mutex;

pub(crate) const QNIL: VALUE = rb_sys::special_consts::Qnil as VALUE;
pub(crate) const QTRUE: VALUE = rb_sys::special_consts::Qtrue as VALUE;
pub(crate) const QFALSE: VALUE = rb_sys::special_consts::Qfalse as VALUE;

/// The place of a fiber in its loop.
pub(crate) type Slot = u32;

/// No fiber of the loop's: the root fiber, or one that we do not know.
pub(crate) const NO_SLOT: Slot = u32::MAX;

/// How many fibers may run, one after the other, before the root fiber looks at the kernel.
const CHAIN: u32 = 256;

/// Fibers without a job that are kept for the next connections. A Ruby fiber that has run holds some 13 KiB.
const POOL: usize = 512;

/// One read brings at most this much.
pub(crate) const READ_MAX: usize = 65_536;

/// What a fiber is to run.
#[derive(Clone, Copy)]
pub(crate) enum Job {
    None,
    /// Serve a connection.
    Serve { conn: ConnId, callable: VALUE },
    /// Run a block, for a task.
    Run { block: VALUE, task: VALUE },
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
}

pub(crate) struct Handler {
    pub(crate) callable: VALUE,
    /// The Ruby object of the server, closed with the loop; nil when there is none.
    pub(crate) server: VALUE,
}

/// The loop. Everything is reached through a raw pointer, for moments at a time: no borrow may live across a transfer
/// or a call into Ruby.
pub(crate) struct Looped {
    pub(crate) runtime: Runtime<Linux>,
    pub(crate) waiters: Vec<Waiter>,
    free: Vec<Slot>,
    /// Fibers of ours that have no job.
    pool: Vec<Slot>,
    pub(crate) ready: VecDeque<Slot>,
    pub(crate) handlers: Vec<Handler>,
    /// The fiber that runs.
    pub(crate) current: Slot,
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
    forks: u32,
    object: VALUE,
}

/// What keeps the loop's values alive for the garbage collector.
struct Root(*mut Looped);

impl Typed for Root {
    const NAME: &'static CStr = c"Nyario loop";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Root>();
        &TYPE
    };

    fn mark(&self) {
        if self.0.is_null() {
            return;
        }
        // SAFETY: the loop clears the pointer before it goes; marking happens with the GVL held, so it does not change
        // meanwhile.
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
                }
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

/// What ends each loop of the process, for threads that have none of their own.
static STOPPERS: Mutex<Vec<(u64, Stopper<Linux>)>> = Mutex::new(Vec::new());

/// The thread's loop, or null.
#[inline]
pub(crate) fn current() -> *mut Looped {
    let looped = LOOPED.get();
    // SAFETY: the pointer is the thread's own and is cleared before the loop goes.
    if looped.is_null() || unsafe { (*looped).forks } == local::forks() { looped } else { null_mut() }
}

/// The thread's loop, made if there is none.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn get() -> Result<*mut Looped, Errno> {
    let looped = current();
    if !looped.is_null() {
        return Ok(looped);
    }
    let driver = Driver::new(Linux, &Config::from_env()?)?;
    let runtime = Runtime::new(driver);
    let stopper = runtime.stopper();
    let looped = Box::into_raw(Box::new(Looped {
        runtime,
        waiters: Vec::new(),
        free: Vec::new(),
        pool: Vec::new(),
        ready: VecDeque::new(),
        handlers: Vec::new(),
        current: NO_SLOT,
        root: QNIL,
        chain: 0,
        scratch: vec![0; READ_MAX].into_boxed_slice(),
        jobs: 0,
        failure: QNIL,
        running: false,
        ending: false,
        forks: local::forks(),
        object: QNIL,
    }));
    // SAFETY: as above; registering the place keeps the object, and so everything it marks, alive.
    unsafe {
        (*looped).object = typed::wrap(rb_sys::rb_cObject, Root(looped));
        rb_sys::rb_gc_register_address(&raw mut (*looped).object);
    }
    STOPPERS.lock().expect("nothing panics under it").push((looped as u64, stopper));
    LOOPED.set(looped);
    Ok(looped)
}

/// Frees the thread's loop: everything in it has ended.
///
/// # Safety
///
/// The GVL is held, it is the thread's own loop, and no fiber will touch it again.
pub(crate) unsafe fn free(looped: *mut Looped) {
    LOOPED.set(null_mut());
    STOPPERS.lock().expect("nothing panics under it").retain(|&(name, _)| name != looped as u64);
    // SAFETY: as above; the object's pointer is cleared before the loop goes.
    unsafe {
        (*typed::unwrap::<Root>((*looped).object)).0 = null_mut();
        rb_sys::rb_gc_unregister_address(&raw mut (*looped).object);
        drop(Box::from_raw(looped));
    }
}

/// Asks every loop of the process to end.
pub(crate) fn stop_all() {
    for (_, stopper) in STOPPERS.lock().expect("nothing panics under it").iter() {
        stopper.stop();
    }
}

impl Looped {
    fn word(&self, slot: Slot) -> u64 {
        // The lowest two bits are the runtime's; 30 bits of the sequence fit above the slot.
        u64::from(self.waiters[slot as usize].sequence) << 34 | u64::from(slot) << 2
    }

    pub(crate) fn enter(&mut self, fiber: VALUE) -> Slot {
        match self.free.pop() {
            Some(slot) => {
                self.waiters[slot as usize].fiber = fiber;
                slot
            }
            None => {
                self.waiters.push(Waiter { fiber, sequence: 0, result: 0, op: OpId::NONE, job: Job::None });
                (self.waiters.len() - 1) as Slot
            }
        }
    }

    pub(crate) fn leave(&mut self, slot: Slot) {
        self.waiters[slot as usize].fiber = QNIL;
        self.free.push(slot);
    }

    /// Puts a fiber of ours away until there is another job. `false`: there are enough, it is dropped.
    pub(crate) fn rest(&mut self, slot: Slot) -> bool {
        self.waiters[slot as usize].job = Job::None;
        if self.pool.len() < POOL && !self.ending {
            self.pool.push(slot);
            return true;
        }
        self.leave(slot);
        false
    }

    pub(crate) fn handler(&mut self, callable: VALUE, server: VALUE) -> u64 {
        self.handlers.push(Handler { callable, server });
        (self.handlers.len() - 1) as u64
    }

    pub(crate) fn register(&mut self, fd: i32, handler: u64, start: Start) -> Result<(), Errno> {
        self.runtime.register(fd, handler, start)
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
                        return slot;
                    }
                }
                Some(Event::Start { conn, handler }) => {
                    let callable = (&(*looped).handlers)[handler as usize].callable;
                    if let Some(slot) = fiber::start(looped, Job::Serve { conn, callable }) {
                        return slot;
                    }
                    (*looped).runtime.finish(conn);
                }
            }
        }
    }
}

/// A fiber of ours without a job, if there is one.
pub(crate) fn rested(looped: &mut Looped) -> Option<Slot> {
    looped.pool.pop()
}

/// Gives control away until somebody gives it back to the fiber in `me` (`NO_SLOT`: the root fiber). It may leave by
/// longjmp when an exception is raised in the fiber.
///
/// # Safety
///
/// The GVL is held, the caller runs on that fiber, holds no borrow of the loop and nothing with a destructor, and
/// something will resume the fiber.
#[inline]
pub(crate) unsafe fn give_way(looped: *mut Looped, me: Slot) {
    // SAFETY: as above.
    unsafe {
        let to = next(looped);
        if to == me {
            return;
        }
        (*looped).current = to;
        let fiber = if to == NO_SLOT { (*looped).root } else { (&(*looped).waiters)[to as usize].fiber };
        rb_fiber_transfer(fiber, 0, std::ptr::null());
        (*looped).current = me;
    }
}

/// Parks the fiber in `me` on the operation that it has just begun, and returns the operation's result.
///
/// # Safety
///
/// As [`give_way`]; and the operation borrows no memory, because an exception ends the wait before the operation.
#[inline]
pub(crate) unsafe fn park(looped: *mut Looped, me: Slot) -> i32 {
    // SAFETY: as above. A fiber is transferred to only with its result, but whoever holds it can transfer to it too.
    unsafe {
        while {
            give_way(looped, me);
            (&(*looped).waiters)[me as usize].op != OpId::NONE
        } {}
        (&(*looped).waiters)[me as usize].result
    }
}

/// The caller's fiber on that loop.
pub(crate) enum Me {
    /// A fiber of the loop's own.
    Ours(Slot),
    /// A fiber that Ruby code made, with a slot for the time of one call.
    Guest(Slot),
    /// The loop does not run, or the caller is its root fiber: waiting blocks the thread.
    Nobody,
}

/// Finds out which fiber calls.
///
/// # Safety
///
/// The GVL is held, and `looped` is the thread's own or null.
#[inline]
pub(crate) unsafe fn me(looped: *mut Looped) -> Me {
    // SAFETY: as above.
    unsafe {
        if looped.is_null() || !(*looped).running {
            return Me::Nobody;
        }
        let fiber = rb_fiber_current();
        let current = (*looped).current;
        if current != NO_SLOT && (&(*looped).waiters)[current as usize].fiber == fiber {
            return Me::Ours(current);
        }
        if fiber == (*looped).root { Me::Nobody } else { Me::Guest((*looped).enter(fiber)) }
    }
}
