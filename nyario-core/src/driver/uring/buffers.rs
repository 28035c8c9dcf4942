//! Provided buffers: the kernel picks one when data arrives, so an idle connection holds none.
//!
//! The ring that the kernel takes from is first-in-first-out; handing every buffer back to it at once would walk
//! through all of their memory again and again. So the ring is kept only as full as the traffic asks for (`window`). A
//! buffer that is emptied at once takes its place there again; the place of one that is kept for a reader to come is
//! filled from a stack, the warmest first.

use crate::driver::fds::{FdRecord, NO_BUFFER};
use crate::sys::abi::{BufEntry, BufReg, uring as abi};
use crate::sys::{Errno, Fd, Kernel, check, portable};
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
        let map_len = entries_len + count as usize * stride(size);
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh anonymous mapping.
        let map = unsafe { kernel.mmap(map_len, prot, flags | portable::MAP_NORESERVE, -1, 0) };
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
        let mut buffers = Buffers::over(map, map_len, entries_len, count, size);
        buffers.offer();
        Ok(buffers)
    }

    /// All of them spare, over memory of that layout.
    fn over(map: *mut u8, map_len: usize, entries_len: usize, count: u16, size: u32) -> Buffers {
        Buffers {
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
        }
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

    /// How many there are, and how many hold something.
    pub(super) fn counts(&self) -> (u64, u64) {
        let idle = usize::from(self.offered) + self.spare.len();
        (self.held.len() as u64, (self.held.len() - idle) as u64)
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
    #[inline]
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
    #[inline]
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

    /// What lies in all of the connection's buffers, in order.
    pub(super) fn chain<'a>(&'a self, record: &FdRecord) -> impl Iterator<Item = &'a [u8]> {
        let (mut id, mut offset) = (record.first_buffer, record.buffer_offset);
        std::iter::from_fn(move || {
            let at = if id == NO_BUFFER { None } else { Some(id) }?;
            let Held { len, next } = self.held[at as usize];
            let start = self.address(at).wrapping_add(offset as usize);
            let count = (len - offset) as usize;
            (id, offset) = (next, 0);
            // SAFETY: as in `front`.
            Some(unsafe { std::slice::from_raw_parts(start, count) })
        })
    }

    /// Uses up `count` bytes of what [`front`](Self::front) showed.
    #[inline]
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
        self.data.wrapping_add(id as usize * stride(self.size))
    }
}

/// How far buffers of that size lie apart: a power of two would have them all begin in the same few sets of the cache.
fn stride(size: u32) -> usize {
    size as usize + 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::fds::{FdTable, Kind};
    use crate::driver::numbers::Numbers;
    use std::collections::VecDeque;

    const COUNT: u16 = 8;
    const SIZE: u32 = 16;
    const CONNECTIONS: usize = 3;

    /// The kernel's side: it takes what is on offer in order, and fills it.
    struct Taker {
        head: u16,
        written: u8,
    }

    impl Taker {
        fn take(&mut self, entries: *const BufEntry, count: usize) -> Option<(u16, Vec<u8>)> {
            // SAFETY: as in `offer`; between head and tail lie whole entries, and each names a buffer that nobody else
            // touches until it has been given up.
            unsafe {
                let tail = (&raw const (*entries).tail).cast::<AtomicU16>();
                if self.head == (*tail).load(Ordering::Acquire) {
                    return None;
                }
                let entry = entries.add((self.head & (COUNT - 1)) as usize);
                let (addr, len, id) = ((*entry).addr, (*entry).len, (*entry).id);
                assert_eq!(len, SIZE);
                let bytes: Vec<u8> = (0..count as u8).map(|place| place.wrapping_add(self.written)).collect();
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), addr as *mut u8, count);
                self.head = self.head.wrapping_add(1);
                self.written = self.written.wrapping_add(count as u8);
                Some((id, bytes))
            }
        }
    }

    /// Whatever comes and goes, each connection sees its own bytes in order, and in the end every buffer is back.
    #[test]
    fn every_byte_and_every_buffer_is_accounted_for() {
        let mut numbers = Numbers::new(11);
        let entries_len = COUNT as usize * size_of::<BufEntry>();
        let len = entries_len + COUNT as usize * stride(SIZE);
        let mut memory = vec![0u64; len / 8];
        // The kernel reads addresses as numbers, so this is the one pointer that the memory is reached by.
        let map = memory.as_mut_ptr().cast::<u8>();
        map.expose_provenance();
        let mut buffers = Buffers::over(map, len, entries_len, COUNT, SIZE);
        buffers.offer();
        let mut taker = Taker { head: 0, written: 0 };
        let mut fds = FdTable::new();
        (0..CONNECTIONS as Fd).for_each(|fd| {
            fds.open(fd, Kind::Socket);
        });
        let mut streams: [VecDeque<u8>; CONNECTIONS] = Default::default();
        for _ in 0..if cfg!(miri) { 500 } else { 50_000 } {
            let fd = numbers.below(CONNECTIONS as u64) as Fd;
            let (record, stream) = (fds.at(fd), &mut streams[fd as usize]);
            match numbers.below(8) {
                0..3 => match taker.take(map.cast(), 1 + numbers.below(SIZE.into()) as usize) {
                    None => buffers.widen(),
                    // Copied out at once, or refused as its connection is closing.
                    Some((id, _)) if numbers.below(3) == 0 => buffers.give_back(id),
                    Some((id, bytes)) => {
                        buffers.attach(record, id, bytes.len() as u32);
                        stream.extend(bytes);
                    }
                },
                3..6 => {
                    let front = buffers.front(record);
                    let count = numbers.below(front.len() as u64 + 1) as usize;
                    assert!(front.iter().eq(stream.iter().take(front.len())), "bytes come in order");
                    assert_eq!(front.is_empty(), stream.is_empty());
                    if count > 0 {
                        buffers.consume(record, count);
                        stream.drain(..count);
                    }
                }
                6 if numbers.below(10) == 0 => {
                    buffers.discard(record);
                    stream.clear();
                }
                _ => buffers.offer(),
            }
            let held: usize = (0..CONNECTIONS as Fd).map(|fd| usize::from(fds.at(fd).buffers)).sum();
            assert_eq!(usize::from(buffers.offered) + buffers.spare.len() + held, COUNT.into());
        }
        (0..CONNECTIONS as Fd).for_each(|fd| buffers.discard(fds.at(fd)));
        assert_eq!(usize::from(buffers.offered) + buffers.spare.len(), COUNT.into());
    }
}
