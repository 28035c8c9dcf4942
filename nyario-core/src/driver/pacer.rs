//! What ends a wait once the next sweep is due.
//!
//! A time-out would do, but the kernel arms and disarms it with each wait: on a server with few connections, that is a
//! twentieth of what a message costs over epoll, and a tenth over io_uring. A timer of its own is armed once for every
//! sweep, however many waits there are until then.

use super::ledger::Ledger;
use super::{Backend, Driver};
use crate::sys::{Fd, Kernel};

/// A timerfd that the backend watches.
pub(super) struct Pacer {
    /// Negative where there is none.
    fd: Fd,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Off,
    Armed,
    /// The time has come, and nobody has asked.
    Due,
    /// The kernel has no such timers, or does not let them be watched: time-outs have to do.
    Useless,
}

impl Pacer {
    pub(super) fn none() -> Pacer {
        Pacer { fd: -1, state: State::Useless }
    }

    /// One that the backend watches from now on, if `watch` says so.
    pub(super) fn new<K: Kernel>(kernel: &K, watch: impl FnOnce(Fd) -> bool) -> Pacer {
        let fd = kernel.timerfd();
        let watched = fd >= 0 && watch(fd);
        Pacer { fd, state: if watched { State::Off } else { State::Useless } }
    }

    /// Sees to it that its time comes, in so many nanoseconds if it is not armed. The inner `Some` is the descriptor if it
    /// has just been armed; `None` says that a time-out has to do.
    pub(super) fn arm<K: Kernel>(&mut self, kernel: &K, nanos: u64) -> Option<Option<Fd>> {
        if self.state == State::Armed {
            return Some(None);
        }
        if self.state == State::Useless || kernel.timerfd_set(self.fd, nanos) < 0 {
            return None;
        }
        self.state = State::Armed;
        Some(Some(self.fd))
    }

    /// What is told of it: that its time has come, or a negative errno.
    pub(super) fn ring(&mut self, told: i32) {
        // A thread that ends takes along what it has begun on a ring, and the next one begins anew.
        let refused = told < 0 && told != -libc::ECANCELED;
        self.state = if refused { State::Useless } else { State::Due };
    }

    /// Whether its time has come since somebody asked.
    pub(super) fn take_due(&mut self) -> bool {
        let due = self.state == State::Due;
        if due {
            self.state = State::Off;
        }
        due
    }

    pub(super) fn shut<K: Kernel>(&self, kernel: &K) {
        if self.fd >= 0 {
            kernel.close(self.fd);
        }
    }
}

impl<K: Kernel> Driver<K> {
    /// Sees to it that a wait ends once so many nanoseconds have passed, or what is left of those that an earlier call named.
    /// `false` where the kernel has nothing for that: the wait needs a limit then.
    pub fn pace(&mut self, nanos: u64) -> bool {
        let Ledger { kernel, pacer, .. } = &mut self.ledger;
        match (pacer.arm(kernel, nanos), &mut self.backend) {
            (None, _) => return false,
            // A poll of the ring's is over once it has said something.
            (Some(Some(fd)), Backend::Uring(uring)) => uring.watch_pacer(kernel, fd),
            (Some(_), _) => {}
        }
        true
    }

    /// Whether the time has come that [`pace`](Self::pace) named, and nobody has been told.
    pub fn take_pace(&mut self) -> bool {
        self.ledger.pacer.take_due()
    }
}
