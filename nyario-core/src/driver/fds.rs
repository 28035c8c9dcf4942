//! What the driver knows of each descriptor.

use super::list::{Index, List, NONE};
use super::op::Side;
use crate::growth;
use crate::sys::Fd;
use crate::sys::abi::FdStatus;
use std::collections::BTreeMap;

/// How operations on a descriptor are carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    /// The driver does not know this number.
    Vacant,
    /// A socket: `MSG_DONTWAIT` keeps calls from blocking.
    Socket,
    /// A pipe, terminal, eventfd or the like: it can be waited for, and `RWF_NOWAIT` keeps most calls from blocking.
    Stream,
    /// A regular file or block device: always ready, though a read may go to the disk.
    File,
}

/// What is believed of a descriptor's readiness. A bit that is set allows a try; a clear one means that the kernel
/// will report the next change.
pub(super) mod ready {
    pub(crate) const READ: u8 = 1;
    pub(crate) const WRITE: u8 = 2;
    /// A short read does not mean that nothing follows, as the peer has hung up, failed, or said something urgent.
    pub(crate) const UNDRAINED: u8 = 4;
}

/// Where a connection's multishot receive stands (uring only).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Multishot {
    Off,
    /// The kernel receives into provided buffers as data comes.
    Armed,
    /// A cancel is on its way; its last completion is still to come.
    Stopping,
}

impl Multishot {
    pub(super) fn is_off(self) -> bool {
        self == Multishot::Off
    }
}

/// What [`FdRecord::ended`] holds after the end of a stream.
pub(super) const END: i32 = 1;

/// No provided buffer.
pub(super) const NO_BUFFER: u16 = u16::MAX;

/// One descriptor, in a cache line of its own. Three queues hold the operations that wait on it, in the order in which
/// they came.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct FdRecord {
    pub(super) generation: u32,
    pub(super) kind: Kind,
    /// `ready::*`.
    pub(super) ready: u8,
    pub(super) multishot: Multishot,
    /// How often the number has been closed, whatever it was.
    closes: u16,
    /// No new operation is taken; the close happens when nothing is in flight any more.
    pub(super) closing: bool,
    /// nyario opened it and sees every read of it.
    pub(super) owned: bool,
    /// It is ours and carries nothing but bytes, so they may be received before they are asked for.
    pub(super) ahead: bool,
    /// The descriptor is known to be non-blocking.
    pub(super) nonblocking: bool,
    /// A short read means that the kernel has no more, and on a socket a short write that it takes no more: true of byte
    /// streams, not of messages.
    pub(super) drains: bool,
    /// Reads that still go straight into the caller's buffer before provided buffers are tried again.
    pub(super) direct: u8,
    /// Reads that fill the caller's buffer and are not followed by a try, as the last such try was in vain (uring only).
    pub(super) untried: u8,
    /// Operations (and the multishot receive) that the kernel holds.
    pub(super) in_flight: u32,
    pub(super) read: List,
    pub(super) write: List,
    pub(super) poll: List,
    /// The close that waits for the last operation to let go.
    pub(super) closer: Index,
    /// Received and not yet read: a chain of provided buffers, and how much of the first is used up.
    pub(super) first_buffer: u16,
    pub(super) last_buffer: u16,
    pub(super) buffers: u16,
    pub(super) buffer_offset: u32,
    /// How the multishot receive ended: 0 not yet, 1 at the end of the stream, negative with an error still to be told.
    pub(super) ended: i32,
}

impl FdRecord {
    const VACANT: FdRecord = FdRecord {
        generation: 0,
        kind: Kind::Vacant,
        ready: 0,
        multishot: Multishot::Off,
        closes: 0,
        closing: false,
        owned: false,
        ahead: false,
        nonblocking: false,
        drains: false,
        direct: 0,
        untried: 0,
        in_flight: 0,
        read: List::EMPTY,
        write: List::EMPTY,
        poll: List::EMPTY,
        closer: NONE,
        first_buffer: NO_BUFFER,
        last_buffer: NO_BUFFER,
        buffers: 0,
        buffer_offset: 0,
        ended: 0,
    };

    pub(super) fn queue(&mut self, side: Side) -> &mut List {
        match side {
            Side::Read => &mut self.read,
            Side::Write => &mut self.write,
            Side::Poll => &mut self.poll,
        }
    }

    /// Whether every operation there is may begin without a look at what it is.
    #[inline(always)]
    pub(super) fn is_own_socket(&self) -> bool {
        self.owned && self.kind == Kind::Socket
    }

    /// Whether a read of a socket that we did not open has nothing to try, and nobody to wait behind.
    #[inline(always)]
    pub(super) fn is_drained(&self) -> bool {
        let idle = self.read.is_empty() && !self.closing;
        self.kind == Kind::Socket && self.ready & ready::READ == 0 && !self.owned && idle
    }

    /// Whether a read of our own has nothing to try: neither the kernel nor a provided buffer is known to have anything.
    #[inline(always)]
    pub(super) fn would_wait(&self) -> bool {
        let told = !self.multishot.is_off() || self.ready & ready::READ == 0;
        self.owned && told && self.first_buffer == NO_BUFFER && self.ended == 0
    }

    pub(super) fn is_idle(&self) -> bool {
        self.read.is_empty() && self.write.is_empty() && self.poll.is_empty()
    }
}

const _: () = assert!(size_of::<FdRecord>() == 64);

/// All of them, by number.
pub(super) struct FdTable {
    records: Vec<FdRecord>,
    /// Which file (device, inode) each adopted descriptor was, to notice that its number was closed and reused
    /// behind our back.
    pub(super) identities: BTreeMap<Fd, (u64, u64)>,
    /// Where the next look for such numbers begins.
    pub(super) sweep_from: Fd,
}

impl FdTable {
    pub(super) fn new() -> FdTable {
        FdTable { records: Vec::new(), identities: BTreeMap::new(), sweep_from: 0 }
    }

    /// The record of a number that the driver knows.
    #[inline]
    pub(super) fn known(&mut self, fd: Fd) -> Option<&mut FdRecord> {
        // A negative number becomes a place beyond any table.
        self.records.get_mut(fd as u32 as usize).filter(|record| record.kind != Kind::Vacant)
    }

    /// The record of a number that the kernel has given out, so that the table grows no further than its numbers do.
    fn slot(&mut self, fd: Fd) -> &mut FdRecord {
        let at = fd as usize;
        if at >= self.records.len() {
            self.records.resize_with(growth::length(at), || FdRecord::VACANT);
        }
        &mut self.records[at]
    }

    /// The record of a number that is known to be in the table.
    #[inline]
    pub(super) fn at(&mut self, fd: Fd) -> &mut FdRecord {
        &mut self.records[fd as usize]
    }

    /// What is known of a number, whatever it is now.
    #[inline(always)]
    pub(super) fn get(&self, fd: Fd) -> Option<&FdRecord> {
        self.records.get(fd as u32 as usize)
    }

    /// Whether operations may begin on the number as it stands.
    #[inline]
    pub(super) fn knows(&self, fd: Fd) -> bool {
        self.records.get(fd as u32 as usize).is_some_and(|record| record.kind != Kind::Vacant && !record.closing)
    }

    /// Whether the number still leads the life of that generation.
    #[inline]
    pub(super) fn is_alive(&self, fd: Fd, generation: u32) -> bool {
        let record = &self.records[fd as usize];
        record.generation == generation && record.kind != Kind::Vacant
    }

    /// How often the number has been closed by the driver.
    #[inline]
    pub(super) fn closes(&self, fd: Fd) -> u16 {
        self.records.get(fd as u32 as usize).map_or(0, |record| record.closes)
    }

    /// The number is being closed.
    pub(super) fn is_closed(&mut self, fd: Fd) {
        if let Some(record) = self.records.get_mut(fd as u32 as usize) {
            record.closes = record.closes.wrapping_add(1);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Begins a new life of a number; the caller has seen to the old one.
    pub(super) fn open(&mut self, fd: Fd, kind: Kind) -> &mut FdRecord {
        let record = self.slot(fd);
        debug_assert!(record.is_idle() && record.in_flight == 0 && record.buffers == 0);
        let generation = record.generation.wrapping_add(1) & super::slab::GENERATION_MASK;
        *record = FdRecord { generation, kind, closes: record.closes, ..FdRecord::VACANT };
        record
    }

    /// Forgets a number; the caller has seen to what waited on it.
    pub(super) fn vacate(&mut self, fd: Fd) {
        if !self.at(fd).owned {
            self.identities.remove(&fd);
        }
        let record = self.at(fd);
        *record = FdRecord { generation: record.generation, closes: record.closes, ..FdRecord::VACANT };
    }
}

/// How to treat a descriptor of that kind of file.
pub(super) fn classify(status: FdStatus) -> Kind {
    match status.kind {
        libc::S_IFSOCK => Kind::Socket,
        libc::S_IFREG | libc::S_IFBLK | libc::S_IFDIR => Kind::File,
        _ => Kind::Stream,
    }
}
