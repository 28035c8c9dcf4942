//! Where threads run, and how far apart the cores are at the moment.

use std::io;
use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use crate::stats::median;

const BATCHES: u32 = 100;
const BATCH: u32 = 200;

/// The cores that this process may use.
pub fn usable() -> io::Result<Vec<usize>> {
    // SAFETY: a cpu_set_t is an array of integers, for which zero is a value: the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the call writes at most the size it is told to `set`.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((0..libc::CPU_SETSIZE as usize)
        // SAFETY: the index is below CPU_SETSIZE.
        .filter(|&core| unsafe { libc::CPU_ISSET(core, &set) })
        .collect())
}

/// Keeps the calling thread, and what it starts, on one core. Allocates nothing, so that it may be called
/// between fork and exec.
pub fn pin(core: usize) -> io::Result<()> {
    // SAFETY: a cpu_set_t is an array of integers, for which zero is a value: the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the call touches `set` alone, and checks the index.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the call reads the size it is told from `set`.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets the calling thread, and what it starts, run until it waits: one that wakes up does not interrupt
/// the one that woke it, so that two which share a core take turns with whole batches.
pub fn batch() -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads one sched_param.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The nanoseconds that a cache line takes from one core to another and back.
pub fn round_trip(one: usize, other: usize) -> io::Result<f64> {
    // A line of its own: two of them, in fact, because the hardware fetches them in pairs.
    #[repr(align(128))]
    struct Line(AtomicU32);

    let line = Line(AtomicU32::new(0));
    let trips = BATCHES * BATCH;
    thread::scope(|scope| {
        let echo = scope.spawn(|| -> io::Result<()> {
            let pinned = pin(other);
            for trip in 0..trips {
                await_value(&line.0, 2 * trip + 1);
                line.0.store(2 * trip + 2, Ordering::Release);
            }
            pinned
        });
        let call = scope.spawn(|| -> io::Result<f64> {
            let pinned = pin(one);
            let mut batches = Vec::with_capacity(BATCHES as usize);
            for batch in 0..BATCHES {
                let begun = Instant::now();
                for trip in batch * BATCH..(batch + 1) * BATCH {
                    line.0.store(2 * trip + 1, Ordering::Release);
                    await_value(&line.0, 2 * trip + 2);
                }
                batches.push(begun.elapsed().as_nanos() as f64 / f64::from(BATCH));
            }
            pinned.map(|()| median(&mut batches))
        });
        echo.join().expect("the echoing thread does not panic")?;
        call.join().expect("the calling thread does not panic")
    })
}

/// Spins without a pause, which can take as long as the trip that is measured.
fn await_value(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) != value {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_where_it_is_pinned() {
        let core = *usable().unwrap().last().unwrap();
        let left = thread::spawn(move || pin(core).and_then(|()| usable())).join().unwrap();
        assert_eq!(left.unwrap(), [core]);
    }
}
