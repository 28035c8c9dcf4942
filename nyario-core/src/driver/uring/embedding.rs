//! A ring in a foreign loop. Polling the ring itself does not do: with `SETUP_DEFER_TASKRUN` its completions come into
//! being when its task asks for them, and nobody who waits for the ring is told that there is something to ask for. An
//! eventfd that is registered with the ring is told of that, and of completions on every kernel.
//!
//! What happens at an eventfd that the ring waits for cannot signal another on the spot: the kernel puts the signal off,
//! and some (6.18 is one) do so once for each registration and then never again. Such eventfds are among the descriptors
//! that were adopted, neither sockets nor files; after the completion of anything on one of those, the signal is
//! registered afresh. Our own waker signals it directly.

use super::Uring;
use crate::sys::abi::uring as abi;
use crate::sys::{Errno, Fd, Kernel, check};

impl Uring {
    /// Has the kernel signal that eventfd from now on, which is then what a foreign loop is to watch.
    pub(in crate::driver) fn descriptor<K: Kernel>(&mut self, kernel: &K, signal: Fd) -> Result<Fd, Errno> {
        if self.signal.is_none() {
            check(self.register_signal(kernel, signal))?;
            self.signal = Some(signal);
            // What happened before is to show as well.
            kernel.eventfd_signal(signal);
        }
        Ok(signal)
    }

    fn register_signal<K: Kernel>(&self, kernel: &K, mut signal: Fd) -> i32 {
        // SAFETY: the kernel reads one descriptor, which outlives the call.
        unsafe { self.ring.register(kernel, abi::REGISTER_EVENTFD, (&raw mut signal).cast(), 1) }
    }

    /// Whether everything that is to happen will show at the descriptor, which is quiet from now on until it does.
    pub(in crate::driver) fn settle<K: Kernel>(&mut self, kernel: &K) -> bool {
        if !self.is_settled() {
            return false;
        }
        let Some(signal) = self.signal else { return true };
        if std::mem::take(&mut self.signal_spent) {
            // SAFETY: it takes no argument.
            unsafe { self.ring.register(kernel, abi::UNREGISTER_EVENTFD, std::ptr::null_mut(), 0) };
            let registered = check(self.register_signal(kernel, signal));
            registered.expect("the kernel takes back what it has just given up");
        }
        let mut count = 0u64;
        let iov = libc::iovec { iov_base: (&raw mut count).cast(), iov_len: size_of::<u64>() };
        // SAFETY: the count outlives the call, which does not wait.
        unsafe { kernel.readv(signal, &iov, 1, 0) };
        // Something may have come after the look above, and its signal been taken just now or lost.
        self.is_settled()
    }

    fn is_settled(&self) -> bool {
        self.wake_armed && self.ring.is_settled()
    }
}
