//! The calling thread's own loop: made on first use, gone with the thread, and never shared with a forked child.

mod names;
mod overflow;
pub(crate) mod process;
pub mod threads;
mod word;

pub use names::{LoopId, post};

use crate::driver::Config;
use crate::fiber::Loop;
use crate::sys::{Errno, Native};
use overflow::HandlerStack;
use std::cell::{Cell, OnceCell};
use std::ptr::null;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between this process and the one that loaded the library.
static FORKS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static OWNER: OnceCell<Owner> = const { OnceCell::new() };
}

/// Frees the thread's loop with the thread.
struct Owner {
    _handlers: Option<HandlerStack>,
    /// What other threads call the loop, if one has asked, and the forks behind it.
    name: Cell<Option<(LoopId, u32)>>,
}

impl Owner {
    fn name(&self) -> Option<LoopId> {
        self.name.get().filter(|name| name.1 == forks()).map(|name| name.0)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // While the thread still has its loop: the destructors may ask for it.
        if let Some(looped) = current() {
            looped.destroy_values();
        }
        if let Some(name) = self.name() {
            names::leave(name);
        }
        let (looped, forks) = mine().replace((null(), 0));
        if !looped.is_null() && forks == self::forks() {
            // SAFETY: it came from a box in `make`, and nothing reaches it any more. A forked child leaves its
            // parent's loop alone instead: the kernel's half of it belongs to the parent.
            drop(unsafe { Box::from_raw(looped.cast_mut()) });
        }
    }
}

/// The loop, and how many forks lay behind the process when it was made.
type Place = Cell<(*const Loop<Native>, u32)>;

crate::thread_word! {
    /// The calling thread's.
    fn place() -> Place = Cell::new((null(), 0)), "nyario_local_loop"
}

/// The calling thread's loop, null at first, and the forks behind it.
#[inline(always)]
fn mine() -> &'static Place {
    // SAFETY: the place is there, aligned and zero or as it was set, until the thread ends. 'static is a lie that the
    // thread cannot catch, as with the loop itself (see `current`).
    unsafe { &*place() }
}

/// The thread's loop, if it has one.
#[inline]
pub fn current() -> Option<&'static Loop<Native>> {
    let (looped, forks) = mine().get();
    if looped.is_null() || forks != self::forks() {
        return None;
    }
    // SAFETY: it stays until the thread ends. 'static is a lie that the thread cannot catch: it is told to nobody
    // else, as a loop is neither Send nor Sync.
    Some(unsafe { &*looped })
}

/// The thread's loop, made with [`Config::from_env`] if it has none.
///
/// # Errors
///
/// As [`Config::from_env`] and [`Loop::new`].
#[inline]
pub fn get() -> Result<&'static Loop<Native>, Errno> {
    match current() {
        Some(looped) => Ok(looped),
        None => make(),
    }
}

/// What other threads call the thread's loop, which is made if there is none.
///
/// # Errors
///
/// As [`get`].
pub fn name() -> Result<LoopId, Errno> {
    let looped = get()?;
    OWNER.with(|owner| {
        let owner = owner.get().expect("a thread with a loop has an owner of it");
        let id = owner.name().unwrap_or_else(|| names::enter(looped.poster()));
        owner.name.set(Some((id, forks())));
        Ok(id)
    })
}

/// How many forks lie between this process and the first one that asked: what a host compares to tell that a loop
/// which it finds in memory is its parent's.
#[inline]
pub fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Begins to count forks; to be called before the first loop is made.
pub fn watch_forks() {
    static WATCH: Once = Once::new();
    extern "C" fn forked() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler does one atomic addition, which is allowed in a forked child.
    WATCH.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(forked));
    });
}

#[cold]
fn make() -> Result<&'static Loop<Native>, Errno> {
    make_with(&Config::from_env()?, |_| Ok(()))
}

/// Makes the thread's loop, as `config` says, and has `prepare` set it up.
///
/// # Errors
///
/// `EBUSY` when it has one already, as [`Loop::new`], and what `prepare` says: then there is none.
pub fn make_with(
    config: &Config,
    prepare: impl FnOnce(&Loop<Native>) -> Result<(), Errno>,
) -> Result<&'static Loop<Native>, Errno> {
    if current().is_some() {
        return Err(Errno(libc::EBUSY));
    }
    watch_forks();
    overflow::watch();
    let looped = Box::new(Loop::new(Native, config)?);
    prepare(&looped)?;
    let looped = Box::into_raw(looped);
    OWNER.with(|owner| {
        owner.get_or_init(|| Owner { _handlers: HandlerStack::new(), name: Cell::new(None) });
    });
    mine().set((looped, forks()));
    // SAFETY: as in `current`.
    Ok(unsafe { &*looped })
}
