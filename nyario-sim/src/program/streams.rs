//! What moves from one end to another (a direction of a connection, a pipe, a file), and what may be told of it.

use super::bytes::{Bytes, Read};
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

/// Where the bytes are while nobody has them.
pub(super) enum Nature {
    /// On their way, in a flow of that name.
    Flow(u32),
    File(Content),
}

pub(super) struct Stream {
    bytes: Bytes,
    pub(super) fate: Fate,
    nature: Nature,
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
        Stream { bytes: Bytes::default(), fate: Fate::default(), nature }
    }

    pub(super) fn is_flow(&self, flow: u32) -> bool {
        matches!(self.nature, Nature::Flow(it) if it == flow)
    }

    fn is_file(&self) -> bool {
        matches!(self.nature, Nature::File(_))
    }

    pub(super) fn begin_write(&mut self) -> Ticket {
        Ticket { number: self.bytes.begin_write(), known: 0 }
    }

    pub(super) fn begin_read(&mut self) -> Ticket {
        Ticket { known: self.bytes.sent(), number: self.bytes.begin_read() }
    }

    /// A write of `said` came to an end.
    pub(super) fn wrote(&mut self, ticket: Ticket, result: i32, said: &[u8]) {
        assert!(result <= said.len() as i32, "{result} of {} bytes", said.len());
        assert!(!self.is_file() || result < 0 || result as usize == said.len(), "a file takes everything");
        self.bytes.wrote(ticket.number, &said[..result.max(0) as usize]);
    }

    /// A read into `room` came to an end.
    pub(super) fn read(&mut self, ticket: Ticket, result: i32, room: &[u8]) {
        assert!(result <= room.len() as i32, "{result} of {} bytes", room.len());
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
            count if count > 0 => Read::Bytes(room[..count as usize].to_vec()),
            _ => Read::Nothing,
        };
        let goes_on = deaf || self.is_file();
        self.bytes.read(ticket.number, read, goes_on);
    }

    /// What a read may fail with.
    pub(super) fn read_errors(&self) -> &'static [i32] {
        if self.fate.broken && !self.is_file() { &[libc::ECONNRESET, libc::EPIPE] } else { &[] }
    }

    /// What a write may fail with.
    pub(super) fn write_errors(&self) -> &'static [i32] {
        match self.fate {
            _ if self.is_file() => &[],
            Fate { broken: true, .. } => &[libc::ECONNRESET, libc::EPIPE],
            Fate { finished: true, .. } | Fate { deaf: true, .. } => &[libc::EPIPE],
            _ => &[],
        }
    }

    /// Whether something was sent that nobody has received.
    pub(super) fn has_more(&self) -> bool {
        self.bytes.has_more()
    }

    /// Nothing moves any more. `was_cut` says whether a flow has lost something.
    pub(super) fn finish(&self, was_cut: impl Fn(u32) -> bool) {
        match &self.nature {
            Nature::Flow(flow) => self.bytes.finish(self.fate.deaf || was_cut(*flow)),
            Nature::File(content) => {
                self.bytes.finish(true);
                self.bytes.is_kept(&content.borrow());
            }
        }
    }
}
