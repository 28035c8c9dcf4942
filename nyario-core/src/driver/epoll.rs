//! epoll(7), edge-triggered: how the readiness backend registers, waits and is told on Linux.

use super::fds::{FdRecord, Kind};
use super::readiness::News;
use crate::sys::abi::EpollEvent;
use crate::sys::{Errno, Fd, Kernel, check, portable};

/// How many events one call fetches.
const BATCH: usize = 512;

/// What the waker's event carries instead of a descriptor.
const WAKE: u64 = u64::MAX;

/// And the pacer's.
const PACE: u64 = u64::MAX - 1;

const INTEREST: u32 = super::READ_EVENTS | super::WRITE_EVENTS | portable::EPOLLET as u32;

pub(super) struct Epoll {
    fd: Fd,
    events: Box<[EpollEvent]>,
    next: usize,
    found: usize,
}

impl Epoll {
    pub(super) fn new<K: Kernel>(kernel: &K, wake: Fd) -> Result<Epoll, Errno> {
        let fd = check(kernel.epoll_create())?;
        let event = EpollEvent { events: (portable::EPOLLIN | portable::EPOLLET) as u32, data: WAKE };
        if let Err(error) = check(kernel.epoll_ctl(fd, portable::EPOLL_CTL_ADD, wake, event)) {
            kernel.close(fd);
            return Err(error);
        }
        let events = vec![EpollEvent::default(); BATCH].into_boxed_slice();
        Ok(Epoll { fd, events, next: 0, found: 0 })
    }

    pub(super) fn shut<K: Kernel>(&mut self, kernel: &K) {
        kernel.close(self.fd);
    }

    pub(super) fn descriptor(&self) -> Fd {
        self.fd
    }

    pub(super) fn register<K: Kernel>(&mut self, kernel: &K, fd: Fd, record: &mut FdRecord) -> Result<(), Errno> {
        let event = EpollEvent { events: INTEREST, data: pack(fd, record.generation) };
        let mut result = kernel.epoll_ctl(self.fd, portable::EPOLL_CTL_ADD, fd, event);
        if result == -libc::EEXIST {
            // The number was closed behind our back while a duplicate kept the registration alive.
            result = kernel.epoll_ctl(self.fd, portable::EPOLL_CTL_MOD, fd, event);
        }
        if result == -libc::EPERM {
            // It cannot be waited for, so it never blocks: /dev/null and its like.
            record.kind = Kind::File;
            return Ok(());
        }
        check(result).map(drop)
    }

    pub(super) fn watch_pacer<K: Kernel>(&mut self, kernel: &K, fd: Fd) -> bool {
        let event = EpollEvent { events: (portable::EPOLLIN | portable::EPOLLET) as u32, data: PACE };
        kernel.epoll_ctl(self.fd, portable::EPOLL_CTL_ADD, fd, event) == 0
    }

    pub(super) fn forget<K: Kernel>(&mut self, kernel: &K, fd: Fd) {
        kernel.epoll_ctl(self.fd, portable::EPOLL_CTL_DEL, fd, EpollEvent::default());
    }

    pub(super) fn wait<K: Kernel>(&mut self, kernel: &K, timeout: Option<u64>) -> i32 {
        self.next = 0;
        self.found = 0;
        let found = kernel.epoll_wait(self.fd, &mut self.events, timeout);
        self.found = found.max(0) as usize;
        found.min(0)
    }

    /// The descriptor of the event that is so many places off.
    #[inline(always)]
    pub(super) fn ahead(&self, places: usize) -> Option<Fd> {
        let at = self.next + places;
        (at < self.found).then(|| unpack(self.events[at].data).0)
    }

    pub(super) fn has_news(&self) -> bool {
        self.next < self.found
    }

    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<News> {
        if self.next == self.found {
            return None;
        }
        let event = self.events[self.next];
        self.next += 1;
        match event.data {
            WAKE => return Some(News::Nothing),
            PACE => return Some(News::Paced),
            _ => {}
        }
        let (fd, generation) = unpack(event.data);
        // The event's bits are all that hold, and epoll's are poll's.
        Some(News::Ready { fd, generation, bits: event.events, known: u32::MAX })
    }
}

fn pack(fd: Fd, generation: u32) -> u64 {
    u64::from(generation) << 32 | fd as u64
}

fn unpack(data: u64) -> (Fd, u32) {
    (data as u32 as Fd, (data >> 32) as u32)
}
