//! Stacks: reserved by the slab, guarded, touched on demand, reused warm.
//!
//! ```text
//!   one slab, one mapping:  | guard | stack 0 ..... top | guard | stack 1 ..... top | ...
//!                             ^ faults        <--- grows          ^ faults
//! ```
//!
//! Only pages that a fiber has touched cost memory. A stack that is given back keeps them and is the next to be
//! handed out; those that a whole sweep interval had no use for give them up.

use crate::sys::{Errno, Kernel, check};

/// What a fiber can use: generous, as only touched pages cost memory.
pub(crate) const STACK_SIZE: usize = 256 * 1024;

/// C code may move its stack pointer far without touching what it skips, so the guard is wide; it costs address space.
const GUARD_SIZE: usize = 64 * 1024;

const STRIDE: usize = STACK_SIZE + GUARD_SIZE;

/// Stacks in one mapping.
const SLAB: usize = 32;

/// Tops are moved down by a multiple of this, so that the hottest lines of all fibers do not fall into one cache set.
const STAGGER: usize = 64;
const STAGGERS: usize = 16;

/// `MADV_GUARD_INSTALL`, since Linux 6.13: pages that fault without a mapping of their own.
const MADV_GUARD_INSTALL: i32 = 102;

/// How many stacks one sweep trims.
const TRIM: usize = 64;

/// A stack that is in use, from guard to top.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The lowest usable address, above the guard.
    low: usize,
    /// The highest address, from which the stack grows down.
    top: usize,
}

impl Slot {
    /// Where something of so many `bytes` lies at its top; the stack grows down from there.
    pub(super) fn below(self, bytes: usize) -> *mut u8 {
        ((self.top - bytes) & !(ALIGN - 1)) as *mut u8
    }

    /// Whether the address lies in the guard below.
    pub(super) fn guards(self, addr: usize) -> bool {
        (self.low - GUARD_SIZE..self.low).contains(&addr)
    }
}

/// Fits every architecture's ABI and keeps a control block on cache lines of its own.
pub(super) const ALIGN: usize = 64;

/// The stacks of one loop.
pub(super) struct StackPool<K: Kernel> {
    kernel: K,
    slabs: Vec<usize>,
    /// Stacks nobody uses; the warmest last.
    free: Vec<Slot>,
    /// The fewest that were free since the last trim: nobody needed those.
    idle: usize,
    /// How many of the coldest have given their memory up already.
    trimmed: usize,
}

impl<K: Kernel> StackPool<K> {
    pub(super) fn new(kernel: K) -> StackPool<K> {
        StackPool { kernel, slabs: Vec::new(), free: Vec::new(), idle: 0, trimmed: 0 }
    }

    pub(super) fn take(&mut self) -> Result<Slot, Errno> {
        if self.free.is_empty() {
            self.grow()?;
        }
        let slot = self.free.pop().expect("a slab has stacks");
        self.idle = self.idle.min(self.free.len());
        self.trimmed = self.trimmed.min(self.free.len());
        Ok(slot)
    }

    pub(super) fn give(&mut self, slot: Slot) {
        self.free.push(slot);
    }

    fn grow(&mut self) -> Result<(), Errno> {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let flags = flags | libc::MAP_NORESERVE | libc::MAP_STACK;
        // SAFETY: a fresh anonymous mapping.
        let slab = unsafe { self.kernel.mmap(SLAB * STRIDE, prot, flags, -1, 0) };
        if (-4095..0).contains(&slab) {
            return Err(Errno(-slab as i32));
        }
        let slab = slab as usize;
        // One huge page would turn a touched stack of 4 KiB into 2 MiB; not all kernels have them.
        // SAFETY: the mapping is ours and unused.
        unsafe { self.kernel.madvise(slab as *mut u8, SLAB * STRIDE, libc::MADV_NOHUGEPAGE) };
        self.slabs.push(slab);
        for index in 0..SLAB {
            self.guard(slab + index * STRIDE)?;
        }
        let slots = (0..SLAB).rev().map(|index| {
            let low = slab + index * STRIDE + GUARD_SIZE;
            staggered(Slot { low, top: low + STACK_SIZE })
        });
        self.free.extend(slots);
        Ok(())
    }

    fn guard(&self, addr: usize) -> Result<(), Errno> {
        // SAFETY: the guard's pages are ours and no stack reaches into them.
        unsafe {
            if self.kernel.madvise(addr as *mut u8, GUARD_SIZE, MADV_GUARD_INSTALL) == 0 {
                return Ok(());
            }
            check(self.kernel.mprotect(addr as *mut u8, GUARD_SIZE, libc::PROT_NONE)).map(drop)
        }
    }

    /// Whether stacks lie about that a trim would take the memory of.
    pub(super) fn wants_trimming(&self) -> bool {
        self.free.len() > self.trimmed
    }

    /// Gives back the memory of some of the stacks that nobody has needed since the last call.
    pub(super) fn trim(&mut self) {
        let end = self.idle.min(self.trimmed + TRIM);
        for slot in &self.free[self.trimmed.min(end)..end] {
            // SAFETY: the stack is unused; its next user finds zeroes.
            unsafe { self.kernel.madvise(slot.low as *mut u8, STACK_SIZE, libc::MADV_DONTNEED) };
        }
        self.trimmed = self.trimmed.max(end);
        self.idle = self.free.len();
    }
}

impl<K: Kernel> Drop for StackPool<K> {
    fn drop(&mut self) {
        if self.free.len() != self.slabs.len() * SLAB {
            // A fiber that ignored every cancel still has its frames there; they stay rather than dangle.
            return;
        }
        for &slab in &self.slabs {
            // SAFETY: every stack has been given back.
            unsafe { self.kernel.munmap(slab as *mut u8, SLAB * STRIDE) };
        }
    }
}

fn staggered(slot: Slot) -> Slot {
    let turn = slot.low / STRIDE % STAGGERS;
    Slot { low: slot.low, top: slot.top - turn * STAGGER }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Linux;

    #[test]
    fn stacks_are_apart_writable_and_reused_warm() {
        let mut pool = StackPool::new(Linux);
        let slots: Vec<Slot> = (0..SLAB + 1).map(|_| pool.take().unwrap()).collect();
        assert_eq!(pool.slabs.len(), 2);
        for (index, slot) in slots.iter().enumerate() {
            let (low, top) = (slot.low as *mut u8, (slot.top - 1) as *mut u8);
            // SAFETY: both ends of a stack that is ours.
            unsafe { (low.write(index as u8), top.write(index as u8)) };
        }
        for (index, slot) in slots.iter().enumerate() {
            // SAFETY: as above.
            assert_eq!(unsafe { (slot.low as *const u8).read() }, index as u8);
        }
        let last = slots[3];
        slots.iter().for_each(|&slot| pool.give(slot));
        pool.give(pool.free[3]);
        pool.free.pop();
        let warmest = pool.free.last().unwrap().low;
        assert_eq!(pool.take().unwrap().low, warmest);
        assert_ne!(last.low, 0);
    }

    #[test]
    fn a_trim_takes_what_nobody_needed() {
        let mut pool = StackPool::new(Linux);
        let slots: Vec<Slot> = (0..8).map(|_| pool.take().unwrap()).collect();
        for slot in &slots {
            // SAFETY: the stack is ours.
            unsafe { ((slot.top - 8) as *mut u8).write(7) };
        }
        slots.iter().for_each(|&slot| pool.give(slot));
        // One is in use between the two trims, so it is warm and stays.
        pool.trim();
        let used = pool.take().unwrap();
        pool.give(used);
        while pool.trimmed < pool.idle.min(pool.free.len() - 1) {
            pool.trim();
            let again = pool.take().unwrap();
            pool.give(again);
        }
        let byte = |slot: &Slot| {
            // SAFETY: the stack is unused and mapped.
            unsafe { ((slot.top - 8) as *const u8).read() }
        };
        assert_eq!(byte(&used), 7);
        assert!(pool.free.iter().filter(|slot| slot.low != used.low).all(|slot| byte(slot) == 0));
    }

    #[test]
    fn a_guard_faults() {
        let mut pool = StackPool::new(Linux);
        let slot = pool.take().unwrap();
        let fd = Linux.eventfd();
        // Writing from the guard asks the kernel to read it, which answers EFAULT where a load would be fatal.
        let iov = libc::iovec { iov_base: (slot.low - 8) as *mut _, iov_len: 8 };
        // SAFETY: the kernel checks the address.
        let result = unsafe { Linux.writev(fd, &iov, 1, 0) };
        Linux.close(fd);
        assert_eq!(result, -(libc::EFAULT as isize));
    }
}
