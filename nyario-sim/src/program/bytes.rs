//! The oracle of bytes: what was sent, what was received, each once and in order.

use super::tickets::Tickets;
use std::collections::VecDeque;

/// The bytes that one side has moved.
#[derive(Default)]
struct Side {
    /// Bytes that were not compared yet.
    settled: VecDeque<u8>,
    total: u64,
}

impl Side {
    fn add(&mut self, bytes: Vec<u8>) {
        self.total += bytes.len() as u64;
        self.settled.extend(bytes);
    }
}

/// What a read came to.
pub(super) enum Read {
    Bytes(Vec<u8>),
    /// All that there was, which with what came before is at least so much in all.
    Rest(Vec<u8>, u64),
    /// Some that stay where they are.
    Seen(Vec<u8>),
    /// It failed.
    Nothing,
}

#[derive(Default)]
pub(super) struct Bytes {
    writes: Tickets<Vec<u8>>,
    reads: Tickets<Read>,
    sent: Side,
    received: Side,
    /// Bytes that were looked at and not received yet, with where they begin.
    seen: VecDeque<(u64, Vec<u8>)>,
    /// Somebody read the end.
    ended: bool,
}

impl Bytes {
    pub(super) fn begin_write(&mut self) -> u64 {
        self.writes.begin()
    }

    pub(super) fn begin_read(&mut self) -> u64 {
        self.reads.begin()
    }

    /// How many bytes are known to have been sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent.total
    }

    pub(super) fn wrote(&mut self, ticket: u64, bytes: &[u8]) {
        self.writes.settle(ticket, bytes.to_vec());
        while let Some(bytes) = self.writes.next() {
            self.sent.add(bytes);
        }
        self.compare();
    }

    /// `goes_on` says that bytes may follow an end.
    pub(super) fn read(&mut self, ticket: u64, read: Read, goes_on: bool) {
        self.reads.settle(ticket, read);
        while let Some(read) = self.reads.next() {
            let bytes = match read {
                Read::Nothing => continue,
                Read::Seen(bytes) => {
                    assert!(!self.ended || goes_on, "bytes follow the end of a stream");
                    self.seen.push_back((self.received.total, bytes));
                    continue;
                }
                Read::Bytes(bytes) => {
                    assert!(!self.ended || goes_on, "bytes follow the end of a stream");
                    bytes
                }
                Read::Rest(bytes, known) => {
                    let total = self.received.total + bytes.len() as u64;
                    assert!(total >= known, "a stream ends after {total} of {known} bytes");
                    self.ended = true;
                    bytes
                }
            };
            self.received.add(bytes);
        }
        self.compare();
    }

    fn compare(&mut self) {
        while let (Some(&sent), Some(&received)) = (self.sent.settled.front(), self.received.settled.front()) {
            assert!(
                sent == received,
                "byte {} of a stream was sent as {sent:#x} and received as {received:#x}",
                self.received.total - self.received.settled.len() as u64,
            );
            let place = self.received.total - self.received.settled.len() as u64;
            for (from, bytes) in &self.seen {
                let seen = place.checked_sub(*from).and_then(|at| bytes.get(at as usize));
                assert!(seen.is_none_or(|&seen| seen == sent), "byte {place} of a stream was seen as something else");
            }
            while self.seen.front().is_some_and(|(from, bytes)| from + bytes.len() as u64 <= place) {
                self.seen.pop_front();
            }
            self.sent.settled.pop_front();
            self.received.settled.pop_front();
        }
    }

    /// Whether bytes were sent that nobody has received.
    pub(super) fn has_more(&self) -> bool {
        self.sent.total > self.received.total
    }

    /// Nothing moves any more, and a file holds what was written to it.
    pub(super) fn is_kept(&self, content: &[u8]) {
        assert_eq!(content.len() as u64, self.sent.total, "a file is as long as what was written to it");
        let rest = &content[self.received.total as usize..];
        assert!(self.sent.settled.iter().eq(rest), "a file holds something else than was written to it");
    }

    /// Nothing moves any more. `lossy` says that some may have been lost.
    pub(super) fn finish(&self, lossy: bool) {
        assert!(self.writes.is_empty() && self.reads.is_empty(), "every operation completes");
        assert!(self.received.settled.is_empty(), "{} bytes came out of nowhere", self.received.settled.len());
        for (from, bytes) in &self.seen {
            for (place, &seen) in (*from..).zip(bytes).filter(|&(place, _)| place >= self.received.total) {
                let sent = self.sent.settled.get((place - self.received.total) as usize);
                assert_eq!(sent, Some(&seen), "byte {place} of a stream was seen, and never sent");
            }
        }
        let whole = self.sent.total == self.received.total;
        assert!(whole || !self.ended || lossy, "{} bytes were lost", self.sent.total - self.received.total);
    }
}
