//! What ends the loops of other threads.

use nyario_core::local;
use nyario_core::runtime::Stopper;
use nyario_core::sys::Linux;
use std::sync::Mutex;

/// What ends each loop of the process, for threads that run none of their own.
static STOPPERS: Mutex<Vec<Stoppable>> = Mutex::new(Vec::new());

struct Stoppable {
    id: u64,
    forks: u32,
    stopper: Stopper<Linux>,
}

/// Lets a loop be found.
pub(super) fn enlist(id: u64, stopper: Stopper<Linux>) {
    let stoppable = Stoppable { id, forks: local::forks(), stopper };
    STOPPERS.lock().expect("nothing panics under it").push(stoppable);
}

/// The loop of that name is over.
pub(super) fn strike(id: u64) {
    STOPPERS.lock().expect("nothing panics under it").retain(|known| known.id != id);
}

/// Asks every loop of the process to end.
pub(crate) fn stop_all() {
    for known in STOPPERS.lock().expect("nothing panics under it").iter() {
        if known.forks == local::forks() {
            known.stopper.stop();
        }
    }
}
