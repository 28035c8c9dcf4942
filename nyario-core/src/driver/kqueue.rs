//! kqueue(2), edge-triggered: how the readiness backend registers, waits and is told on macOS and the BSDs.
//!
//! Registrations are gathered and go with the turn's one `kevent`, so a connection costs no call of its own. What the
//! kernel has against one of them comes back as an event with `EV_ERROR`.

use super::config::Config;
use super::readiness::News;
use crate::sys::abi::{KEvent, kqueue as abi};
use crate::sys::{Errno, Fd, Kernel, check, portable};
use std::collections::VecDeque;

/// How many events one call fetches. Changes are never more: one that fails takes the room of an event.
const BATCH: usize = 512;

const READ: u32 = (libc::POLLIN | libc::POLLRDNORM) as u32;
const WRITE: u32 = (libc::POLLOUT | libc::POLLWRNORM) as u32;
const ENDS: u32 = (libc::POLLHUP | libc::POLLERR) as u32;

pub(super) struct Kqueue {
    fd: Fd,
    /// Registrations that the kernel has yet to be told of, two for each descriptor.
    changes: Vec<KEvent>,
    /// As many as they may be.
    receipts: Box<[KEvent]>,
    events: Box<[KEvent]>,
    next: usize,
    found: usize,
    /// What the kernel had against changes that were too many to wait for the turn.
    told: VecDeque<News>,
}

impl Kqueue {
    pub(super) fn new<K: Kernel>(kernel: &K, config: &Config) -> Result<Kqueue, Errno> {
        let fd = check(kernel.kqueue())?;
        let bell = KEvent { filter: abi::EVFILT_USER, flags: abi::EV_ADD | abi::EV_CLEAR, ..KEvent::default() };
        if let Err(error) = check(kernel.kevent(fd, &[bell], &mut [], Some(0))) {
            kernel.close(fd);
            return Err(error);
        }
        let most = (config.submissions as usize & !1).clamp(2, BATCH);
        let [receipts, events] = [most, BATCH].map(|size| vec![KEvent::default(); size].into_boxed_slice());
        let changes = Vec::with_capacity(most);
        Ok(Kqueue { fd, changes, receipts, events, next: 0, found: 0, told: VecDeque::new() })
    }

    pub(super) fn descriptor(&self) -> Fd {
        self.fd
    }

    pub(super) fn register<K: Kernel>(&mut self, kernel: &K, fd: Fd, generation: u32) -> Result<(), Errno> {
        if self.changes.len() == self.receipts.len() {
            self.flush(kernel)?;
        }
        let add = KEvent { ident: fd as usize, flags: abi::EV_ADD | abi::EV_CLEAR, ..KEvent::default() };
        // A change of an older life of the number may still be before these: the last one stands.
        let add = KEvent { udata: generation as usize, ..add };
        self.changes.push(KEvent { filter: abi::EVFILT_READ, ..add });
        self.changes.push(KEvent { filter: abi::EVFILT_WRITE, ..add });
        Ok(())
    }

    /// Tells the kernel of the changes at once. With receipts it fetches no events, for which there may be no room.
    #[cold]
    fn flush<K: Kernel>(&mut self, kernel: &K) -> Result<(), Errno> {
        self.changes.iter_mut().for_each(|change| change.flags |= abi::EV_RECEIPT);
        let count = check(kernel.kevent(self.fd, &self.changes, &mut self.receipts, Some(0)))?;
        self.changes.clear();
        let mut receipts = &self.receipts[..count as usize];
        while !receipts.is_empty() {
            let (news, used) = read(receipts);
            receipts = &receipts[used..];
            if !matches!(news, News::Nothing) {
                self.told.push_back(news);
            }
        }
        Ok(())
    }

    /// Tells the kernel of the changes, as the descriptor is to be watched by somebody else. `false` says that it could
    /// not be done.
    pub(super) fn settle<K: Kernel>(&mut self, kernel: &K) -> bool {
        self.changes.is_empty() || self.flush(kernel).is_ok()
    }

    pub(super) fn wait<K: Kernel>(&mut self, kernel: &K, timeout: Option<u64>) -> i32 {
        self.next = 0;
        self.found = 0;
        let found = kernel.kevent(self.fd, &self.changes, &mut self.events, timeout);
        if found >= 0 || found == -libc::EINTR {
            // A signal ends the wait, before which the changes were made.
            self.changes.clear();
        }
        self.found = found.max(0) as usize;
        found.min(0)
    }

    /// The descriptor of the event that is so many places off.
    #[inline(always)]
    pub(super) fn ahead(&self, places: usize) -> Option<Fd> {
        let at = self.next + places;
        (at < self.found).then(|| self.events[at].ident as Fd)
    }

    pub(super) fn has_news(&self) -> bool {
        self.next < self.found || !self.told.is_empty()
    }

    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<News> {
        if !self.told.is_empty() {
            return self.told.pop_front();
        }
        if self.next == self.found {
            return None;
        }
        let (news, used) = read(&self.events[self.next..self.found]);
        self.next += used;
        Some(news)
    }
}

/// What the next of these events says, and how many of them it took to say it.
#[inline(always)]
fn read(events: &[KEvent]) -> (News, usize) {
    let event = events[0];
    if event.flags & abi::EV_ERROR != 0 {
        return refused(events);
    }
    if event.filter == abi::EVFILT_USER {
        return (News::Nothing, 1);
    }
    let side = if event.filter == abi::EVFILT_READ { READ } else { WRITE };
    let (mut bits, mut known) = (side, side | ENDS);
    if event.flags & abi::EV_EOF != 0 {
        // It may be the end of both directions, of which the other filter, if there is one, need not tell.
        (bits, known) = (bits | (portable::POLLRDHUP | libc::POLLHUP) as u32, 0);
    }
    if event.fflags != 0 {
        (bits, known) = (bits | libc::POLLERR as u32, 0);
    }
    (ready(event, bits, known), 1)
}

fn ready(event: KEvent, bits: u32, known: u32) -> News {
    News::Ready { fd: event.ident as Fd, generation: event.udata as u32, bits, known }
}

/// What the kernel has against a change.
#[cold]
fn refused(events: &[KEvent]) -> (News, usize) {
    const UNWATCHABLE: [i32; 4] = [libc::EINVAL, libc::EPERM, libc::ENODEV, libc::EOPNOTSUPP];
    let event = events[0];
    let (fd, generation) = (event.ident as Fd, event.udata as u32);
    let reads = event.filter == abi::EVFILT_READ;
    match event.data as i32 {
        // A receipt.
        0 => (News::Nothing, 1),
        // A pipe that nobody reads any more.
        libc::EPIPE if !reads => (ready(event, WRITE | libc::POLLHUP as u32, 0), 1),
        error if !UNWATCHABLE.contains(&error) => (News::Refused { fd, generation, error: Errno(error) }, 1),
        error => {
            let both = events.get(1).is_some_and(|other| {
                let same = (other.ident, other.udata) == (event.ident, event.udata);
                let refused = other.flags & abi::EV_ERROR != 0 && UNWATCHABLE.contains(&(other.data as i32));
                same && refused && reads && other.filter == abi::EVFILT_WRITE
            });
            if both {
                return (News::Unwatchable { fd, generation, error: Errno(error) }, 2);
            }
            // One direction that the descriptor does not have: whoever tries it is told.
            (ready(event, if reads { READ } else { WRITE }, 0), 1)
        }
    }
}
