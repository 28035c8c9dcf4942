//! A loop for each hardware thread.
//!
//! All of them end together: whoever fails to begin, or [`stop`] or [`drain`] from any thread or signal handler, ends the
//! rest. What those reach is kept behind one pointer, and freed only when no signal handler can be looking at it.

use super::forks;
use crate::fiber::Loop;
use crate::runtime::Stopper;
use crate::sys::{Errno, Kernel, Native, check};
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering, fence};
use std::thread;

/// What code that runs on the loops may count on, off their fibers.
const STACK_SIZE: usize = 8 << 20;

/// The processors that a set names; as many as Linux can be built for.
type Set = [u64; 128];

const NEVER: u64 = u64::MAX;

/// The threads of one [`run`].
struct Group {
    /// What ends each loop, once it is there.
    stoppers: Box<[OnceLock<Stopper<Native>>]>,
    stop: AtomicBool,
    /// When the grace of a drain ends.
    drain: AtomicU64,
    /// The first error.
    error: AtomicI32,
    forks: u32,
}

impl Group {
    fn new(count: usize) -> Group {
        Group {
            stoppers: (0..count).map(|_| OnceLock::new()).collect(),
            stop: AtomicBool::new(false),
            drain: AtomicU64::new(NEVER),
            error: AtomicI32::new(0),
            forks: forks(),
        }
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.for_each(Stopper::stop);
    }

    fn drain(&self, grace: u64) {
        self.drain.fetch_min(Native.now().saturating_add(grace).min(NEVER - 1), Ordering::Relaxed);
        self.for_each(|stopper| stopper.drain(grace));
    }

    fn for_each(&self, work: impl Fn(&Stopper<Native>)) {
        // Either a loop that is just entered is found here, or it finds the wish (see `enter`).
        fence(Ordering::SeqCst);
        self.stoppers.iter().filter_map(OnceLock::get).for_each(work);
    }

    fn enter(&self, index: usize, looped: &Loop<Native>) {
        let stopper = self.stoppers[index].get_or_init(|| looped.stopper());
        fence(Ordering::SeqCst);
        if self.stop.load(Ordering::Relaxed) {
            stopper.stop();
        }
        let until = self.drain.load(Ordering::Relaxed);
        if until != NEVER {
            stopper.drain(until.saturating_sub(Native.now()));
        }
    }

    fn fail(&self, error: Errno) {
        self.error.compare_exchange(0, error.0, Ordering::Relaxed, Ordering::Relaxed).ok();
        self.stop();
    }
}

/// The group that runs.
static GROUP: AtomicPtr<Group> = AtomicPtr::new(null_mut());

/// How many are looking at it, below the number of the process: a child does not wait for its parent's threads.
static LOOKING: AtomicU64 = AtomicU64::new(0);

fn looking() -> u64 {
    u64::from(forks()) << 32
}

/// Shows the group that runs to `work`. Async-signal-safe if that is.
fn with_group(work: impl FnOnce(&Group)) -> Result<(), Errno> {
    let begin = |count| Some(if count & !0xffff_ffff == looking() { count + 1 } else { looking() + 1 });
    let end = |count: u64| (count & !0xffff_ffff == looking()).then(|| count - 1);
    LOOKING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, begin).expect("it always has a next");
    // SAFETY: a group is freed when nobody is looking, after it was taken away.
    let group = unsafe { GROUP.load(Ordering::SeqCst).as_ref() }.filter(|group| group.forks == forks());
    let found = group.map(work).ok_or(Errno(libc::ESRCH));
    LOOKING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, end).ok();
    found
}

/// Stops every loop of the [`run`] that runs. Async-signal-safe.
///
/// # Errors
///
/// `ESRCH` when there is none.
pub fn stop() -> Result<(), Errno> {
    with_group(Group::stop)
}

/// Drains every loop of the [`run`] that runs: see [`Loop::drain`]. Async-signal-safe.
///
/// # Errors
///
/// `ESRCH` when there is none.
pub fn drain(grace: u64) -> Result<(), Errno> {
    with_group(|group| group.drain(grace))
}

/// Runs `count` loops, each on a thread of its own, and waits until all of them have ended; 0 asks for one per processor
/// that the process may use. With `pin`, each stays on one of these, in turn. `init` is called on each thread, with the
/// thread's number, before its loop runs.
///
/// # Errors
///
/// The first error of any: of `init`, of a thread or a loop that cannot be made, of the pinning. The others are stopped
/// then. `EDEADLK` on a fiber; `EBUSY` while another run goes on.
pub fn run(count: usize, pin: bool, init: impl Fn(usize) -> Result<(), Errno> + Sync) -> Result<(), Errno> {
    if super::current().is_some_and(|looped| looped.in_fiber()) {
        return Err(Errno(libc::EDEADLK));
    }
    super::watch_forks();
    let processors = processors()?;
    let count = if count == 0 { processors.len() } else { count };
    let group = publish(Group::new(count))?;
    let life = |index: usize| {
        let begin = || {
            if pin {
                stay_on(processors[index % processors.len()])?;
            }
            let looped = super::get()?;
            group.enter(index, looped);
            init(index)?;
            looped.run()
        };
        begin().unwrap_or_else(|error| group.fail(error));
    };
    thread::scope(|scope| {
        for index in 0..count {
            let builder = thread::Builder::new().name(format!("nyario-{index}")).stack_size(STACK_SIZE);
            let life = &life;
            if let Err(error) = builder.spawn_scoped(scope, move || life(index)) {
                group.fail(Errno(error.raw_os_error().unwrap_or(libc::EAGAIN)));
                break;
            }
        }
    });
    let error = group.error.load(Ordering::Relaxed);
    retire();
    check(-error).map(drop)
}

fn publish(group: Group) -> Result<&'static Group, Errno> {
    let fresh = Box::into_raw(Box::new(group));
    let mut present = null_mut();
    loop {
        match GROUP.compare_exchange(present, fresh, Ordering::SeqCst, Ordering::SeqCst) {
            // SAFETY: it is freed by `retire`, which its user calls at the very end.
            Ok(_) => return Ok(unsafe { &*fresh }),
            // What a child finds of its parent's is left where it is.
            // SAFETY: in this process nobody frees it.
            Err(other) if !other.is_null() && unsafe { (*other).forks } != forks() => present = other,
            Err(other) if other.is_null() => present = other,
            Err(_) => {
                // SAFETY: nobody else has seen it.
                drop(unsafe { Box::from_raw(fresh) });
                return Err(Errno(libc::EBUSY));
            }
        }
    }
}

/// Takes the group away and frees it.
fn retire() {
    let group = GROUP.swap(null_mut(), Ordering::SeqCst);
    while LOOKING.load(Ordering::SeqCst) > looking() {
        thread::yield_now();
    }
    // SAFETY: it came from a box in `publish`; whoever looks from now on finds nothing.
    drop(unsafe { Box::from_raw(group) });
}

/// The processors that the process may use.
fn processors() -> Result<Vec<usize>, Errno> {
    let mut set: Set = [0; 128];
    check(Native.affinity(&mut set))?;
    let has = |number: &usize| set[number / 64] >> (number % 64) & 1 == 1;
    Ok((0..set.len() * 64).filter(has).collect())
}

fn stay_on(processor: usize) -> Result<(), Errno> {
    let mut set: Set = [0; 128];
    set[processor / 64] = 1 << (processor % 64);
    check(Native.set_affinity(&set)).map(drop)
}
