//! epoll(7), as `fs/eventpoll.c` does it: a wake-up of the file puts an interest on the ready list, and a wait asks the
//! file again what holds. Edge-triggered interests leave the list when they are reported, level-triggered ones stay.

use super::file::{FileId, FileKind, Watcher};
use super::world::World;
use nyario_core::sys::Fd;
use nyario_core::sys::abi::EpollEvent;
use std::collections::VecDeque;

#[derive(Default)]
pub(crate) struct Epoll {
    /// By place; a vacated place is not used again while a wake-up may still name it.
    interests: Vec<Option<Interest>>,
    ready: VecDeque<u32>,
}

#[derive(Clone, Copy)]
struct Interest {
    fd: Fd,
    file: FileId,
    events: u32,
    data: u64,
    queued: bool,
}

const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

impl Epoll {
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn find(&self, fd: Fd, file: FileId) -> Option<u32> {
        let found = |interest: &Option<Interest>| interest.is_some_and(|it| it.fd == fd && it.file == file);
        self.interests.iter().position(found).map(|place| place as u32)
    }

    /// A wake-up with that key.
    pub(crate) fn woken(&mut self, place: u32, key: u32) -> bool {
        let Some(interest) = &mut self.interests[place as usize] else { return false };
        if key & (interest.events | ALWAYS) == 0 || interest.queued {
            return false;
        }
        interest.queued = true;
        self.ready.push_back(place);
        true
    }

    /// The file is gone, and with it the interests in it.
    pub(crate) fn forget(&mut self, place: u32) {
        self.interests[place as usize] = None;
        self.ready.retain(|&other| other != place);
    }

    pub(crate) fn watched(&self) -> impl Iterator<Item = (u32, FileId)> + '_ {
        self.interests.iter().enumerate().filter_map(|(place, it)| Some((place as u32, it.as_ref()?.file)))
    }
}

impl World {
    fn epoll(&mut self, epoll: FileId) -> &mut Epoll {
        match &mut self.file(epoll).kind {
            FileKind::Epoll(epoll) => epoll,
            _ => unreachable!("asked for by its kind"),
        }
    }

    pub(crate) fn epoll_create(&mut self) -> i32 {
        self.install(FileKind::Epoll(Epoll::default()), false)
    }

    pub(crate) fn epoll_ctl(&mut self, epoll: Fd, op: i32, fd: Fd, event: EpollEvent) -> i32 {
        let (Some(epoll), Some(file)) = (self.descriptors.get(epoll), self.descriptors.get(fd)) else {
            return -libc::EBADF;
        };
        if !matches!(self.file(epoll).kind, FileKind::Epoll(_)) || epoll == file {
            return -libc::EINVAL;
        }
        if matches!(self.file(file).kind, FileKind::Regular(..) | FileKind::Null) {
            return -libc::EPERM;
        }
        let known = self.epoll(epoll).find(fd, file);
        let events = event.events | ALWAYS;
        let place = match (op, known) {
            (libc::EPOLL_CTL_ADD, Some(_)) => return -libc::EEXIST,
            (libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL, None) => return -libc::ENOENT,
            (libc::EPOLL_CTL_ADD, None) => {
                if self.strikes(self.character.faults.exhausted) {
                    return -libc::ENOMEM;
                }
                let interest = Interest { fd, file, events, data: event.data, queued: false };
                let interests = &mut self.epoll(epoll).interests;
                interests.push(Some(interest));
                let place = (interests.len() - 1) as u32;
                self.file(file).watchers.push(Watcher::Epoll(epoll, place));
                place
            }
            (libc::EPOLL_CTL_MOD, Some(place)) => {
                let interest = self.epoll(epoll).interests[place as usize].as_mut().expect("found above");
                interest.events = events;
                interest.data = event.data;
                place
            }
            (libc::EPOLL_CTL_DEL, Some(place)) => {
                self.epoll(epoll).forget(place);
                self.file(file).watchers.retain(|&it| it != Watcher::Epoll(epoll, place));
                return 0;
            }
            _ => return -libc::EINVAL,
        };
        // What holds already is the first event.
        let held = self.poll_file(file);
        self.epoll(epoll).woken(place, held);
        0
    }

    /// Fetches what is ready. 0 when nothing is.
    pub(crate) fn epoll_harvest(&mut self, epoll: FileId, events: &mut [EpollEvent]) -> i32 {
        if self.strikes(self.character.faults.spurious) {
            self.epoll_spurious(epoll);
        }
        self.reported.clear();
        let mut found = 0;
        for _ in 0..self.epoll(epoll).ready.len() {
            if found == events.len() {
                break;
            }
            let place = self.epoll(epoll).ready.pop_front().expect("counted");
            let Some(interest) = self.epoll(epoll).interests[place as usize] else { continue };
            let held = self.poll_file(interest.file) & interest.events;
            let stays = held != 0 && interest.events & libc::EPOLLET as u32 == 0;
            self.epoll(epoll).interests[place as usize].as_mut().expect("just seen").queued = stays;
            if stays {
                self.epoll(epoll).ready.push_back(place);
            }
            if held != 0 {
                events[found] = EpollEvent { events: held, data: interest.data };
                self.reported.push(interest.fd);
                found += 1;
            }
        }
        found as i32
    }

    /// Wakes an interest for no reason: what holds is reported again.
    fn epoll_spurious(&mut self, epoll: FileId) {
        let count = self.epoll(epoll).interests.len();
        if count > 0 {
            let place = self.random.index(count) as u32;
            self.epoll(epoll).woken(place, u32::MAX);
        }
    }
}
