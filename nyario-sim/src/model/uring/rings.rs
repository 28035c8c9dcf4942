//! The memory that a ring and its guest share.

use nyario_core::sys::abi::{CqOffsets, Cqe, SqOffsets, Sqe, UringParams, uring as abi};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

const SQ: SqOffsets = SqOffsets {
    head: 0,
    tail: 4,
    ring_mask: 8,
    ring_entries: 12,
    flags: 16,
    dropped: 20,
    array: 0,
    resv1: 0,
    user_addr: 0,
};
const CQ: CqOffsets = CqOffsets {
    head: 64,
    tail: 68,
    ring_mask: 72,
    ring_entries: 76,
    overflow: 80,
    cqes: 128,
    flags: 84,
    resv1: 0,
    user_addr: 0,
};

pub(super) struct Rings {
    submissions: u32,
    pub(super) entries: u32,
    with_array: bool,
    /// Null until mapped and when unmapped.
    base: *mut u8,
    sqes: *mut Sqe,
    head: u32,
    tail: u32,
}

impl Rings {
    pub(super) fn new(submissions: u32, entries: u32, with_array: bool) -> Rings {
        Rings { submissions, entries, with_array, base: null_mut(), sqes: null_mut(), head: 0, tail: 0 }
    }

    fn array(&self) -> u32 {
        CQ.cqes + self.entries * size_of::<Cqe>() as u32
    }

    /// Fills in what the guest needs to find its way.
    pub(super) fn describe(&self, params: &mut UringParams) {
        params.sq_entries = self.submissions;
        params.cq_entries = self.entries;
        params.sq_off = SqOffsets { array: if self.with_array { self.array() } else { 0 }, ..SQ };
        params.cq_off = CQ;
    }

    pub(super) fn mapped(&mut self, offset: u64, addr: *mut u8, len: usize) {
        match offset {
            abi::OFF_SQES => {
                assert!(len >= self.submissions as usize * size_of::<Sqe>(), "the submissions are mapped whole");
                self.sqes = addr.cast();
            }
            abi::OFF_SQ_RING => {
                let array = if self.with_array { self.submissions as usize * size_of::<u32>() } else { 0 };
                assert!(len >= self.array() as usize + array, "the rings are mapped whole");
                self.base = addr;
                self.word(SQ.ring_mask).store(self.submissions - 1, Ordering::Relaxed);
                self.word(SQ.ring_entries).store(self.submissions, Ordering::Relaxed);
                self.word(CQ.ring_mask).store(self.entries - 1, Ordering::Relaxed);
                self.word(CQ.ring_entries).store(self.entries, Ordering::Relaxed);
            }
            other => panic!("a ring has nothing to map at offset {other:#x}"),
        }
    }

    pub(super) fn unmapped(&mut self, addr: *mut u8) {
        if self.base == addr {
            self.base = null_mut();
        } else {
            self.sqes = null_mut();
        }
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        assert!(!self.base.is_null(), "a ring is used that is not mapped");
        // SAFETY: the mapping holds the word, aligned, and both sides treat it atomically.
        unsafe { &*self.base.add(offset as usize).cast::<AtomicU32>() }
    }

    /// Takes the next submission, if the guest has published one.
    pub(super) fn take(&mut self) -> Option<Sqe> {
        if self.word(SQ.tail).load(Ordering::Acquire) == self.head {
            return None;
        }
        let slot = self.head & (self.submissions - 1);
        let slot = if self.with_array {
            self.word(self.array() + slot * size_of::<u32>() as u32).load(Ordering::Relaxed)
        } else {
            slot
        };
        assert!(slot < self.submissions && !self.sqes.is_null(), "a submission lies in the ring");
        // SAFETY: the guest has published the slot, and it lies in the mapping.
        let sqe = unsafe { self.sqes.add(slot as usize).read() };
        self.head = self.head.wrapping_add(1);
        self.word(SQ.head).store(self.head, Ordering::Release);
        Some(sqe)
    }

    /// How many submissions the guest has published.
    pub(super) fn published(&self) -> u32 {
        self.word(SQ.tail).load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// How many completions lie in the ring.
    pub(super) fn completions(&self) -> u32 {
        if self.base.is_null() { 0 } else { self.tail.wrapping_sub(self.word(CQ.head).load(Ordering::Acquire)) }
    }

    pub(super) fn has_room(&self) -> bool {
        assert!(self.completions() <= self.entries, "the guest took completions that it was not given");
        self.completions() < self.entries
    }

    pub(super) fn put(&mut self, cqe: Cqe) {
        let slot = (self.tail & (self.entries - 1)) as usize;
        let place = self.base.wrapping_add(CQ.cqes as usize).cast::<Cqe>();
        // SAFETY: there is room, so the slot is the kernel's, and it lies in the mapping.
        unsafe { place.add(slot).write(cqe) };
        self.tail = self.tail.wrapping_add(1);
        self.word(CQ.tail).store(self.tail, Ordering::Release);
    }

    pub(super) fn raise(&self, flag: u32) {
        if !self.base.is_null() {
            self.word(SQ.flags).fetch_or(flag, Ordering::Relaxed);
        }
    }

    pub(super) fn lower(&self, flag: u32) {
        if !self.base.is_null() {
            self.word(SQ.flags).fetch_and(!flag, Ordering::Relaxed);
        }
    }

    /// Whether the guest can still see completions.
    pub(super) fn are_mapped(&self) -> bool {
        !self.base.is_null()
    }
}
