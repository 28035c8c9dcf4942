//! What ends a wait once the next sweep is due.
//!
//! A time-out would do, but the kernel arms and disarms it with each wait: on a server with few connections, that is a
//! twentieth of what a message costs over epoll, and a tenth over io_uring. A timer of its own is armed once for every
//! sweep, however many waits there are until then.

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
}

impl Pacer {
    /// None, where time-outs have to do.
    pub(super) fn none() -> Pacer {
        Pacer { fd: -1, state: State::Off }
    }

    /// One, if the kernel has such timers and `watch` says that the backend watches it from now on.
    pub(super) fn new<K: Kernel>(kernel: &K, watch: impl FnOnce(Fd) -> bool) -> Pacer {
        let fd = kernel.timerfd();
        if fd < 0 {
            return Pacer::none();
        }
        if !watch(fd) {
            kernel.close(fd);
            return Pacer::none();
        }
        Pacer { fd, state: State::Off }
    }

    /// Sees to it that its time comes, in so many nanoseconds if it is not armed. `Some` is the descriptor if it has just
    /// been armed; an error says that a time-out has to do.
    pub(super) fn arm<K: Kernel>(&mut self, kernel: &K, nanos: u64) -> Result<Option<Fd>, ()> {
        if self.state == State::Armed {
            return Ok(None);
        }
        if self.fd < 0 || kernel.timerfd_set(self.fd, nanos) < 0 {
            return Err(());
        }
        self.state = State::Armed;
        Ok(Some(self.fd))
    }

    /// Its time has come.
    pub(super) fn ring(&mut self) {
        self.state = State::Due;
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
