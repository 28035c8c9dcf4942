//! The few calls of epoll that the load generator needs.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Edge-triggered interest in many descriptors, each known by a number of the caller's choice.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// What happened to one descriptor.
#[derive(Clone, Copy)]
pub struct Event {
    /// The number it was added under.
    pub token: usize,
    /// Whether its end, or an error, has arrived, so that even a short read has not emptied it.
    pub ended: bool,
}

impl Epoll {
    pub fn new(capacity: usize) -> io::Result<Self> {
        // SAFETY: the call takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor, and nothing else knows of it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; capacity] })
    }

    pub fn add(&self, fd: &impl AsRawFd, token: usize) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, false)
    }

    /// Asks for room to write, or no more. A unix socket reports room after every message that its peer
    /// reads, so it is asked for only by those that wait for it.
    pub fn want_room(&self, fd: &impl AsRawFd, token: usize, want: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, want)
    }

    fn control(&self, how: i32, fd: &impl AsRawFd, token: usize, room: bool) -> io::Result<()> {
        let room = if room { libc::EPOLLOUT } else { 0 };
        let events = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET | room;
        let mut event = libc::epoll_event { events: events as u32, u64: token as u64 };
        // SAFETY: `event` outlives the call, which is all the kernel asks: it copies it.
        match unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), how, fd.as_raw_fd(), &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// How many events came within `timeout`; a signal ends the wait with none.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<usize> {
        let timeout = timeout.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(i32::MAX);
        let room = self.events.len().try_into().unwrap_or(i32::MAX);
        // SAFETY: the kernel writes at most `room` events, and `events` has at least that many.
        let count = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), room, timeout) };
        if count >= 0 {
            return Ok(count as usize);
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            error => Err(error),
        }
    }

    /// One of the events that the last wait returned.
    pub fn event(&self, index: usize) -> Event {
        let event = self.events[index];
        let end = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
        Event { token: event.u64 as usize, ended: event.events & end != 0 }
    }
}
