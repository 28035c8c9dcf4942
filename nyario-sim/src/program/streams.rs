//! The oracle of bytes: what was sent, what was received, each once and in order.
//!
//! Several fibers may read or write one end. Operations on it are served in the order in which they were begun, so each
//! takes a ticket when it begins, and its bytes have their place by that.

use std::collections::VecDeque;

/// The bytes that one side has moved, in the order of its tickets.
#[derive(Default)]
struct Side {
    /// The ticket that is first in `open`.
    first: u64,
    /// For each ticket since, its bytes once it is over.
    open: VecDeque<Option<Vec<u8>>>,
    /// Bytes whose place is certain and that were not compared yet.
    settled: VecDeque<u8>,
    total: u64,
}

impl Side {
    fn begin(&mut self) -> u64 {
        self.open.push_back(None);
        self.first + self.open.len() as u64 - 1
    }

    fn settle(&mut self, ticket: u64, bytes: Vec<u8>) {
        let place = &mut self.open[(ticket - self.first) as usize];
        assert!(place.is_none(), "an operation completes once");
        self.total += bytes.len() as u64;
        *place = Some(bytes);
        while let Some(Some(_)) = self.open.front() {
            self.settled.extend(self.open.pop_front().flatten().expect("just seen"));
            self.first += 1;
        }
    }
}

/// One direction of a connection.
pub(super) struct Stream {
    sent: Side,
    received: Side,
    /// Somebody read the end.
    pub(super) ended: bool,
    /// The model's name of it.
    pub(super) flow: u32,
}

impl Stream {
    pub(super) fn new(flow: u32) -> Stream {
        Stream { sent: Side::default(), received: Side::default(), ended: false, flow }
    }

    pub(super) fn begin_write(&mut self) -> u64 {
        self.sent.begin()
    }

    pub(super) fn begin_read(&mut self) -> u64 {
        self.received.begin()
    }

    pub(super) fn wrote(&mut self, ticket: u64, bytes: &[u8]) {
        self.sent.settle(ticket, bytes.to_vec());
        self.compare();
    }

    pub(super) fn read(&mut self, ticket: u64, bytes: &[u8]) {
        self.received.settle(ticket, bytes.to_vec());
        self.compare();
    }

    fn compare(&mut self) {
        while let (Some(&sent), Some(&received)) = (self.sent.settled.front(), self.received.settled.front()) {
            assert!(
                sent == received,
                "byte {} of a stream was sent as {sent:#x} and received as {received:#x}",
                self.received.total - self.received.settled.len() as u64,
            );
            self.sent.settled.pop_front();
            self.received.settled.pop_front();
        }
    }

    /// Whether bytes were sent that nobody has received.
    pub(super) fn has_more(&self) -> bool {
        self.sent.total > self.received.total
    }

    /// Nothing moves any more. A connection that broke, or was closed with bytes in it, may have lost some.
    pub(super) fn finish(&self, lossy: bool) {
        assert!(self.sent.open.is_empty() && self.received.open.is_empty(), "every operation completes");
        assert!(self.received.settled.is_empty(), "{} bytes came out of nowhere", self.received.settled.len());
        let whole = self.sent.total == self.received.total;
        assert!(whole || !self.ended || lossy, "{} bytes were lost", self.sent.total - self.received.total);
    }
}
