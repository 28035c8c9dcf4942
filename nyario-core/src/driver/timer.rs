//! Deadlines, earliest first.
//!
//! A 4-ary heap (after Johnson's d-heaps, 1975): shallower than a binary one, and the four children that a step down
//! compares share a cache line. Each entry's place is written back to its operation, so cancelling needs no search.

use super::list::{Index, NONE};

/// One armed deadline.
#[derive(Clone, Copy, Debug)]
struct Entry {
    when: u64,
    op: Index,
}

/// Where the heap writes an operation's place in it.
pub(super) trait Places {
    fn place(&mut self, op: Index) -> &mut Index;
}

pub(super) struct Timers {
    heap: Vec<Entry>,
}

const ARITY: usize = 4;

impl Timers {
    pub(super) fn new() -> Timers {
        Timers { heap: Vec::new() }
    }

    /// When the earliest deadline falls due, in nanoseconds of the kernel's monotonic clock.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.heap.first().map(|entry| entry.when)
    }

    /// How many deadlines are armed.
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    #[inline]
    pub(super) fn insert(&mut self, places: &mut impl Places, op: Index, when: u64) {
        debug_assert!(*places.place(op) == NONE, "an operation has one deadline");
        let at = self.heap.len();
        self.heap.push(Entry { when, op });
        // Most deadlines are later than those before them.
        if at > 0 && self.heap[(at - 1) / ARITY].when > when {
            self.rise(places, at);
        } else {
            *places.place(op) = at as Index;
        }
    }

    /// Takes out the operation's deadline, if it has one.
    #[inline]
    pub(super) fn remove(&mut self, places: &mut impl Places, op: Index) {
        let place = std::mem::replace(places.place(op), NONE);
        if place == NONE {
            return;
        }
        let last = self.heap.pop().expect("an armed operation is in the heap");
        if (place as usize) < self.heap.len() {
            self.fill(places, place as usize, last);
        }
    }

    /// Gives a place that has become free to the entry that was the last.
    fn fill(&mut self, places: &mut impl Places, place: usize, last: Entry) {
        let up = last.when < self.heap[place].when;
        self.heap[place] = last;
        if up { self.rise(places, place) } else { self.sink(places, place) }
    }

    /// Takes out one operation whose deadline has come.
    pub(super) fn expire(&mut self, places: &mut impl Places, now: u64) -> Option<Index> {
        let first = *self.heap.first()?;
        (first.when <= now).then(|| {
            self.remove(places, first.op);
            first.op
        })
    }

    fn rise(&mut self, places: &mut impl Places, mut at: usize) {
        let entry = self.heap[at];
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if self.heap[parent].when <= entry.when {
                break;
            }
            self.settle(places, at, self.heap[parent]);
            at = parent;
        }
        self.settle(places, at, entry);
    }

    fn sink(&mut self, places: &mut impl Places, mut at: usize) {
        let entry = self.heap[at];
        loop {
            let children = at * ARITY + 1;
            let end = (children + ARITY).min(self.heap.len());
            let Some(child) = (children..end).min_by_key(|&child| self.heap[child].when) else { break };
            if entry.when <= self.heap[child].when {
                break;
            }
            self.settle(places, at, self.heap[child]);
            at = child;
        }
        self.settle(places, at, entry);
    }

    fn settle(&mut self, places: &mut impl Places, at: usize, entry: Entry) {
        self.heap[at] = entry;
        *places.place(entry.op) = at as Index;
    }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::Numbers;
    use super::*;

    impl Places for Vec<Index> {
        fn place(&mut self, op: Index) -> &mut Index {
            &mut self[op as usize]
        }
    }

    #[test]
    fn agrees_with_a_sorted_list_under_random_arming_cancelling_and_expiry() {
        const OPS: u64 = 200;
        let mut numbers = Numbers::new(42);
        let mut timers = Timers::new();
        let mut places = vec![NONE; OPS as usize];
        let mut model: Vec<(u64, Index)> = Vec::new();
        let mut now = 0;
        for _ in 0..if cfg!(miri) { 400 } else { 100_000 } {
            let op = numbers.below(OPS) as Index;
            match numbers.below(4) {
                0 | 1 if places[op as usize] == NONE => {
                    let when = now + numbers.below(1000);
                    timers.insert(&mut places, op, when);
                    model.push((when, op));
                }
                2 => {
                    timers.remove(&mut places, op);
                    model.retain(|&(_, other)| other != op);
                }
                _ => {
                    now += numbers.below(20);
                    while let Some(op) = timers.expire(&mut places, now) {
                        let earliest = model.iter().map(|&(when, _)| when).min().unwrap();
                        let at = model.iter().position(|&(_, other)| other == op).unwrap();
                        assert_eq!(model.swap_remove(at).0, earliest);
                        assert_eq!(places[op as usize], NONE);
                    }
                    assert!(model.iter().all(|&(when, _)| when > now), "none is left behind");
                }
            }
            assert_eq!(timers.earliest(), model.iter().map(|&(when, _)| when).min());
        }
    }
}
