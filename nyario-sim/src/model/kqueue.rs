//! kqueue(2) and kevent(2), as FreeBSD's manual and `kern_event.c` have them: an interest is in one direction of one
//! descriptor; a wake-up of that direction makes it active if its condition holds by then; a look reports those whose
//! condition still holds, and with `EV_CLEAR` they are inactive again until the next wake-up. An interest goes with its
//! descriptor, whoever else holds the file.

use super::file::{FileId, FileKind, Watcher};
use super::world::World;
use nyario_core::sys::Fd;
use nyario_core::sys::abi::{KEvent, kqueue as abi};
use std::collections::VecDeque;

#[derive(Default)]
pub(crate) struct Kqueue {
    /// By place; a vacated place is not used again while a wake-up may still name it.
    interests: Vec<Option<Interest>>,
    active: VecDeque<u32>,
}

#[derive(Clone, Copy)]
struct Interest {
    /// What it is of; for `EVFILT_USER` whatever the guest says.
    ident: usize,
    filter: i16,
    /// `None` for `EVFILT_USER`.
    file: Option<FileId>,
    udata: usize,
    queued: bool,
}

const READ: u32 = (libc::POLLIN | libc::POLLRDNORM | libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;
const WRITE: u32 = (libc::POLLOUT | libc::POLLWRNORM | libc::POLLHUP | libc::POLLERR) as u32;
const READ_ENDS: u32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;
const WRITE_ENDS: u32 = (libc::POLLHUP | libc::POLLERR) as u32;

impl Interest {
    /// The poll bits of which one makes it active, and those that are the end.
    fn bits(&self) -> (u32, u32) {
        if self.filter == abi::EVFILT_READ { (READ, READ_ENDS) } else { (WRITE, WRITE_ENDS) }
    }
}

impl Kqueue {
    pub(crate) fn has_active(&self) -> bool {
        !self.active.is_empty()
    }

    fn find(&self, ident: usize, filter: i16) -> Option<u32> {
        let found = |it: &Option<Interest>| it.is_some_and(|it| it.ident == ident && it.filter == filter);
        self.interests.iter().position(found).map(|place| place as u32)
    }

    fn at(&mut self, place: u32) -> &mut Interest {
        self.interests[place as usize].as_mut().expect("a place that was found")
    }

    /// Whether a wake-up with that key is one in the interest's direction.
    pub(crate) fn heeds(&self, place: u32, key: u32) -> bool {
        self.interests[place as usize].is_some_and(|it| key & it.bits().0 != 0)
    }

    fn activate(&mut self, place: u32) -> bool {
        let interest = self.at(place);
        if std::mem::replace(&mut interest.queued, true) {
            return false;
        }
        self.active.push_back(place);
        true
    }

    /// The interest is no more.
    pub(crate) fn forget(&mut self, place: u32) {
        self.interests[place as usize] = None;
        self.active.retain(|&other| other != place);
    }

    pub(crate) fn watched(&self) -> impl Iterator<Item = (u32, FileId)> + '_ {
        self.interests.iter().enumerate().filter_map(|(place, it)| Some((place as u32, it.as_ref()?.file?)))
    }

    fn is_of(&self, place: u32, fd: Fd) -> bool {
        self.interests[place as usize].is_some_and(|it| it.ident == fd as usize)
    }
}

impl World {
    fn kqueue(&mut self, queue: FileId) -> &mut Kqueue {
        match &mut self.file(queue).kind {
            FileKind::Kqueue(queue) => queue,
            _ => unreachable!("asked for by its kind"),
        }
    }

    pub(crate) fn kqueue_create(&mut self) -> i32 {
        self.install(FileKind::Kqueue(Kqueue::default()), false)
    }

    /// A wake-up of a file that the interest is in.
    pub(crate) fn kqueue_woken(&mut self, queue: FileId, place: u32, key: u32) {
        if self.kqueue(queue).heeds(place, key) && self.kqueue_holds(queue, place) != 0 {
            self.kqueue_activate(queue, place);
        }
    }

    fn kqueue_activate(&mut self, queue: FileId, place: u32) {
        if self.kqueue(queue).activate(place) {
            self.wake(queue, libc::POLLIN as u32);
        }
    }

    /// The bits for which the interest would be reported now.
    fn kqueue_holds(&mut self, queue: FileId, place: u32) -> u32 {
        let interest = *self.kqueue(queue).at(place);
        interest.file.map_or(u32::MAX, |file| self.poll_file(file) & interest.bits().0)
    }

    /// Descriptors that are closed are watched no longer.
    pub(crate) fn kqueue_closes(&mut self, fd: Fd, file: FileId) {
        let of = |world: &mut World, watcher: Watcher| match watcher {
            Watcher::Kqueue(queue, place) => world.kqueue(queue).is_of(place, fd).then_some((queue, place)),
            _ => None,
        };
        for watcher in self.file(file).watchers.clone() {
            if let Some((queue, place)) = of(self, watcher) {
                self.kqueue(queue).forget(place);
                self.file(file).watchers.retain(|&it| it != watcher);
            }
        }
    }

    /// Whether a kqueue watches the descriptor.
    pub(crate) fn kqueue_watches(&mut self, fd: Fd) -> bool {
        let Some(file) = self.descriptors.get(fd) else { return false };
        let watchers = self.file(file).watchers.clone();
        watchers
            .into_iter()
            .any(|it| matches!(it, Watcher::Kqueue(queue, place) if self.kqueue(queue).is_of(place, fd)))
    }

    /// Makes the changes. What fails, and what asks for a receipt, is an event; without room for one the rest is not
    /// made. The number of events, or the error.
    pub(crate) fn kqueue_change(&mut self, queue: FileId, changes: &[KEvent], events: &mut [KEvent]) -> i32 {
        let mut found = 0;
        for change in changes {
            let error = self.kqueue_change_one(queue, change);
            self.note(|| format!("kevent change {change:?} = {error}"));
            if error == 0 && change.flags & abi::EV_RECEIPT == 0 {
                continue;
            }
            let Some(place) = events.get_mut(found) else { return -error };
            *place = KEvent { flags: change.flags | abi::EV_ERROR, data: error as isize, ..*change };
            found += 1;
        }
        found as i32
    }

    /// 0 or an errno.
    fn kqueue_change_one(&mut self, queue: FileId, change: &KEvent) -> i32 {
        let file = match change.filter {
            abi::EVFILT_USER => None,
            abi::EVFILT_READ | abi::EVFILT_WRITE => match self.descriptors.get(change.ident as Fd) {
                Some(file) => Some(file),
                None => return libc::EBADF,
            },
            _ => return libc::EINVAL,
        };
        let place = match self.kqueue(queue).find(change.ident, change.filter) {
            None if change.flags & abi::EV_ADD == 0 => return libc::ENOENT,
            None => match self.kqueue_attach(queue, change, file) {
                Ok(place) => place,
                Err(error) => return error,
            },
            Some(place) if change.flags & abi::EV_DELETE != 0 => {
                self.kqueue(queue).forget(place);
                if let Some(file) = file {
                    self.file(file).watchers.retain(|&it| it != Watcher::Kqueue(queue, place));
                }
                return 0;
            }
            Some(place) => {
                if change.flags & abi::EV_ADD != 0 {
                    self.kqueue(queue).at(place).udata = change.udata;
                }
                place
            }
        };
        // What holds already is the first event.
        let triggered = change.fflags & abi::NOTE_TRIGGER != 0;
        if if file.is_some() { self.kqueue_holds(queue, place) != 0 } else { triggered } {
            self.kqueue_activate(queue, place);
        }
        0
    }

    fn kqueue_attach(&mut self, queue: FileId, change: &KEvent, file: Option<FileId>) -> Result<u32, i32> {
        assert!(change.flags & abi::EV_CLEAR != 0, "the backend is edge-triggered");
        if let Some(file) = file {
            let reads = change.filter == abi::EVFILT_READ;
            // The end of a named pipe has one direction, that of another may have both.
            let one_way = self.strikes(512);
            let exhausted = self.strikes(self.character.faults.exhausted);
            let unread = self.poll_file(file) & libc::POLLERR as u32 != 0;
            let refused = match &self.file(file).kind {
                FileKind::Regular(..) | FileKind::Null => libc::EINVAL,
                FileKind::PipeReader(_) if !reads && one_way => libc::EINVAL,
                FileKind::PipeWriter(_) if reads && one_way => libc::EINVAL,
                FileKind::PipeWriter(_) if !reads && unread => libc::EPIPE,
                _ if exhausted => libc::ENOMEM,
                _ => 0,
            };
            if refused != 0 {
                return Err(refused);
            }
        }
        let interest =
            Interest { ident: change.ident, filter: change.filter, file, udata: change.udata, queued: false };
        let interests = &mut self.kqueue(queue).interests;
        interests.push(Some(interest));
        let place = (interests.len() - 1) as u32;
        if let Some(file) = file {
            self.file(file).watchers.push(Watcher::Kqueue(queue, place));
        }
        Ok(place)
    }

    /// Fetches what is active. 0 when nothing is.
    pub(crate) fn kqueue_harvest(&mut self, queue: FileId, events: &mut [KEvent]) -> i32 {
        if self.strikes(self.character.faults.spurious) {
            self.kqueue_spurious(queue);
        }
        self.reported.clear();
        let mut found = 0;
        for _ in 0..self.kqueue(queue).active.len() {
            if found == events.len() {
                break;
            }
            let place = self.kqueue(queue).active.pop_front().expect("counted");
            let held = self.kqueue_holds(queue, place);
            let interest = self.kqueue(queue).at(place);
            interest.queued = false;
            if held == 0 {
                continue;
            }
            let Interest { ident, filter, udata, file, .. } = *interest;
            let mut event = KEvent { ident, filter, udata, flags: abi::EV_CLEAR, ..KEvent::default() };
            if file.is_some() {
                if held & interest.bits().1 != 0 {
                    event.flags |= abi::EV_EOF;
                }
                if held & libc::POLLERR as u32 != 0 {
                    event.fflags = libc::ECONNRESET as u32;
                }
                self.reported.push(ident as Fd);
            }
            events[found] = event;
            found += 1;
        }
        found as i32
    }

    /// Makes an interest active for no reason: if its condition holds, it is reported again.
    fn kqueue_spurious(&mut self, queue: FileId) {
        let count = self.kqueue(queue).interests.len();
        if count > 0 {
            let place = self.random.index(count);
            if self.kqueue(queue).interests[place].is_some() {
                self.kqueue(queue).activate(place as u32);
            }
        }
    }
}
