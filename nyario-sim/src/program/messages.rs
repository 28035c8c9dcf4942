//! The oracle of messages: each is received once and in order, whole or cut to the room that there was for it.

use super::tickets::Tickets;
use std::collections::VecDeque;

#[derive(Default)]
pub(super) struct Messages {
    writes: Tickets<Option<Vec<u8>>>,
    /// With each message the room that its reader had, and whether it stays.
    reads: Tickets<Option<(Vec<u8>, usize, bool)>>,
    /// Those whose place is certain and that were not compared yet.
    sent: VecDeque<Vec<u8>>,
    received: VecDeque<(Vec<u8>, usize, bool)>,
}

impl Messages {
    pub(super) fn begin_write(&mut self) -> u64 {
        self.writes.begin()
    }

    pub(super) fn begin_read(&mut self) -> u64 {
        self.reads.begin()
    }

    pub(super) fn wrote(&mut self, ticket: u64, result: i32, said: &[u8]) {
        assert!(result < 0 || result as usize == said.len(), "a message goes whole or not at all");
        self.writes.settle(ticket, (result >= 0).then(|| said.to_vec()));
        while let Some(message) = self.writes.next() {
            self.sent.extend(message);
        }
        self.compare();
    }

    pub(super) fn read(&mut self, ticket: u64, result: i32, room: &[u8], stays: bool) {
        self.reads.settle(ticket, (result >= 0).then(|| (room[..result as usize].to_vec(), room.len(), stays)));
        while let Some(message) = self.reads.next() {
            self.received.extend(message);
        }
        self.compare();
    }

    fn compare(&mut self) {
        while !self.sent.is_empty() && !self.received.is_empty() {
            let (received, room, stays) = self.received.pop_front().expect("seen above");
            let sent = if stays { self.sent.front().cloned() } else { self.sent.pop_front() }.expect("seen above");
            let fits = sent.len().min(room);
            assert!(
                received == sent[..fits],
                "a message of {} bytes is received as one of {} where {room} fit",
                sent.len(),
                received.len()
            );
        }
    }

    /// Whether messages were sent that nobody has received.
    pub(super) fn has_more(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Nothing moves any more.
    pub(super) fn finish(&self) {
        assert!(self.writes.is_empty() && self.reads.is_empty(), "every operation completes");
        assert!(self.received.is_empty(), "{} messages came out of nowhere", self.received.len());
    }

    /// So many messages wait for their reader.
    pub(super) fn are_kept(&self, waiting: usize) {
        assert_eq!(self.sent.len(), waiting, "messages wait that were sent and not received");
    }
}
