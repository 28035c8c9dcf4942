//! What moves from one end to another (a direction of a connection, a pipe, a file), and what may be told of it.

use super::bytes::{Bytes, Read};
use super::messages::Messages;
use crate::model::Content;

/// What has become of a stream, by the doing of the program.
#[derive(Clone, Copy, Default)]
pub(super) struct Fate {
    /// Its writer has said its last.
    pub(super) finished: bool,
    /// Its reader wants no more of it.
    pub(super) deaf: bool,
    /// One of its ends was closed, or its connection reset.
    pub(super) broken: bool,
}

/// What it is, and how that is watched.
pub(super) enum Nature {
    /// A flow of that name in the model.
    Flow(u32),
    File(Content),
    Messages(Messages),
}

pub(super) struct Stream {
    bytes: Bytes,
    pub(super) fate: Fate,
    nature: Nature,
    readers: u32,
    writers: u32,
    /// A reader or a writer does in several goes what must not have others in between.
    read_alone: bool,
    write_alone: bool,
}

/// A read or write under way.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    number: u64,
    /// How much was known to have been sent when it began.
    known: u64,
}

impl Stream {
    pub(super) fn new(nature: Nature) -> Stream {
        Stream {
            bytes: Bytes::default(),
            fate: Fate::default(),
            nature,
            readers: 0,
            writers: 0,
            read_alone: false,
            write_alone: false,
        }
    }

    pub(super) fn is_flow(&self, flow: u32) -> bool {
        matches!(self.nature, Nature::Flow(it) if it == flow)
    }

    fn is_file(&self) -> bool {
        matches!(self.nature, Nature::File(_))
    }

    /// Asks to read, perhaps alone. `false` when somebody else is in the way.
    pub(super) fn reads_alone(&mut self, alone: bool) -> bool {
        let free = !(self.read_alone || alone && self.readers > 0);
        self.read_alone |= free && alone;
        free
    }

    /// The same for writing.
    pub(super) fn writes_alone(&mut self, alone: bool) -> bool {
        let free = !(self.write_alone || alone && self.writers > 0);
        self.write_alone |= free && alone;
        free
    }

    /// Whoever asked to read alone does not read after all.
    pub(super) fn is_shared(&mut self) {
        self.read_alone = false;
    }

    pub(super) fn begin_write(&mut self) -> Ticket {
        self.writers += 1;
        let number = match &mut self.nature {
            Nature::Messages(messages) => messages.begin_write(),
            _ => self.bytes.begin_write(),
        };
        Ticket { number, known: 0 }
    }

    pub(super) fn begin_read(&mut self) -> Ticket {
        self.readers += 1;
        let number = match &mut self.nature {
            Nature::Messages(messages) => messages.begin_read(),
            _ => self.bytes.begin_read(),
        };
        Ticket { number, known: self.bytes.sent() }
    }

    /// A write of `said` came to an end.
    pub(super) fn wrote(&mut self, ticket: Ticket, result: i32, said: &[u8]) {
        self.writers -= 1;
        self.write_alone = false;
        assert!(result <= said.len() as i32, "{result} of {} bytes", said.len());
        if let Nature::Messages(messages) = &mut self.nature {
            return messages.wrote(ticket.number, result, said);
        }
        assert!(!self.is_file() || result < 0 || result as usize == said.len(), "a file takes everything");
        self.bytes.wrote(ticket.number, &said[..result.max(0) as usize]);
    }

    /// A read into `room` came to an end.
    pub(super) fn read(&mut self, ticket: Ticket, result: i32, room: &[u8]) {
        self.came(ticket, result, room, false);
    }

    /// The same of a read that leaves everything where it is.
    pub(super) fn looked(&mut self, ticket: Ticket, result: i32, room: &[u8]) {
        self.came(ticket, result, room, true);
    }

    fn came(&mut self, ticket: Ticket, result: i32, room: &[u8], stays: bool) {
        self.readers -= 1;
        self.read_alone = false;
        assert!(result <= room.len() as i32, "{result} of {} bytes", room.len());
        if let Nature::Messages(messages) = &mut self.nature {
            return messages.read(ticket.number, result, room, stays);
        }
        let Fate { finished, deaf, broken } = self.fate;
        let read = match result {
            // A file's end is no end for ever, and whatever is there before it comes whole.
            count if count >= 0 && self.is_file() => {
                let bytes = room[..count as usize].to_vec();
                if bytes.len() < room.len() { Read::Rest(bytes, ticket.known) } else { Read::Bytes(bytes) }
            }
            0 => {
                assert!(finished || deaf || broken, "a stream ends whose writer goes on");
                // What is lost with a connection is not missed.
                Read::Rest(Vec::new(), if deaf || broken { 0 } else { self.bytes.sent() })
            }
            count if count > 0 && stays => Read::Seen(room[..count as usize].to_vec()),
            count if count > 0 => Read::Bytes(room[..count as usize].to_vec()),
            _ => Read::Nothing,
        };
        let goes_on = deaf || self.is_file();
        self.bytes.read(ticket.number, read, goes_on);
    }

    /// What a read may fail with.
    pub(super) fn read_errors(&self) -> &'static [i32] {
        if self.fate.broken && matches!(self.nature, Nature::Flow(_)) { &[libc::ECONNRESET, libc::EPIPE] } else { &[] }
    }

    /// What a write may fail with.
    pub(super) fn write_errors(&self) -> &'static [i32] {
        match self.fate {
            _ if self.is_file() => &[],
            Fate { broken: true, .. } if matches!(self.nature, Nature::Messages(_)) => {
                &[libc::ECONNREFUSED, libc::ENOTCONN]
            }
            Fate { broken: true, .. } => &[libc::ECONNRESET, libc::EPIPE],
            Fate { finished: true, .. } | Fate { deaf: true, .. } => &[libc::EPIPE],
            _ => &[],
        }
    }

    /// Whether something was sent that nobody has received.
    pub(super) fn has_more(&self) -> bool {
        match &self.nature {
            // Those of somebody who left may be lost to a writer who finds out.
            Nature::Messages(messages) => messages.has_more() && !self.fate.broken,
            // What a reader has of a whole is not known yet.
            _ => self.bytes.has_more() && !self.read_alone,
        }
    }

    /// Nothing moves any more, and so many messages wait at an end that is open.
    pub(super) fn are_kept(&self, waiting: impl FnOnce() -> usize) {
        if let (Nature::Messages(messages), false) = (&self.nature, self.fate.broken) {
            messages.are_kept(waiting());
        }
    }

    /// Nothing moves any more. `was_cut` says whether a flow has lost something.
    pub(super) fn finish(&self, was_cut: impl Fn(u32) -> bool) {
        match &self.nature {
            Nature::Flow(flow) => self.bytes.finish(self.fate.deaf || was_cut(*flow)),
            Nature::Messages(messages) => messages.finish(),
            Nature::File(content) => {
                self.bytes.finish(true);
                self.bytes.is_kept(&content.borrow());
            }
        }
    }
}
