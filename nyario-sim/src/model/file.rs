//! Open files and the descriptors that name them.

use super::datagram::Datagram;
use super::epoll::Epoll;
use super::kqueue::Kqueue;
use super::regular::Regular;
use super::socket::Socket;
use super::uring::Uring;
use nyario_core::sys::Fd;

/// An open file. Numbers are never used twice, so a stale one is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct FileId(pub(crate) u32);

/// A flow of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FlowId(pub(crate) u32);

pub(crate) struct File {
    pub(crate) kind: FileKind,
    /// Descriptors and operations under way that hold it.
    pub(crate) holders: u32,
    pub(crate) nonblocking: bool,
    /// It knows `RWF_NOWAIT`: a pipe does until the first splice.
    pub(crate) nowait: bool,
    /// Who is to be told when its readiness changes.
    pub(crate) watchers: Vec<Watcher>,
}

pub(crate) enum FileKind {
    Socket(Socket),
    Datagram(Datagram),
    PipeReader(FlowId),
    PipeWriter(FlowId),
    Event(u64),
    /// A timer, and when its time comes; 0: it is not armed.
    Timer(u64),
    Epoll(Epoll),
    Kqueue(Kqueue),
    Uring(Box<Uring>),
    Regular(Regular),
    /// Never blocks and cannot be waited for: `/dev/null`.
    Null,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Watcher {
    /// An epoll's interest in it.
    Epoll(FileId, u32),
    /// A kqueue's interest in it.
    Kqueue(FileId, u32),
    /// An operation of a ring.
    Operation(FileId, u32),
}

/// The descriptors of the one process there is.
pub(crate) struct Descriptors {
    entries: Vec<Option<FileId>>,
    limit: usize,
}

impl Descriptors {
    pub(crate) fn new(limit: usize) -> Descriptors {
        Descriptors { entries: Vec::new(), limit }
    }

    pub(crate) fn get(&self, fd: Fd) -> Option<FileId> {
        *self.entries.get(fd as u32 as usize)?
    }

    /// The lowest free number, if the process may have another.
    pub(crate) fn vacancy(&self) -> Option<Fd> {
        let at = self.entries.iter().position(Option::is_none).unwrap_or(self.entries.len());
        (at < self.limit).then_some(at as Fd)
    }

    /// Whether the process may have so many more.
    pub(crate) fn has_room_for(&self, count: usize) -> bool {
        self.entries.iter().flatten().count() + count <= self.limit
    }

    pub(crate) fn set(&mut self, fd: Fd, file: FileId) {
        let at = fd as usize;
        if at == self.entries.len() {
            self.entries.push(None);
        }
        debug_assert!(self.entries[at].is_none());
        self.entries[at] = Some(file);
    }

    pub(crate) fn take(&mut self, fd: Fd) -> Option<FileId> {
        self.entries.get_mut(fd as u32 as usize)?.take()
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = (Fd, FileId)> + '_ {
        self.entries.iter().enumerate().filter_map(|(fd, file)| Some((fd as Fd, (*file)?)))
    }
}
