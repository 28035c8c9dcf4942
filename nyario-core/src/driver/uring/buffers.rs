//! Provided buffers: the kernel picks one when data arrives, so an idle connection holds none.
//!
//! The ring that the kernel takes from is first-in-first-out; handing every buffer back to it at once would walk
//! through all of their memory again and again. So the ring is kept only as full as the traffic asks for (`window`). A
//! buffer that is emptied at once takes its place there again; the place of one that is kept for a reader to come is
//! filled from a stack, the warmest first.

use crate::driver::fds::{FdRecord, NO_BUFFER};
use crate::sys::abi::{BufEntry, BufReg, uring as abi};
use crate::sys::{Errno, Fd, Kernel, check};
use std::sync::atomic::{AtomicU16, Ordering};

/// The one group there is.
pub(super) const GROUP: u16 = 0;

/// How many buffers are on offer at first; doubled each time the kernel finds none.
const WINDOW: u16 = 64;

pub(super) struct Buffers {
    /// The ring of entries, and behind it the buffers themselves.
    map: *mut u8,
    map_len: usize,
    data: *mut u8,
    size: u32,
    mask: u16,
    /// Our copy of the ring's tail, and how much of it the kernel has been shown.
    tail: u16,
    shown: u16,
    window: u16,
    /// How many the kernel may still take.
    offered: u16,
    /// Those that are neither on offer nor in use; the warmest on top.
    spare: Vec<u16>,
    /// For each buffer in use: how many bytes it holds, and which of the same connection follows it.
    held: Vec<Held>,
}

#[derive(Clone, Copy)]
struct Held {
    len: u32,
    next: u16,
}

impl Buffers {
    /// `count` must be a power of two, up to 32768.
    pub(super) fn new<K: Kernel>(kernel: &K, ring: Fd, count: u16, size: u32) -> Result<Buffers, Errno> {
        let entries_len = (count as usize * size_of::<BufEntry>()).next_multiple_of(4096);
        let map_len = entries_len + count as usize * size as usize;
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh anonymous mapping.
        let map = unsafe { kernel.mmap(map_len, prot, flags | libc::MAP_NORESERVE, -1, 0) };
        if (-4095..0).contains(&map) {
            return Err(Errno(-map as i32));
        }
        let map = map as *mut u8;
        let mut reg = BufReg { ring_addr: map as u64, ring_entries: count.into(), group: GROUP, ..BufReg::default() };
        // SAFETY: the ring of entries lies in the mapping, page-aligned, and stays until the ring is shut.
        let result = unsafe { kernel.uring_register(ring, abi::REGISTER_PBUF_RING, (&raw mut reg).cast(), 1) };
        if let Err(error) = check(result) {
            // SAFETY: the mapping is ours and nobody else knows it.
            unsafe { kernel.munmap(map, map_len) };
            return Err(error);
        }
        let mut buffers = Buffers {
            map,
            map_len,
            data: map.wrapping_add(entries_len),
            size,
            mask: count - 1,
            tail: 0,
            shown: 0,
            window: WINDOW.min(count),
            offered: 0,
            spare: (0..count).rev().collect(),
            held: vec![Held { len: 0, next: NO_BUFFER }; count.into()],
        };
        buffers.offer();
        Ok(buffers)
    }

    /// Gives the memory back; the kernel must have let go of the ring.
    pub(super) fn free<K: Kernel>(&mut self, kernel: &K, ring: Fd) {
        debug_assert_eq!(usize::from(self.offered) + self.spare.len(), self.held.len(), "every buffer comes back");
        let mut reg = BufReg { group: GROUP, ..BufReg::default() };
        // SAFETY: nothing is in flight any more, so no receive can pick a buffer after this.
        unsafe {
            kernel.uring_register(ring, abi::UNREGISTER_PBUF_RING, (&raw mut reg).cast(), 1);
            kernel.munmap(self.map, self.map_len);
        }
    }

    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// Tops up what is on offer, and shows the kernel what has been put there since it was last shown.
    pub(super) fn offer(&mut self) {
        while self.offered < self.window {
            let Some(id) = self.spare.pop() else { break };
            self.put(id);
            self.offered += 1;
        }
        if self.tail != self.shown {
            self.shown = self.tail;
            // SAFETY: entry 0 lies in the mapping; its tail is read by the kernel atomically, and releasing it
            // publishes the entries.
            unsafe {
                let tail = (&raw mut (*self.map.cast::<BufEntry>()).tail).cast::<AtomicU16>();
                (*tail).store(self.tail, Ordering::Release);
            }
        }
    }

    /// Writes the next entry of the ring.
    #[inline(always)]
    fn put(&mut self, id: u16) {
        let slot = self.map.cast::<BufEntry>().wrapping_add((self.tail & self.mask) as usize);
        // SAFETY: at most as many are on offer as there are entries, so the kernel is done with this one. Its
        // last two bytes are left alone: in entry 0 they are the tail.
        unsafe {
            (&raw mut (*slot).addr).write(self.address(id) as u64);
            (&raw mut (*slot).len).write(self.size);
            (&raw mut (*slot).id).write(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// The kernel found none on offer: offer more from now on.
    pub(super) fn widen(&mut self) {
        self.window = self.window.saturating_mul(2).min(self.mask + 1);
    }

    /// The kernel put `len` bytes into a buffer for this connection.
    pub(super) fn attach(&mut self, record: &mut FdRecord, id: u16, len: u32) {
        self.offered -= 1;
        self.held[id as usize] = Held { len, next: NO_BUFFER };
        if record.last_buffer == NO_BUFFER {
            record.first_buffer = id;
            record.buffer_offset = 0;
        } else {
            self.held[record.last_buffer as usize].next = id;
        }
        record.last_buffer = id;
        record.buffers += 1;
    }

    /// A buffer comes back at once: the kernel did not use it, or what it held has been copied out. It takes the place
    /// on offer that it had.
    #[inline(always)]
    pub(super) fn give_back(&mut self, id: u16) {
        self.put(id);
    }

    /// What lies in the first of the connection's buffers.
    pub(super) fn front(&self, record: &FdRecord) -> &[u8] {
        if record.first_buffer == NO_BUFFER {
            return &[];
        }
        let len = self.held[record.first_buffer as usize].len - record.buffer_offset;
        let start = self.address(record.first_buffer).wrapping_add(record.buffer_offset as usize);
        // SAFETY: the kernel filled `len` bytes from there and gave the buffer up; it is ours until it is offered
        // again, which takes `&mut self`.
        unsafe { std::slice::from_raw_parts(start, len as usize) }
    }

    /// Uses up `count` bytes of what [`front`](Self::front) showed.
    pub(super) fn consume(&mut self, record: &mut FdRecord, count: usize) {
        let id = record.first_buffer;
        let Held { len, next } = self.held[id as usize];
        record.buffer_offset += count as u32;
        debug_assert!(record.buffer_offset <= len);
        if record.buffer_offset == len {
            record.first_buffer = next;
            record.buffer_offset = 0;
            record.buffers -= 1;
            if next == NO_BUFFER {
                record.last_buffer = NO_BUFFER;
            }
            self.spare.push(id);
        }
    }

    /// Drops whatever the connection has not read.
    pub(super) fn discard(&mut self, record: &mut FdRecord) {
        while record.first_buffer != NO_BUFFER {
            let rest = self.front(record).len();
            self.consume(record, rest);
        }
    }

    /// Where the bytes of a buffer begin that the kernel has just filled.
    pub(super) fn filled(&self, id: u16) -> *const u8 {
        self.address(id)
    }

    fn address(&self, id: u16) -> *mut u8 {
        self.data.wrapping_add(id as usize * self.size as usize)
    }
}
