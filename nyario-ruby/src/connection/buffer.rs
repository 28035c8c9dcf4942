//! What a connection has read past what was asked for.

/// Bytes in the order in which they came. It holds no memory before it is needed, and gives back what a long message took.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Those before it are used up.
    start: usize,
    /// Counts how often bytes have left or come in front, for whoever has looked at them before.
    changes: u32,
}

/// More than this is given back once it is used up.
const KEPT: usize = 16_384;

impl Buffer {
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(crate) fn changes(&self) -> u32 {
        self.changes
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..std::mem::take(&mut self.start));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Puts bytes back in front of the others.
    pub(crate) fn restore(&mut self, bytes: &[u8]) {
        self.changes = self.changes.wrapping_add(1);
        self.bytes.splice(..std::mem::take(&mut self.start), bytes.iter().copied());
    }

    /// Uses up the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.changes = self.changes.wrapping_add(1);
        self.start += count;
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
        }
    }
}
