//! The connection table: what each descriptor is to us, and which fiber serves it.

use crate::growth;
use crate::sys::Fd;

/// What a connection is, and so when it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A listener with a handler. Closed when the loop ends.
    Server,
    /// Accepted from a server. Closed when its fiber ends, or when its peer leaves before it has one.
    Accepted,
    /// Opened by us. It ends when it is closed.
    Client,
    /// Anything else that is waited for: pipes, terminals, inherited descriptors. Not ours to close.
    Other,
}

/// Names one connection for good: a reused descriptor number gets another name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnId(u64);

const GENERATION_BITS: u32 = 28;

impl ConnId {
    fn new(fd: Fd, generation: u32) -> ConnId {
        ConnId(u64::from(generation) << 32 | fd as u64)
    }

    /// The descriptor; it may belong to another connection by now.
    pub fn fd(self) -> Fd {
        self.0 as u32 as Fd
    }

    /// The name as a word of at most 60 bits.
    pub fn word(self) -> u64 {
        self.0
    }

    /// The name that [`word`](Self::word) gave.
    pub fn from_word(word: u64) -> ConnId {
        ConnId(word)
    }
}

#[derive(Clone, Copy)]
struct Record {
    generation: u32,
    kind: Kind,
    open: bool,
    /// An accepted connection that has no fiber yet.
    idle: bool,
    /// Which server it came from, or is.
    server: u32,
}

const VACANT: Record = Record { generation: 0, kind: Kind::Other, open: false, idle: false, server: 0 };

/// All connections, by descriptor.
#[derive(Default)]
pub struct Table {
    records: Vec<Record>,
    counts: [usize; 4],
    idle: usize,
}

impl Table {
    /// Enters a descriptor that has just come into being.
    pub fn open(&mut self, fd: Fd, kind: Kind, server: u32) -> ConnId {
        self.close(fd);
        let at = fd as usize;
        if at >= self.records.len() {
            self.records.resize(growth::length(at), VACANT);
        }
        let generation = (self.records[at].generation + 1) & ((1 << GENERATION_BITS) - 1);
        self.records[at] = Record { generation, kind, open: true, idle: kind == Kind::Accepted, server };
        self.counts[kind as usize] += 1;
        self.idle += usize::from(kind == Kind::Accepted);
        ConnId::new(fd, generation)
    }

    /// Strikes a descriptor out. `false` when it was not in the table.
    pub fn close(&mut self, fd: Fd) -> bool {
        match self.records.get_mut(fd as usize) {
            Some(record) if record.open => {
                record.open = false;
                self.counts[record.kind as usize] -= 1;
                self.idle -= usize::from(std::mem::take(&mut record.idle));
                true
            }
            _ => false,
        }
    }

    /// Whether that very connection is still open.
    pub fn is_open(&self, id: ConnId) -> bool {
        self.record(id).is_some()
    }

    /// What the connection is, while it is open.
    pub fn kind(&self, id: ConnId) -> Option<Kind> {
        self.record(id).map(|record| record.kind)
    }

    /// The connection that has this descriptor now.
    pub fn by_fd(&self, fd: Fd) -> Option<ConnId> {
        let record = self.records.get(usize::try_from(fd).ok()?)?;
        record.open.then(|| ConnId::new(fd, record.generation))
    }

    /// The server that an idle connection came from; it is idle no more.
    pub(crate) fn start(&mut self, id: ConnId) -> Option<u32> {
        self.record(id).filter(|record| record.idle)?;
        let record = &mut self.records[id.fd() as usize];
        record.idle = false;
        self.idle -= 1;
        Some(record.server)
    }

    /// How many connections of a kind are open.
    pub fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    /// How many accepted connections have no fiber yet.
    pub fn idle(&self) -> usize {
        self.idle
    }

    /// The descriptors of every open connection that `wanted` says yes to, given its kind and whether it is idle.
    pub(crate) fn select(&self, wanted: impl Fn(Kind, bool) -> bool) -> Vec<Fd> {
        let open = self.records.iter().enumerate().filter(|(_, record)| record.open);
        open.filter(|(_, record)| wanted(record.kind, record.idle)).map(|(fd, _)| fd as Fd).collect()
    }

    fn record(&self, id: ConnId) -> Option<&Record> {
        let record = self.records.get(id.fd() as usize)?;
        (record.open && ConnId::new(id.fd(), record.generation) == id).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_number_is_another_connection() {
        let mut table = Table::default();
        let first = table.open(7, Kind::Accepted, 3);
        assert_eq!(table.count(Kind::Accepted), 1);
        assert!(table.close(7) && !table.close(7));
        let second = table.open(7, Kind::Client, 0);
        assert!(!table.is_open(first) && table.is_open(second));
        assert_eq!((table.kind(first), table.kind(second)), (None, Some(Kind::Client)));
        assert_eq!(table.by_fd(7), Some(second));
        assert_eq!(table.start(first), None);
        assert_eq!(table.count(Kind::Accepted), 0);
        assert_eq!(ConnId::from_word(second.word()), second);
    }

    #[test]
    fn a_connection_starts_once() {
        let mut table = Table::default();
        let id = table.open(5, Kind::Accepted, 9);
        assert_eq!((table.select(|_, idle| idle), table.idle()), (vec![5], 1));
        assert_eq!(table.start(id), Some(9));
        assert_eq!(table.start(id), None);
        assert!(table.select(|_, idle| idle).is_empty());
        assert_eq!(table.idle(), 0);
        table.open(6, Kind::Accepted, 9);
        table.close(6);
        table.close(5);
        assert_eq!(table.idle(), 0);
    }
}
