//! Pairs of unix datagram sockets: messages come whole and in order, or cut to the reader's room. Neither learns that
//! the other has left before it writes.

use super::file::{FileId, FileKind};
use super::transfer::{Lent, drain, fill, length};
use super::world::{Event, World};
use nyario_core::sys::Fd;
use std::collections::VecDeque;

pub(crate) struct Datagram {
    /// Messages that were sent to it and not received.
    pub(crate) inbox: VecDeque<Vec<u8>>,
    peer: Option<FileId>,
}

const READ: u32 = (libc::POLLIN | libc::POLLRDNORM) as u32;
const WRITE: u32 = (libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND) as u32;

impl Datagram {
    /// What a message takes of its sender's room: its bytes, and something for itself.
    fn load(&self) -> usize {
        self.inbox.iter().map(|message| message.len() + 1).sum()
    }
}

impl World {
    pub(crate) fn datagram_pair(&mut self, nonblocking: bool) -> (Fd, Fd) {
        let mut end =
            || self.add_file(FileKind::Datagram(Datagram { inbox: VecDeque::new(), peer: None }), nonblocking);
        let ends = [end(), end()];
        for (file, peer) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            self.datagram(file).peer = Some(peer);
        }
        (self.describe(ends[0]), self.describe(ends[1]))
    }

    pub(crate) fn datagram(&mut self, file: FileId) -> &mut Datagram {
        match &mut self.file(file).kind {
            FileKind::Datagram(datagram) => datagram,
            _ => unreachable!("asked for by its kind"),
        }
    }

    /// Whether the file is a socket of any kind.
    pub(crate) fn is_socket(&mut self, file: FileId) -> bool {
        matches!(self.file(file).kind, FileKind::Socket(_) | FileKind::Datagram(_))
    }

    /// How long the message is that would be received next.
    pub(crate) fn next_message(&mut self, file: FileId) -> Option<usize> {
        match &self.file(file).kind {
            FileKind::Datagram(datagram) => datagram.inbox.front().map(Vec::len),
            _ => None,
        }
    }

    /// # Safety
    ///
    /// The memory must be lent for writing.
    pub(crate) unsafe fn receive_message(&mut self, file: FileId, into: &[Lent], peek: bool) -> i32 {
        let refused = self.character.faults.refused;
        if self.datagram(file).inbox.is_empty() {
            return -libc::EAGAIN;
        }
        if self.strikes(refused) {
            let delay = self.delay();
            self.schedule(delay, Event::Wake(file, READ));
            return -libc::EAGAIN;
        }
        let message = self.datagram(file).inbox.front().expect("seen above").clone();
        // SAFETY: forwarded from the caller.
        let count = unsafe { fill(into, message.into_iter()) };
        if !peek {
            self.datagram(file).inbox.pop_front();
            if let Some(peer) = self.datagram(file).peer
                && self.is_open(peer)
                && self.is_writable(peer)
            {
                self.wake(peer, WRITE);
            }
        }
        count as i32
    }

    /// # Safety
    ///
    /// The memory must be lent for reading.
    pub(crate) unsafe fn send_message(&mut self, file: FileId, from: &[Lent]) -> i32 {
        let Some(peer) = self.datagram(file).peer else { return -libc::ENOTCONN };
        if !self.is_open(peer) {
            // unix_dgram_disconnected: what it had received is lost.
            let datagram = self.datagram(file);
            datagram.peer = None;
            datagram.inbox.clear();
            return -libc::ECONNREFUSED;
        }
        let refused = self.character.faults.refused;
        if self.strikes(refused) {
            let delay = self.delay();
            self.schedule(delay, Event::Wake(file, WRITE));
            return -libc::EAGAIN;
        }
        if self.datagram(peer).load() >= self.character.socket_buffer {
            return -libc::EAGAIN;
        }
        let count = length(from);
        // SAFETY: forwarded from the caller.
        let message = unsafe { drain(from, count) };
        self.datagram(peer).inbox.push_back(message);
        self.wake(peer, READ);
        count as i32
    }

    /// Whether a poll reports room (`unix_writable`): a quarter in use at most.
    fn is_writable(&mut self, file: FileId) -> bool {
        let peer = self.datagram(file).peer;
        match peer {
            Some(peer) if self.is_open(peer) => self.datagram(peer).load() * 4 <= self.character.socket_buffer,
            _ => true,
        }
    }

    pub(crate) fn poll_datagram(&mut self, file: FileId) -> u32 {
        let readable = if self.datagram(file).inbox.is_empty() { 0 } else { READ };
        readable | if self.is_writable(file) { WRITE } else { 0 }
    }

    /// The last holder has let go: what was on its way to it is gone, and its peer has room again.
    pub(crate) fn release_datagram(&mut self, datagram: Datagram) {
        if let Some(peer) = datagram.peer
            && !datagram.inbox.is_empty()
        {
            self.wake(peer, WRITE);
        }
    }
}
