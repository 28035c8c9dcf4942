//! Elements on their way through a channel.

use crate::sys::Errno;
use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::ptr::null_mut;

/// How many elements there is room for at first.
const ROOM: usize = 16;

/// First in, first out, in memory that grows up to a limit and stays until it is freed; all zeroes when it is empty.
/// Elements are bytes, as many as each call says, always the same number.
#[repr(C)]
pub(super) struct Ring {
    elements: Cell<*mut u8>,
    room: Cell<usize>,
    first: Cell<usize>,
    len: Cell<usize>,
}

impl Ring {
    pub(super) const fn new() -> Ring {
        Ring { elements: Cell::new(null_mut()), room: Cell::new(0), first: Cell::new(0), len: Cell::new(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    /// Takes a copy of an element in; there are fewer than `limit`.
    ///
    /// # Safety
    ///
    /// `element` is valid for reads of `size` bytes.
    pub(super) unsafe fn push(&self, element: *const u8, size: usize, limit: usize) -> Result<(), Errno> {
        if size > 0 {
            if self.len.get() == self.room.get() {
                self.grow(size, limit)?;
            }
            // SAFETY: the place is within the memory and serves no other element.
            unsafe { self.place(self.len.get(), size).copy_from_nonoverlapping(element, size) };
        }
        self.len.set(self.len.get() + 1);
        Ok(())
    }

    /// Moves the oldest element out; there is one.
    ///
    /// # Safety
    ///
    /// `element` is valid for writes of `size` bytes.
    pub(super) unsafe fn pop(&self, element: *mut u8, size: usize) {
        if size > 0 {
            // SAFETY: the first element is there.
            unsafe { element.copy_from_nonoverlapping(self.place(0, size), size) };
            self.first.set((self.first.get() + 1) % self.room.get());
        }
        self.len.set(self.len.get() - 1);
    }

    /// Where the element of that number lies, from the oldest on.
    fn place(&self, number: usize, size: usize) -> *mut u8 {
        self.elements.get().wrapping_add((self.first.get() + number) % self.room.get() * size)
    }

    fn grow(&self, size: usize, limit: usize) -> Result<(), Errno> {
        let room = (self.room.get() * 2).max(ROOM).min(limit);
        let elements = match layout(room, size) {
            // SAFETY: neither the size nor the room is zero.
            Some(layout) => unsafe { alloc(layout) },
            None => null_mut(),
        };
        if elements.is_null() {
            return Err(Errno(libc::ENOMEM));
        }
        let (len, first) = (self.len.get(), self.first.get());
        let unbroken = len.min(self.room.get() - first);
        // SAFETY: the old memory is full, from the first element to its end and from there to the first, and the new has
        // room for more.
        unsafe {
            elements.copy_from_nonoverlapping(self.elements.get().wrapping_add(first * size), unbroken * size);
            let rest = elements.add(unbroken * size);
            rest.copy_from_nonoverlapping(self.elements.get(), (len - unbroken) * size);
        }
        self.free(size);
        self.elements.set(elements);
        self.room.set(room);
        self.first.set(0);
        self.len.set(len);
        Ok(())
    }

    /// Drops what is in it, and its memory.
    pub(super) fn free(&self, size: usize) {
        if let Some(layout) = layout(self.room.get(), size)
            && !self.elements.get().is_null()
        {
            // SAFETY: it was allocated with that layout.
            unsafe { dealloc(self.elements.get(), layout) };
        }
        self.elements.set(null_mut());
        self.room.set(0);
        self.first.set(0);
        self.len.set(0);
    }
}

fn layout(room: usize, size: usize) -> Option<Layout> {
    Layout::array::<u8>(room.checked_mul(size)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::numbers::Numbers;
    use std::collections::VecDeque;

    #[test]
    fn agrees_with_a_deque() {
        let mut numbers = Numbers::new(9);
        for (size, limit) in [(8, 100), (3, 1), (1, 17), (0, 50)] {
            let (ring, mut model) = (Ring::new(), VecDeque::new());
            for step in 0..if cfg!(miri) { 300 } else { 10_000u64 } {
                let bytes = step.to_le_bytes();
                if model.len() < limit && numbers.below(100) < 50 + step / 100 % 2 * 10 {
                    // SAFETY: eight bytes are lent, of which no more are asked for.
                    unsafe { ring.push(bytes.as_ptr(), size, limit) }.unwrap();
                    model.push_back(bytes);
                } else if let Some(expected) = model.pop_front() {
                    let mut found = [0; 8];
                    // SAFETY: as above.
                    unsafe { ring.pop(found.as_mut_ptr(), size) };
                    assert_eq!(found[..size], expected[..size]);
                }
                assert_eq!(ring.len(), model.len());
            }
            ring.free(size);
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        let ring = Ring::new();
        // SAFETY: it is refused before it is read.
        let pushed = unsafe { ring.push([0].as_ptr(), usize::MAX / 2, usize::MAX) };
        assert_eq!((pushed, ring.len()), (Err(Errno(libc::ENOMEM)), 0));
    }
}
