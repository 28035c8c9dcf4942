//! Provided buffers, as the guest's ring of entries offers them.

use crate::model::transfer::Lent;
use nyario_core::sys::abi::{BufEntry, BufReg};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU16, Ordering};

pub(super) struct Group {
    entries: *const BufEntry,
    mask: u16,
    head: u16,
}

impl Group {
    /// # Safety
    ///
    /// `arg` must lead to a registration, and that to a ring of entries which outlives the group.
    pub(super) unsafe fn new(arg: *const c_void) -> Option<Group> {
        // SAFETY: forwarded from the caller.
        let reg = unsafe { *arg.cast::<BufReg>() };
        let valid = reg.ring_entries.is_power_of_two() && reg.ring_entries <= 32_768 && reg.ring_addr % 4096 == 0;
        valid.then(|| Group { entries: reg.ring_addr as *const BufEntry, mask: (reg.ring_entries - 1) as u16, head: 0 })
    }

    fn tail(&self) -> u16 {
        // SAFETY: entry 0 lies in the guest's ring, and its tail is treated atomically by both sides.
        unsafe { (*(&raw const (*self.entries).tail).cast::<AtomicU16>()).load(Ordering::Acquire) }
    }

    fn entry(&self, place: u16) -> BufEntry {
        // SAFETY: the place lies in the guest's ring.
        unsafe { self.entries.add((place & self.mask).into()).read() }
    }

    pub(super) fn offered(&self) -> u16 {
        let offered = self.tail().wrapping_sub(self.head);
        assert!(offered <= self.mask + 1, "more buffers are offered than there are entries");
        offered
    }

    /// The buffer that would be taken next, with its id.
    pub(super) fn first(&self) -> Option<(u16, Lent)> {
        if self.offered() == 0 {
            return None;
        }
        let first = self.entry(self.head);
        for ahead in 1..self.offered() {
            assert!(self.entry(self.head.wrapping_add(ahead)).id != first.id, "buffer {} is offered twice", first.id);
        }
        Some((first.id, Lent { at: first.addr as *mut u8, len: first.len as usize }))
    }

    /// Takes it.
    pub(super) fn take(&mut self) {
        self.head = self.head.wrapping_add(1);
    }

    /// One of those that are on offer.
    pub(super) fn any(&self, place: u16) -> Lent {
        let entry = self.entry(self.head.wrapping_add(place));
        Lent { at: entry.addr as *mut u8, len: entry.len as usize }
    }
}
