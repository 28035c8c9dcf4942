//! One direction of a connection, or a pipe: bytes on their way from a writer to a reader.

use super::file::FileId;
use std::collections::VecDeque;

/// What carries the bytes, which decides what each side is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wire {
    Inet,
    Unix,
    Pipe,
}

/// The end of a flow, as seen from its reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Open,
    /// The writer has said its last; the reader does not know yet.
    Underway,
    Arrived,
}

/// The unit in which a pipe's room is counted (`PIPE_BUF`, and a page).
pub(crate) const PIPE_ATOMIC: usize = 4096;

pub(crate) struct Flow {
    pub(crate) wire: Wire,
    /// Written and not read; the reader sees the first `arrived`.
    pub(crate) bytes: VecDeque<u8>,
    pub(crate) arrived: usize,
    pub(crate) capacity: usize,
    pub(crate) end: End,
    /// The end came from the writer (`SOCK_DONE`); a reader can also make an end of its own.
    pub(crate) done: bool,
    /// Nobody will read any more.
    pub(crate) deaf: bool,
    /// The writer found no room and is to be told when there is some (`SOCK_NOSPACE`).
    pub(crate) starved: bool,
    /// How much of a pipe's first page has been read: the page is free when all of it has.
    pub(crate) page: usize,
    /// Bytes were thrown away: it broke, or its reader left.
    pub(crate) cut: bool,
    /// What was written since somebody wanted to know.
    pub(crate) record: Option<Vec<u8>>,
    pub(crate) reader: Option<FileId>,
    pub(crate) writer: Option<FileId>,
}

impl Flow {
    pub(crate) fn new(wire: Wire, capacity: usize) -> Flow {
        Flow {
            wire,
            bytes: VecDeque::new(),
            arrived: 0,
            capacity,
            end: End::Open,
            done: false,
            deaf: false,
            starved: false,
            cut: false,
            record: None,
            page: 0,
            reader: None,
            writer: None,
        }
    }

    /// Bytes are written.
    pub(crate) fn gains(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        if let Some(record) = &mut self.record {
            record.extend(bytes);
        }
    }

    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.bytes.len() + self.page)
    }

    /// The reader has taken the first `count` bytes.
    pub(crate) fn took(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.arrived -= count;
        if self.wire == Wire::Pipe {
            self.page = if self.bytes.is_empty() { 0 } else { (self.page + count) % PIPE_ATOMIC };
        }
    }

    /// Whether a poll reports room. Less than that may still take a write.
    pub(crate) fn is_writable(&self) -> bool {
        match self.wire {
            // sk_stream_min_wspace: half as much free as in use.
            Wire::Inet => self.room() * 2 >= self.bytes.len() && self.room() > 0,
            // unix_writable: a quarter in use at most.
            Wire::Unix => self.bytes.len() * 4 <= self.capacity,
            Wire::Pipe => self.room() >= PIPE_ATOMIC,
        }
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.arrived > 0 || self.end == End::Arrived
    }

    /// Throws away all but the first `keep` bytes.
    pub(crate) fn cut_to(&mut self, keep: usize) {
        self.cut |= self.bytes.len() > keep;
        self.bytes.truncate(keep);
        self.arrived = self.arrived.min(keep);
    }

    /// How much a write of `len` bytes may put in now.
    pub(crate) fn accepts(&self, len: usize) -> usize {
        let room = self.room();
        if self.wire == Wire::Pipe && len <= PIPE_ATOMIC && room < len { 0 } else { room.min(len) }
    }
}
