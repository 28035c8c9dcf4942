//! Values that a process has one of, which a forked child must not inherit: its parent's threads, which may have held
//! their locks when it was forked, are not there to let go of them.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// One value for each process.
pub(crate) struct PerProcess<T: 'static> {
    first: T,
    later: AtomicPtr<Later<T>>,
    make: fn() -> T,
}

/// The value of a child. It keeps those before it reachable, which nobody looks at any more.
struct Later<T> {
    value: T,
    forks: u32,
    _before: *const Later<T>,
}

// SAFETY: the pointer to those before is never followed.
unsafe impl<T: Sync> Sync for Later<T> {}

impl<T: Sync> PerProcess<T> {
    /// `make` makes further values like `first`.
    pub(crate) const fn new(first: T, make: fn() -> T) -> PerProcess<T> {
        PerProcess { first, later: AtomicPtr::new(null_mut()), make }
    }

    /// The calling process's value.
    pub(crate) fn get(&'static self) -> &'static T {
        super::watch_forks();
        let forks = super::forks();
        if forks == 0 {
            return &self.first;
        }
        let mut present = self.later.load(Ordering::Acquire);
        loop {
            // SAFETY: what was put there is never freed.
            if let Some(later) = unsafe { present.as_ref() }
                && later.forks == forks
            {
                return &later.value;
            }
            let fresh = Box::into_raw(Box::new(Later { value: (self.make)(), forks, _before: present }));
            match self.later.compare_exchange(present, fresh, Ordering::AcqRel, Ordering::Acquire) {
                // SAFETY: as above.
                Ok(_) => return unsafe { &(*fresh).value },
                Err(other) => {
                    // SAFETY: nobody else has seen it.
                    drop(unsafe { Box::from_raw(fresh) });
                    present = other;
                }
            }
        }
    }
}
