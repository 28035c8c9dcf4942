//! One direction of a connection, as the oracle knows it: what moves through it, and what may be told of it.

use super::bytes::{Bytes, Read};

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

pub(super) struct Stream {
    bytes: Bytes,
    pub(super) fate: Fate,
    /// The model's name of it.
    pub(super) flow: u32,
}

impl Stream {
    pub(super) fn new(flow: u32) -> Stream {
        Stream { bytes: Bytes::default(), fate: Fate::default(), flow }
    }

    pub(super) fn begin_write(&mut self) -> u64 {
        self.bytes.begin_write()
    }

    pub(super) fn begin_read(&mut self) -> u64 {
        self.bytes.begin_read()
    }

    /// A write of `said` came to an end.
    pub(super) fn wrote(&mut self, ticket: u64, result: i32, said: &[u8]) {
        assert!(result <= said.len() as i32, "{result} of {} bytes", said.len());
        self.bytes.wrote(ticket, &said[..result.max(0) as usize]);
    }

    /// A read into `room` came to an end.
    pub(super) fn read(&mut self, ticket: u64, result: i32, room: &[u8]) {
        assert!(result <= room.len() as i32, "{result} of {} bytes", room.len());
        let Fate { finished, deaf, broken } = self.fate;
        let read = match result {
            0 => {
                assert!(finished || deaf || broken, "a stream ends whose writer goes on");
                // What is lost with a connection is not missed.
                Read::End(if deaf || broken { 0 } else { self.bytes.sent() })
            }
            count if count > 0 => Read::Bytes(room[..count as usize].to_vec()),
            _ => Read::Nothing,
        };
        self.bytes.read(ticket, read, deaf);
    }

    /// What a read may fail with.
    pub(super) fn read_errors(&self) -> &'static [i32] {
        if self.fate.broken { &[libc::ECONNRESET, libc::EPIPE] } else { &[] }
    }

    /// What a write may fail with.
    pub(super) fn write_errors(&self) -> &'static [i32] {
        match self.fate {
            Fate { broken: true, .. } => &[libc::ECONNRESET, libc::EPIPE],
            Fate { finished: true, .. } | Fate { deaf: true, .. } => &[libc::EPIPE],
            _ => &[],
        }
    }

    /// Whether something was sent that nobody has received.
    pub(super) fn has_more(&self) -> bool {
        self.bytes.has_more()
    }

    /// Nothing moves any more. A connection that was cut may have lost some.
    pub(super) fn finish(&self, cut: bool) {
        self.bytes.finish(cut || self.fate.deaf);
    }
}
