//! What the driver has received ahead, for those who ask the kernel themselves: a poll of several descriptors, a splice.

use super::fds::NO_BUFFER;
use super::uring::Uring;
use super::{Backend, Driver};
use crate::sys::{Fd, Kernel};

impl<K: Kernel> Driver<K> {
    /// The poll bits among `events` that hold because of what the driver has received; the kernel knows nothing of them.
    pub fn held(&mut self, fd: Fd, events: u32) -> u32 {
        match (&self.backend, self.ledger.fds.known(fd)) {
            (Backend::Uring(_), Some(record)) => Uring::held_events(record, events),
            _ => 0,
        }
    }

    /// Works off what the kernel has received for the driver by now, so that [`held`](Self::held) tells of it.
    pub fn catch_up(&mut self, fd: Fd) {
        let behind =
            self.ledger.fds.known(fd).is_some_and(|record| {
                !record.multishot.is_off() && record.first_buffer == NO_BUFFER && record.ended == 0
            });
        if behind {
            self.look(Some(0));
            self.absorb();
        }
    }

    /// Receives nothing ahead from now on, for somebody who reads the socket in a way of its own. What has been received is
    /// still to be read here.
    pub fn stay_behind(&mut self, fd: Fd) {
        if let Some(record) = self.ledger.fds.known(fd) {
            record.ahead = false;
        }
        self.fall_behind(fd);
    }

    /// Receives nothing ahead any more, so that what comes from now on is seen in the kernel. What somebody else waits to
    /// read is left to them.
    pub fn fall_behind(&mut self, fd: Fd) {
        let receives = |driver: &mut Self| {
            let record = driver.ledger.fds.known(fd);
            record.is_some_and(|record| !record.multishot.is_off() && record.read.is_empty())
        };
        while receives(self) {
            if let Backend::Uring(uring) = &mut self.backend {
                uring.stop_multishot(&mut self.ledger, fd);
            }
            self.look(None);
            self.absorb();
        }
    }
}
