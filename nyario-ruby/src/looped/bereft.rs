//! Loops whose thread has ended and left them behind: it was killed, or never ran the loop that it had made.
//!
//! Only a loop's own native thread may take it out of the kernel, and it does so when it ends. What belongs to Ruby is
//! given up by the next that makes a loop, as the thread does not have the GVL any more.

use super::{Looped, abandon_tasks, mine, stopping};
use nyario_core::local;
use std::mem::ManuallyDrop;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// What a native thread that has made a loop does at its end.
struct Guard;

thread_local! {
    static GUARD: Guard = const { Guard };
}

/// Those that are out of the kernel already, each with the next. A lock might be held while another thread forks, and the
/// child would find it so for ever.
static BEREFT: AtomicPtr<Looped> = AtomicPtr::new(null_mut());

impl Drop for Guard {
    fn drop(&mut self) {
        let looped = mine().replace(null_mut());
        // SAFETY: the pointer is this thread's own, and its object is known to Ruby until it has been listed. The
        // runtime is touched by no other thread, and the others that may look at the loop have the rest of it.
        unsafe {
            // At the end of the process Ruby is gone before its main thread is, and the kernel sees to the rest.
            if looped.is_null() || (*looped).main || (*looped).forks != local::forks() {
                return;
            }
            (*looped).over.store(true, Ordering::Relaxed);
            ManuallyDrop::drop(&mut (*looped).runtime);
            (*looped).silence();
            (*looped).settled.store(true, Ordering::Release);
            let mut next = BEREFT.load(Ordering::Relaxed);
            loop {
                (*looped).next_bereft = next;
                match BEREFT.compare_exchange_weak(next, looped, Ordering::Release, Ordering::Relaxed) {
                    Ok(_) => return,
                    Err(other) => next = other,
                }
            }
        }
    }
}

/// Sees to it that the loop that the thread is about to make will not outlive it.
pub(super) fn watch() {
    GUARD.with(|_| {});
}

/// Gives up what was left behind.
///
/// # Safety
///
/// The GVL is held.
pub(super) unsafe fn bury() {
    let mut looped = BEREFT.swap(null_mut(), Ordering::Acquire);
    while !looped.is_null() {
        // SAFETY: as above; its object is alive until the collector has run.
        unsafe {
            let next = (*looped).next_bereft;
            stopping::strike((*looped).id);
            abandon_tasks(looped);
            rb_sys::rb_gc_unregister_address(&raw mut (*looped).object);
            looped = next;
        }
    }
}
