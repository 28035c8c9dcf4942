//! What tools that check memory are told of stacks. They follow a stack by its pointer, and a switch moves that to where
//! they would see the end of a thousand calls.
//!
//! valgrind listens to instructions that do nothing without it, so it is told always. AddressSanitizer is told where
//! nyario is built with it, as `scripts/test-c` does with `--cfg nyario_asan`.

#[cfg(nyario_asan)]
mod asan;
#[cfg(not(nyario_asan))]
#[path = "checkers/nobody.rs"]
mod asan;
mod valgrind;

pub(super) use asan::{arrived, begun, leave, leave_for_ever};

/// Who watches, and how stacks are known there.
pub(super) struct Checkers {
    valgrind: bool,
}

impl Checkers {
    pub(super) fn new() -> Checkers {
        Checkers { valgrind: valgrind::runs() }
    }

    /// There is a new stack, unused as yet, with its guard below. `known` is for [`forget`](Self::forget).
    ///
    /// A search for leaks would read the guard word by word, and take a fault for each.
    #[cold]
    pub(super) fn learn(&self, known: &mut Vec<usize>, low: usize, size: usize, guard: usize) {
        if self.valgrind {
            known.push(valgrind::register(low, size));
        }
        self.shut(low - guard, guard + size);
    }

    /// The memory of all these stacks goes back to the kernel, which may give it to somebody else.
    #[cold]
    pub(super) fn forget(&self, known: &[usize], memory: impl Iterator<Item = (usize, usize)>) {
        known.iter().for_each(|&id| valgrind::deregister(id));
        memory.for_each(|(at, size)| self.open(at, size));
    }

    /// A fiber is about to have the stack; what was there before means nothing.
    #[inline]
    pub(super) fn open(&self, low: usize, size: usize) {
        if self.valgrind {
            valgrind::undefined(low, size);
        }
        asan::unpoison(low, size);
    }

    /// Nobody may touch the stack any more.
    #[inline]
    pub(super) fn shut(&self, low: usize, size: usize) {
        if self.valgrind {
            valgrind::no_access(low, size);
        }
        asan::poison(low, size);
    }
}
