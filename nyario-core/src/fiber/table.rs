//! Which fibers there are, by a name that stays unique.

use super::control::Fiber;
use crate::driver::OpId;

/// Names a fiber for good; a name is a positive 63-bit number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FiberId(u64);

impl FiberId {
    /// The name as a number, above 0.
    pub fn word(self) -> u64 {
        self.0
    }

    /// The name that [`word`](Self::word) gave.
    pub fn from_word(word: u64) -> FiberId {
        FiberId(word)
    }

    fn index(self) -> usize {
        self.0 as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// How a fiber ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Value(u64),
    Panicked,
}

/// What outlives the fiber's stack: the outcome, for whoever joins.
pub(super) struct Entry {
    generation: u32,
    /// Null once it has ended.
    pub(super) fiber: *mut Fiber,
    pub(super) outcome: Outcome,
    pub(super) detached: bool,
    /// The park of the fiber that waits for this one's end.
    pub(super) joiner: OpId,
    next_free: u32,
}

const NONE: u32 = u32::MAX;

pub(super) struct FiberTable {
    entries: Vec<Entry>,
    free: u32,
    live: usize,
    spawned: u64,
}

impl FiberTable {
    pub(super) fn new() -> FiberTable {
        FiberTable { entries: Vec::new(), free: NONE, live: 0, spawned: 0 }
    }

    /// Fibers that have not ended.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Fibers that there ever were.
    pub(super) fn spawned(&self) -> u64 {
        self.spawned
    }

    pub(super) fn insert(&mut self, fiber: *mut Fiber, detached: bool) -> FiberId {
        self.live += 1;
        self.spawned += 1;
        let index = self.free;
        if index == NONE {
            let entry = Entry {
                generation: 1,
                fiber,
                outcome: Outcome::Value(0),
                detached,
                joiner: OpId::NONE,
                next_free: NONE,
            };
            self.entries.push(entry);
            return FiberId(1 << 32 | (self.entries.len() - 1) as u64);
        }
        let entry = &mut self.entries[index as usize];
        self.free = entry.next_free;
        *entry = Entry {
            generation: entry.generation,
            fiber,
            outcome: Outcome::Value(0),
            detached,
            joiner: OpId::NONE,
            next_free: NONE,
        };
        FiberId(u64::from(entry.generation) << 32 | u64::from(index))
    }

    /// The fiber's entry, until it has been joined or, detached, has ended.
    pub(super) fn get(&mut self, id: FiberId) -> Option<&mut Entry> {
        self.entries.get_mut(id.index()).filter(|entry| entry.generation == id.generation())
    }

    /// Notes the end of a fiber; the park of whoever waits for it is returned.
    pub(super) fn end(&mut self, id: FiberId, outcome: Outcome) -> OpId {
        self.live -= 1;
        let entry = self.get(id).expect("a live fiber has an entry");
        entry.fiber = std::ptr::null_mut();
        entry.outcome = outcome;
        let joiner = entry.joiner;
        if entry.detached {
            self.remove(id);
        }
        joiner
    }

    /// Forgets a fiber that has ended.
    #[inline]
    pub(super) fn remove(&mut self, id: FiberId) {
        let free = self.free;
        let entry = &mut self.entries[id.index()];
        debug_assert!(entry.generation == id.generation(), "removed once");
        // The top bit stays clear, and zero is skipped, so that a name is a positive number in every language.
        entry.generation = (entry.generation + 1) & 0x7fff_ffff;
        entry.generation = entry.generation.max(1);
        entry.next_free = free;
        self.free = id.index() as u32;
    }

    /// The control blocks of all fibers that have not ended.
    pub(super) fn fibers(&self) -> impl Iterator<Item = *mut Fiber> + '_ {
        self.entries.iter().map(|entry| entry.fiber).filter(|fiber| !fiber.is_null())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_reused() {
        let mut table = FiberTable::new();
        let fiber = std::ptr::NonNull::<Fiber>::dangling().as_ptr();
        let first = table.insert(fiber, false);
        table.end(first, Outcome::Value(5));
        assert_eq!(table.get(first).unwrap().outcome, Outcome::Value(5));
        table.remove(first);
        assert!(table.get(first).is_none());
        let second = table.insert(fiber, true);
        assert_eq!(second.index(), first.index());
        assert!(table.get(first).is_none());
        table.end(second, Outcome::Panicked);
        assert!(table.get(second).is_none(), "a detached fiber leaves nothing behind");
        assert_eq!(table.live(), 0);
    }
}
