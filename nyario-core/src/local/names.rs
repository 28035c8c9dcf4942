//! Loops by their names, for other threads: a name outlives what it names, and says so.

use super::process::PerProcess;
use crate::fiber::Poster;
use crate::sys::{Errno, Native};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// Names the loop of a thread of this process, and never another of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoopId(u64);

impl LoopId {
    /// The name as a number, above 0.
    pub fn word(self) -> u64 {
        self.0
    }

    /// The name that [`word`](Self::word) gave.
    pub fn from_word(word: u64) -> LoopId {
        LoopId(word)
    }
}

struct Names {
    last: u64,
    loops: BTreeMap<u64, Poster<Native>>,
}

/// The loops that somebody asked the name of.
fn names() -> MutexGuard<'static, Names> {
    const fn new() -> Mutex<Names> {
        Mutex::new(Names { last: 0, loops: BTreeMap::new() })
    }
    static NAMES: PerProcess<Mutex<Names>> = PerProcess::new(new(), new);
    NAMES.get().lock().expect("nothing panics under the lock")
}

pub(super) fn enter(poster: Poster<Native>) -> LoopId {
    let mut names = names();
    names.last += 1;
    let name = names.last;
    names.loops.insert(name, poster);
    LoopId(name)
}

pub(super) fn leave(id: LoopId) {
    let poster = names().loops.remove(&id.0);
    drop(poster);
}

/// Has the loop of that name run `code`: see [`Poster::post`].
///
/// # Errors
///
/// `ESRCH` when there is no such loop any more.
pub fn post(id: LoopId, code: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
    let poster = names().loops.get(&id.0).cloned().ok_or(Errno(libc::ESRCH))?;
    poster.post(code)
}
