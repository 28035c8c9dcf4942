//! One thread's loop: the core's runtime, and which Ruby fiber waits for what.
//!
//! ```text
//!   waiter    a fiber's place: what it waits for, what it is to be told, its job
//!   places    which fiber is where
//!   switch    who runs next, and how control gets there
//!   foresight what those who run next will need
//!   park      how a fiber waits: for an operation, for somebody, or for its turn
//!   raising   what is raised in a fiber from elsewhere
//!   vouching  which descriptors need no second look
//!   marking   what the garbage collector is shown
//!   bereft    loops whose thread has ended
//!   stopping  what ends the loops of other threads
//! ```

mod bereft;
mod foresight;
mod marking;
mod park;
mod places;
mod raising;
mod stopping;
mod switch;
mod vouching;
mod waiter;

pub(crate) use park::{UNBLOCKED, Waited, block, block_for, carry_out, close, perform, yield_to};
pub(crate) use places::rested;
pub(crate) use stopping::stop_all;
pub(crate) use switch::give_way;
pub(crate) use vouching::carry_out_for;
pub(crate) use waiter::{DROPPED, Job, NO_SLOT, Slot};

use crate::connection::handing::Handed;
use crate::task::{self, Task};
use crate::timer::Timers;
use crate::typed;
use marking::Root;
use nyario_core::conn::ConnId;
use nyario_core::driver::{Config, Driver, OpId, Waker};
use nyario_core::local;
use nyario_core::runtime::Runtime;
use nyario_core::sys::{Errno, Fd, Linux};
use raising::Pending;
use rb_sys::VALUE;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::mem::ManuallyDrop;
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use waiter::Waiter;

pub(crate) const QNIL: VALUE = rb_sys::special_consts::Qnil as VALUE;
pub(crate) const QTRUE: VALUE = rb_sys::special_consts::Qtrue as VALUE;
pub(crate) const QFALSE: VALUE = rb_sys::special_consts::Qfalse as VALUE;

/// What a forked child is told that goes on where its parent's loop was.
pub(crate) const PARENTS: &str = "the loop is the parent process's";

/// One read brings at most this much.
pub(crate) const READ_MAX: usize = 65_536;

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
    waker: Mutex<Option<Waker<Linux>>>,
    pub(crate) waiters: Vec<Waiter>,
    free: Vec<Slot>,
    /// Where each fiber is.
    places: HashMap<VALUE, Slot>,
    /// What fibers that do not wait are to be told when they do.
    pending: Vec<Pending>,
    /// By descriptor, the IO object that asked for it last. Addresses that are compared and nothing else.
    vouchers: Vec<VALUE>,
    /// Fibers that were unblocked when they were about to block.
    unblocked: Vec<VALUE>,
    /// Fibers of others that are parked.
    pub(crate) guests: usize,
    /// Fibers of ours that have no job.
    pool: Vec<Slot>,
    pub(crate) ready: VecDeque<Slot>,
    pub(crate) handlers: Vec<Handler>,
    /// Connections that were accepted for a fiber that an exception has taken away, and from which server.
    pub(crate) unclaimed: Vec<(VALUE, ConnId)>,
    /// The IO objects that were made of connections, by those's words.
    pub(crate) handed: HashMap<u64, Handed>,
    /// The fiber that runs.
    pub(crate) current: Slot,
    /// Control is on its way from one fiber to the other by the loop's own doing.
    switching: bool,
    /// The fiber that called `Nyario.loop`.
    pub(crate) root: VALUE,
    chain: u32,
    /// How many of those that are ready may run before the others are looked at: they may be ready for ever.
    round: usize,
    pub(crate) scratch: Box<[u8]>,
    pub(crate) timers: Timers,
    /// Jobs that have not ended.
    pub(crate) jobs: usize,
    /// The exception that ends the loop, or nil.
    pub(crate) failure: VALUE,
    pub(crate) running: bool,
    /// Whatever would wait is refused.
    pub(crate) ending: bool,
    over: AtomicBool,
    /// Nobody will look at it again but for the object's end.
    settled: AtomicBool,
    next_bereft: *mut Looped,
    /// The process's first thread made it.
    main: bool,
    forks: u32,
    /// The Ruby thread that made it.
    thread: VALUE,
    pub(crate) object: VALUE,
}

nyario_core::thread_word! {
    fn place() -> Cell<*mut Looped> = Cell::new(null_mut()), "nyario_ruby_loop"
}

/// The thread's loop, null at first.
#[inline(always)]
fn mine() -> &'static Cell<*mut Looped> {
    // SAFETY: the place is there, aligned and zero or as it was set, until the thread ends; nobody keeps it longer.
    unsafe { &*place() }
}

static LOOPS: AtomicU64 = AtomicU64::new(0);

/// The thread's loop, or null.
#[inline]
pub(crate) fn current() -> *mut Looped {
    let looped = mine().get();
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
    bereft::watch();
    // SAFETY: as above.
    let main = unsafe {
        bereft::bury();
        rb_sys::rb_thread_main() == thread
    };
    let driver = Driver::new(Linux, &Config::from_env()?)?;
    let mut runtime = Runtime::new(driver);
    let waker = runtime.driver().waker();
    let stopper = runtime.stopper();
    let id = LOOPS.fetch_add(1, Ordering::Relaxed);
    let looped = Box::into_raw(Box::new(Looped {
        id,
        runtime: ManuallyDrop::new(runtime),
        waker: Mutex::new(Some(waker)),
        waiters: Vec::new(),
        free: Vec::new(),
        places: HashMap::new(),
        pending: Vec::new(),
        vouchers: Vec::new(),
        unblocked: Vec::new(),
        guests: 0,
        pool: Vec::new(),
        ready: VecDeque::new(),
        handlers: Vec::new(),
        unclaimed: Vec::new(),
        handed: HashMap::new(),
        current: NO_SLOT,
        switching: false,
        root: QNIL,
        chain: 0,
        round: 0,
        scratch: vec![0; READ_MAX].into_boxed_slice(),
        timers: Timers::default(),
        jobs: 0,
        failure: QNIL,
        running: false,
        ending: false,
        over: AtomicBool::new(false),
        settled: AtomicBool::new(false),
        next_bereft: null_mut(),
        main,
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
    stopping::enlist(id, stopper);
    mine().set(looped);
    Ok(looped)
}

/// Frees what the thread's loop has of the kernel. The rest goes with the Ruby object, once no fiber knows it any more.
///
/// # Safety
///
/// The GVL is held, and it is the thread's own loop.
pub(crate) unsafe fn free(looped: *mut Looped) {
    mine().set(null_mut());
    // SAFETY: as above; the object that is unregistered lies on this stack meanwhile.
    unsafe {
        let object = (*looped).object;
        stopping::strike((*looped).id);
        rb_sys::rb_gc_unregister_address(&raw mut (*looped).object);
        (*looped).over.store(true, Ordering::Relaxed);
        (*looped).running = false;
        (*looped).runtime.close_clients();
        ManuallyDrop::drop(&mut (*looped).runtime);
        (*looped).silence();
        abandon_tasks(looped);
        (*looped).waiters = Vec::new();
        (*looped).handlers = Vec::new();
        (*looped).timers = Timers::default();
        (*looped).vouchers = Vec::new();
        (*looped).scratch = Box::default();
        (*looped).settled.store(true, Ordering::Release);
        std::hint::black_box(object);
    }
}

/// Whoever waits for a task that was left behind, on another thread, is not to wait for ever.
///
/// # Safety
///
/// The GVL is held, and the loop is over.
unsafe fn abandon_tasks(looped: *mut Looped) {
    // SAFETY: as above; no borrow outlives its statement.
    unsafe {
        for index in 0..(*looped).waiters.len() {
            if let Job::Run { task, .. } = (&(*looped).waiters)[index].job {
                task::wake_joiners(typed::unwrap::<Task>(task));
            }
        }
    }
}

/// Leaves the loop of the parent process alone, in the child.
pub(crate) fn disown() {
    mine().set(null_mut());
}

impl Looped {
    /// Whether nothing of it may be used any more: it has ended, or it is the parent process's.
    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.is_over() || self.forks != local::forks()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether the fiber that runs is, or runs within, that task's.
    pub(crate) fn runs(&self, wanted: VALUE) -> bool {
        let waiter = self.waiters.get(self.current as usize);
        waiter.is_some_and(|waiter| matches!(waiter.job, Job::Run { task, .. } if task == wanted))
    }

    /// Whether the fiber in `slot`, or one that it has resumed, is parked.
    pub(crate) fn waits(&self, slot: Slot) -> bool {
        let parked = |waiter: &Waiter| waiter.op != OpId::NONE;
        parked(&self.waiters[slot as usize])
            || (self.guests > 0 && self.waiters.iter().any(|waiter| waiter.within == slot && parked(waiter)))
    }

    /// Ends the loop's wait, from a thread that is not its own.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.lock().expect("nothing panics under it") {
            waker.wake();
        }
    }

    /// Lets go of the waker's descriptor.
    fn silence(&self) {
        *self.waker.lock().expect("nothing panics under it") = None;
    }

    pub(crate) fn has_work(&self) -> bool {
        self.jobs > 0 || self.runtime.serving() > 0 || self.timers.awaited() > 0
    }

    /// Whether a fiber has not ended that runs or waits here.
    pub(crate) fn is_in_use(&self) -> bool {
        self.jobs > 0 || self.guests > 0
    }

    /// Whether one has not, or a timer will begin one that is waited for.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_in_use() || self.timers.awaited() > 0
    }
}
