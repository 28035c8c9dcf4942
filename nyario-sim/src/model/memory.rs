//! Memory that was mapped through the model: the host's own, and written down, so that what is not given back shows.

use nyario_core::sys::{Kernel, Linux};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Memory {
    maps: BTreeMap<usize, usize>,
}

impl Memory {
    /// Fresh zeroed memory; a negative errno as the address otherwise.
    pub(crate) fn map(&mut self, len: usize, prot: i32, flags: i32) -> isize {
        // SAFETY: a fresh anonymous mapping.
        let addr = unsafe { Linux.mmap(len, prot, flags, -1, 0) };
        if !(-4095..0).contains(&addr) {
            self.maps.insert(addr as usize, len);
        }
        addr
    }

    /// Gives a mapping back, whole.
    ///
    /// # Safety
    ///
    /// Nobody may use it any more.
    pub(crate) unsafe fn unmap(&mut self, addr: *mut u8, len: usize) -> i32 {
        match self.maps.remove(&(addr as usize)) {
            // SAFETY: forwarded from the caller.
            Some(mapped) if mapped == len => unsafe { Linux.munmap(addr, len) },
            other => panic!("munmap of {len} bytes where {other:?} are mapped"),
        }
    }

    /// The mappings that were not given back.
    pub(crate) fn mapped(&self) -> usize {
        self.maps.len()
    }
}
