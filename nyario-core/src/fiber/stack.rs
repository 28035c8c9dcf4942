//! Stacks: reserved by the slab, guarded, touched on demand, reused warm.
//!
//! ```text
//!   one slab, one mapping:  | guard | stack 0 ..... top | guard | stack 1 ..... top | ...
//!                             ^ faults        <--- grows          ^ faults
//! ```
//!
//! Only pages that a fiber has touched cost memory. A stack that is given back keeps them and is the next to be
//! handed out; those that a whole sweep interval had no use for give them up. Sizes are powers of two, and each has
//! slabs of its own.
//!
//! Where guards are pages that fault without a mapping of their own (Linux 6.13), neighbouring slabs are one mapping to
//! the kernel, however many stacks there are. On older kernels a guard is a mapping, as is the stack above it, and
//! `vm.max_map_count` bounds the fibers of a process, to 32,000 if nobody has raised it.

use super::checkers::Checkers;
use crate::sys::{Errno, Kernel, check, portable};

/// What a fiber can use unless it asks for something else: generous, as only touched pages cost memory.
pub(super) const STACK_SIZE: usize = 256 * 1024;

/// The least that a fiber can ask for: what runs on it has to fit, and what a signal's handler needs.
pub(super) const STACK_LEAST: usize = 16 * 1024;

/// The most that a fiber can ask for.
pub(super) const STACK_MOST: usize = 64 * 1024 * 1024;

/// C code may move its stack pointer far without touching what it skips, so the guard is wide; it costs address space.
const GUARD_SIZE: usize = 64 * 1024;

/// Stacks in one mapping, unless they are so large that fewer do.
const SLAB: usize = 32;

/// Tops are moved down by a multiple of this.
const STAGGER: usize = 64;
const STAGGERS: usize = 16;

const CLASS_BITS: u32 = 4;
const CLASS_MASK: usize = (1 << CLASS_BITS) - 1;

/// `MADV_GUARD_INSTALL`, since Linux 6.13: pages that fault without a mapping of their own.
const MADV_GUARD_INSTALL: i32 = 102;

/// How many stacks of a size one sweep trims.
const TRIM: usize = 64;

/// One of the sizes that stacks come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Class(u8);

impl Class {
    const COUNT: usize = (STACK_MOST / STACK_LEAST).ilog2() as usize + 1;

    /// The least size that has so many bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` for fewer than [`STACK_LEAST`] or more than [`STACK_MOST`].
    pub(super) fn holding(bytes: usize) -> Result<Class, Errno> {
        if !(STACK_LEAST..=STACK_MOST).contains(&bytes) {
            return Err(Errno(libc::EINVAL));
        }
        Ok(Class((bytes.next_power_of_two() / STACK_LEAST).ilog2() as u8))
    }

    fn size(self) -> usize {
        STACK_LEAST << self.0
    }

    fn stride(self) -> usize {
        self.size() + GUARD_SIZE
    }

    /// Stacks in one mapping.
    fn per_slab(self) -> usize {
        (SLAB * STACK_SIZE / self.size()).clamp(1, SLAB)
    }
}

impl Default for Class {
    fn default() -> Class {
        const { Class((STACK_SIZE / STACK_LEAST).ilog2() as u8) }
    }
}

/// A stack that is in use, from guard to top.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The lowest usable address, above the guard; its class is in the lowest bits, which a page has to spare.
    low_and_class: usize,
    /// The highest address, from which the stack grows down.
    top: usize,
}

impl Slot {
    fn new(low: usize, class: Class) -> Slot {
        const { assert!(Class::COUNT < 1 << CLASS_BITS) };
        debug_assert_eq!(low & CLASS_MASK, 0);
        // Staggered, so that the hottest lines of all fibers do not fall into one cache set.
        let turn = low / class.stride() % STAGGERS;
        Slot { low_and_class: low | usize::from(class.0), top: low + class.size() - turn * STAGGER }
    }

    /// Where something of so many `bytes` lies at its top; the stack grows down from there.
    pub(super) fn below(self, bytes: usize) -> *mut u8 {
        ((self.top - bytes) & !(ALIGN - 1)) as *mut u8
    }

    /// Whether the address lies in the guard below.
    pub(super) fn guards(self, addr: usize) -> bool {
        (self.low() - GUARD_SIZE..self.low()).contains(&addr)
    }

    /// The lowest address that can be used.
    pub(super) fn low(self) -> usize {
        self.low_and_class & !CLASS_MASK
    }

    /// Its size, what staggering takes included.
    pub(super) fn size(self) -> usize {
        self.class().size()
    }

    fn class(self) -> Class {
        Class((self.low_and_class & CLASS_MASK) as u8)
    }
}

/// Fits every architecture's ABI and keeps a control block on cache lines of its own.
pub(super) const ALIGN: usize = 64;

/// The stacks of one loop.
pub(super) struct StackPool<K: Kernel> {
    kernel: K,
    shelves: [Shelf; Class::COUNT],
    /// How many stacks lie about that a trim would take the memory of.
    warm: usize,
    checkers: Checkers,
}

/// The stacks of one size.
#[derive(Default)]
struct Shelf {
    slabs: Vec<usize>,
    /// Its stacks as checkers know them.
    known: Vec<usize>,
    /// Stacks nobody uses; the warmest last.
    free: Vec<Slot>,
    /// The fewest that were free since the last trim: nobody needed those.
    idle: usize,
    /// How many of the coldest have given their memory up already.
    trimmed: usize,
}

impl<K: Kernel> StackPool<K> {
    pub(super) fn new(kernel: K) -> StackPool<K> {
        StackPool { kernel, shelves: Default::default(), warm: 0, checkers: Checkers::new() }
    }

    #[inline]
    pub(super) fn take(&mut self, class: Class) -> Result<Slot, Errno> {
        if self.shelves[class.0 as usize].free.is_empty() {
            self.grow(class)?;
        }
        let shelf = &mut self.shelves[class.0 as usize];
        let slot = shelf.free.pop().expect("a slab has stacks");
        shelf.idle = shelf.idle.min(shelf.free.len());
        if shelf.trimmed > shelf.free.len() {
            shelf.trimmed -= 1;
        } else {
            self.warm -= 1;
        }
        self.checkers.open(slot.low(), slot.size());
        Ok(slot)
    }

    #[inline]
    pub(super) fn give(&mut self, slot: Slot) {
        self.checkers.shut(slot.low(), slot.size());
        self.shelves[slot.class().0 as usize].free.push(slot);
        self.warm += 1;
    }

    #[cold]
    fn grow(&mut self, class: Class) -> Result<(), Errno> {
        let (stride, count) = (class.stride(), class.per_slab());
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let flags = flags | portable::MAP_NORESERVE | portable::MAP_STACK;
        // SAFETY: a fresh anonymous mapping.
        let slab = unsafe { self.kernel.mmap(count * stride, prot, flags, -1, 0) };
        if (-4095..0).contains(&slab) {
            return Err(Errno(-slab as i32));
        }
        let slab = slab as usize;
        // One huge page would turn a touched stack of 4 KiB into 2 MiB; not all kernels have them.
        // SAFETY: the mapping is ours and unused.
        unsafe { self.kernel.madvise(slab as *mut u8, count * stride, portable::MADV_NOHUGEPAGE) };
        for index in 0..count {
            if let Err(error) = self.guard(slab + index * stride) {
                // SAFETY: as above.
                unsafe { self.kernel.munmap(slab as *mut u8, count * stride) };
                return Err(error);
            }
        }
        let shelf = &mut self.shelves[class.0 as usize];
        shelf.slabs.push(slab);
        for index in 0..count {
            let low = slab + index * stride + GUARD_SIZE;
            self.checkers.learn(&mut shelf.known, low, class.size(), GUARD_SIZE);
        }
        let slots = (0..count).rev().map(|index| {
            let low = slab + index * stride + GUARD_SIZE;
            Slot::new(low, class)
        });
        shelf.free.extend(slots);
        self.warm += count;
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

    /// How many stacks are mapped, and how many of them nobody uses.
    pub(super) fn counts(&self) -> (u64, u64) {
        let mapped =
            self.shelves.iter().zip((0..).map(Class)).map(|(shelf, class)| shelf.slabs.len() * class.per_slab());
        let free = self.shelves.iter().map(|shelf| shelf.free.len());
        (mapped.sum::<usize>() as u64, free.sum::<usize>() as u64)
    }

    /// Whether stacks lie about that a trim would take the memory of.
    pub(super) fn wants_trimming(&self) -> bool {
        self.warm > 0
    }

    /// Gives back the memory of some of the stacks that nobody has needed since the last call.
    pub(super) fn trim(&mut self) {
        for shelf in &mut self.shelves {
            let end = shelf.idle.min(shelf.trimmed + TRIM);
            for slot in &shelf.free[shelf.trimmed.min(end)..end] {
                // SAFETY: the stack is unused; its next user finds zeroes.
                unsafe { self.kernel.madvise(slot.low() as *mut u8, slot.size(), libc::MADV_DONTNEED) };
            }
            self.warm -= end.saturating_sub(shelf.trimmed);
            shelf.trimmed = shelf.trimmed.max(end);
            shelf.idle = shelf.free.len();
        }
    }
}

impl<K: Kernel> Drop for StackPool<K> {
    fn drop(&mut self) {
        for (shelf, class) in self.shelves.iter().zip((0..).map(Class)) {
            if shelf.free.len() != shelf.slabs.len() * class.per_slab() {
                // A fiber that ignored every cancel still has its frames there; they stay rather than dangle.
                continue;
            }
            let size = class.per_slab() * class.stride();
            self.checkers.forget(&shelf.known, shelf.slabs.iter().map(|&slab| (slab, size)));
            for &slab in &shelf.slabs {
                // SAFETY: every stack has been given back.
                unsafe { self.kernel.munmap(slab as *mut u8, size) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Linux;

    /// Where stacks of the usual size lie.
    fn shelf(pool: &StackPool<Linux>) -> &Shelf {
        &pool.shelves[Class::default().0 as usize]
    }

    #[test]
    fn sizes_are_rounded_up_and_bounded() {
        assert_eq!(Class::holding(STACK_SIZE), Ok(Class::default()));
        let sizes = [1, 16 << 10, (16 << 10) + 1, 100_000, STACK_SIZE, 1 << 20, 64 << 20, (64 << 20) + 1, usize::MAX];
        let held = sizes.map(|bytes| Class::holding(bytes).map(Class::size));
        let refused = Err(Errno(libc::EINVAL));
        let wanted = [16, 32, 128, 256, 1024, 64 << 10].map(|kib| Ok(kib << 10));
        assert_eq!(held[1..7], wanted);
        assert_eq!([held[0], held[7], held[8]], [refused; 3]);
    }

    #[test]
    fn each_size_has_its_own_stacks() {
        let mut pool = StackPool::new(Linux);
        let classes = || (0..Class::COUNT as u8).map(Class);
        for class in classes() {
            let slot = pool.take(class).unwrap();
            assert_eq!((slot.size(), slot.class()), (class.size(), class));
            for addr in [slot.low(), slot.top - 1] {
                // SAFETY: both ends of a stack that is ours.
                unsafe { (addr as *mut u8).write(7) };
            }
            assert!(slot.guards(slot.low() - 1) && slot.guards(slot.low() - GUARD_SIZE));
            assert!(!slot.guards(slot.low()) && !slot.guards(slot.low() - GUARD_SIZE - 1));
            pool.give(slot);
            assert_eq!(pool.take(class).unwrap().low(), slot.low(), "the warmest is the next");
            pool.give(slot);
        }
        for _ in 0..4 {
            pool.trim();
        }
        assert!(!pool.wants_trimming(), "stacks of every size are trimmed");
        let slot = pool.take(Class::default()).unwrap();
        assert!(!pool.wants_trimming());
        pool.give(slot);
        assert!(pool.wants_trimming());
    }

    #[test]
    fn stacks_are_apart_writable_and_reused_warm() {
        let mut pool = StackPool::new(Linux);
        let slots: Vec<Slot> = (0..SLAB + 1).map(|_| pool.take(Class::default()).unwrap()).collect();
        assert_eq!(shelf(&pool).slabs.len(), 2);
        for (index, slot) in slots.iter().enumerate() {
            let (low, top) = (slot.low() as *mut u8, (slot.top - 1) as *mut u8);
            // SAFETY: both ends of a stack that is ours.
            unsafe { (low.write(index as u8), top.write(index as u8)) };
        }
        for (index, slot) in slots.iter().enumerate() {
            // SAFETY: as above.
            assert_eq!(unsafe { (slot.low() as *const u8).read() }, index as u8);
        }
        slots.iter().for_each(|&slot| pool.give(slot));
        let warmest = shelf(&pool).free.last().unwrap().low();
        assert_eq!(pool.take(Class::default()).unwrap().low(), warmest);
    }

    #[test]
    fn a_trim_takes_what_nobody_needed() {
        let mut pool = StackPool::new(Linux);
        let slots: Vec<Slot> = (0..8).map(|_| pool.take(Class::default()).unwrap()).collect();
        for slot in &slots {
            // SAFETY: the stack is ours.
            unsafe { ((slot.top - 8) as *mut u8).write(7) };
        }
        slots.iter().for_each(|&slot| pool.give(slot));
        // One is in use between the two trims, so it is warm and stays.
        pool.trim();
        let used = pool.take(Class::default()).unwrap();
        pool.give(used);
        while shelf(&pool).trimmed < shelf(&pool).idle.min(shelf(&pool).free.len() - 1) {
            pool.trim();
            let again = pool.take(Class::default()).unwrap();
            pool.give(again);
        }
        let byte = |slot: &Slot| {
            // SAFETY: the stack is unused and mapped.
            unsafe { ((slot.top - 8) as *const u8).read() }
        };
        assert_eq!(byte(&used), 7);
        assert!(shelf(&pool).free.iter().filter(|slot| slot.low() != used.low()).all(|slot| byte(slot) == 0));
    }

    #[test]
    fn a_guard_faults() {
        let mut pool = StackPool::new(Linux);
        let slot = pool.take(Class::default()).unwrap();
        let fd = Linux.eventfd();
        // Writing from the guard asks the kernel to read it, which answers EFAULT where a load would be fatal.
        let iov = libc::iovec { iov_base: (slot.low() - 8) as *mut _, iov_len: 8 };
        // SAFETY: the kernel checks the address.
        let result = unsafe { Linux.writev(fd, &iov, 1, 0) };
        Linux.close(fd);
        assert_eq!(result, -(libc::EFAULT as isize));
    }
}
