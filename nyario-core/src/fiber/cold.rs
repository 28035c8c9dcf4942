//! What only some fibers have: it lies behind one pointer in the control block, and those that have nothing of it pay
//! nothing for it.

use super::callback::Callback;
use super::keys::Values;
use super::name::Name;

/// The seldom parts of a fiber.
#[derive(Default)]
pub(super) struct Cold {
    pub(super) name: Name,
    /// What is to be called at its end, the last first.
    pub(super) cleanup: Vec<Callback>,
    pub(super) values: Values,
}

/// How many are kept for the next fibers that want one.
const KEPT: usize = 256;

/// Those that nobody has any more, so that a loop whose fibers come and go with theirs asks for no memory.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "a control block points to it, so it must not move")]
pub(super) struct Spare(Vec<Box<Cold>>);

impl Spare {
    /// One for a fiber that had none.
    pub(super) fn take(&mut self) -> *mut Cold {
        Box::into_raw(self.0.pop().unwrap_or_default())
    }

    /// Takes one back from a fiber that has ended; null is nothing.
    ///
    /// # Safety
    ///
    /// It must have come from [`take`](Self::take), and nobody may use it any more.
    #[inline]
    pub(super) unsafe fn give(&mut self, cold: *mut Cold) {
        if !cold.is_null() {
            // SAFETY: forwarded from the caller.
            unsafe { self.keep(cold) }
        }
    }

    #[cold]
    unsafe fn keep(&mut self, cold: *mut Cold) {
        // SAFETY: forwarded from the caller.
        let mut cold = unsafe { Box::from_raw(cold) };
        if self.0.len() < KEPT {
            cold.name = Name::default();
            debug_assert!(cold.cleanup.is_empty(), "a fiber that has ended has cleaned up");
            cold.values.clear();
            self.0.push(cold);
        }
    }
}
