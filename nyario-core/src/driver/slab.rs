//! The records of all operations under way, in one growing array.

use super::list::{Index, Link, Links, NONE};
use super::op::{Op, OpId, Reason, Record, Request, State};

/// Records are reused last-in-first-out (the warmest first), and each reuse changes the generation, so that a late
/// completion or a stale [`OpId`] meets nothing.
pub(super) struct Slab {
    records: Vec<Record>,
    free: Index,
    /// How many records were ever taken and given back.
    taken: u64,
    given: u64,
    /// The time, as coarse as it is noted when an operation begins: see [`tick`](Self::tick).
    clock: u32,
}

impl Slab {
    pub(super) fn new() -> Slab {
        Slab { records: Vec::with_capacity(64), free: NONE, taken: 0, given: 0, clock: 0 }
    }

    /// Operations that have not been handed out yet.
    pub(super) fn live(&self) -> usize {
        (self.taken - self.given) as usize
    }

    /// Says what time it is, in nanoseconds. Operations that begin from now on note it in their records, where a result is
    /// not yet: in units of 4 ms, which last for half a year.
    pub(super) fn tick(&mut self, now: u64) {
        self.clock = (now >> TICK_BITS) as u32;
    }

    /// How many nanoseconds ago, about, an operation began that has no result yet.
    pub(super) fn age(&self, index: Index) -> u64 {
        u64::from(self.clock.wrapping_sub(self[index].result as u32)) << TICK_BITS
    }

    /// Operations that were ever written down.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    #[inline(always)]
    pub(super) fn insert(&mut self, request: Request, waiter: u64) -> Index {
        self.insert_record(request, waiter).0
    }

    /// Like [`insert`](Self::insert), with the record at hand.
    #[inline(always)]
    pub(super) fn insert_record(&mut self, request: Request, waiter: u64) -> (Index, &mut Record) {
        self.taken += 1;
        if self.free == NONE {
            self.grow();
        }
        let index = self.free;
        let record = &mut self.records[index as usize];
        debug_assert!(record.state == State::Free);
        self.free = record.link.next;
        // Field by field: as a whole it would be read back from the stack in wider pieces than it was just written
        // there, which no processor forwards.
        let Request { ptr, len, fd, events, code } = request;
        record.request.ptr = ptr;
        record.request.len = len;
        record.request.fd = fd;
        record.request.events = events;
        record.request.code = code;
        record.waiter = waiter;
        record.result = self.clock as i32;
        record.link = Link::UNLINKED;
        record.state = State::Waiting;
        record.reason = Reason::None;
        record.polling = false;
        record.vouched = false;
        (index, record)
    }

    #[cold]
    fn grow(&mut self) {
        let index = Index::try_from(self.records.len()).ok().filter(|&i| i != NONE);
        let index = index.expect("fewer than 2^32 - 1 operations are under way");
        self.records.push(Record {
            request: Request::new(Op::Park),
            waiter: 0,
            link: Link::UNLINKED,
            generation: 1,
            timer: NONE,
            result: 0,
            state: State::Free,
            reason: Reason::None,
            polling: false,
            vouched: false,
        });
        self.free = index;
    }

    /// Like [`insert`](Self::insert), naming the operation.
    #[inline(always)]
    pub(super) fn insert_id(&mut self, request: Request, waiter: u64) -> OpId {
        let (index, record) = self.insert_record(request, waiter);
        OpId { index, generation: record.generation }
    }

    #[inline(always)]
    pub(super) fn remove(&mut self, index: Index) {
        let free = self.free;
        let record = &mut self[index];
        debug_assert!(record.state != State::Free && record.timer == NONE);
        record.state = State::Free;
        // Zero is skipped: it belongs to `OpId::NONE`.
        record.generation = (record.generation + 1) & GENERATION_MASK;
        record.generation = record.generation.max(1);
        record.link.next = free;
        self.free = index;
        self.given += 1;
    }

    pub(super) fn id(&self, index: Index) -> OpId {
        OpId { index, generation: self[index].generation }
    }

    /// The record that `id` names, if it still serves that operation.
    pub(super) fn find(&self, id: OpId) -> Option<Index> {
        let record = self.records.get(id.index as usize)?;
        (record.generation == id.generation && record.state != State::Free).then_some(id.index)
    }

    /// Where a record lies, or would.
    #[inline(always)]
    pub(super) fn place(&self, index: Index) -> *const Record {
        self.records.as_ptr().wrapping_add(index as usize)
    }

    /// Who waits for the operation, if the record serves one.
    #[inline(always)]
    pub(super) fn waiter(&self, index: Index) -> Option<u64> {
        let record = self.records.get(index as usize)?;
        (record.state != State::Free).then_some(record.waiter)
    }

    /// The indices of all records that the kernel holds.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = Index> + '_ {
        (0..self.records.len() as Index).filter(|&index| self[index].state == State::InFlight)
    }

    /// The indices of all records whose operation has no result yet.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = Index> + '_ {
        (0..self.records.len() as Index).filter(|&index| matches!(self[index].state, State::InFlight | State::Waiting))
    }
}

/// A tick is about 4 ms, as is that of most coarse clocks.
const TICK_BITS: u32 = 22;

/// A generation shares a word with an index and a tag in io_uring's `user_data`.
pub(super) const GENERATION_MASK: u32 = (1 << 28) - 1;

impl std::ops::Index<Index> for Slab {
    type Output = Record;
    fn index(&self, index: Index) -> &Record {
        &self.records[index as usize]
    }
}

impl std::ops::IndexMut<Index> for Slab {
    fn index_mut(&mut self, index: Index) -> &mut Record {
        &mut self.records[index as usize]
    }
}

impl Links for Slab {
    fn link(&mut self, index: Index) -> &mut Link {
        &mut self[index].link
    }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::Numbers;
    use super::*;

    fn insert(slab: &mut Slab) -> Index {
        slab.insert(Request::new(Op::Park), 0)
    }

    fn remove(slab: &mut Slab, index: Index) {
        slab[index].state = State::Done;
        slab.remove(index);
    }

    #[test]
    fn a_stale_id_meets_nothing() {
        let mut slab = Slab::new();
        let index = insert(&mut slab);
        let id = slab.id(index);
        assert_eq!(slab.find(id), Some(index));
        remove(&mut slab, index);
        assert_eq!(slab.find(id), None);
        assert_eq!(insert(&mut slab), index, "the warmest record is reused first");
        assert_eq!(slab.find(id), None);
        assert_eq!(slab.find(OpId::NONE), None);
    }

    #[test]
    fn the_generation_wraps_past_zero() {
        let mut slab = Slab::new();
        let index = insert(&mut slab);
        slab[index].generation = GENERATION_MASK;
        remove(&mut slab, index);
        insert(&mut slab);
        assert_eq!(slab.id(index).generation, 1);
    }

    /// Records come and go in any order: every name that was ever given out meets its own operation or nothing.
    #[test]
    fn agrees_with_a_map_of_names() {
        let mut numbers = Numbers::new(3);
        let mut slab = Slab::new();
        let mut living: Vec<(OpId, u64)> = Vec::new();
        let mut gone: Vec<OpId> = vec![OpId::NONE];
        for waiter in 0..if cfg!(miri) { 300 } else { 20_000 } {
            // Crowds grow beyond the first allocation, and shrink to nothing.
            let growing = waiter / 200 % 2 == 0;
            if living.is_empty() || numbers.below(8) < if growing { 6 } else { 2 } {
                let id = slab.insert_id(Request::new(Op::Park), waiter);
                assert!(!living.iter().any(|(other, _)| other.index == id.index), "a record serves one at a time");
                living.push((id, waiter));
            } else {
                let (id, _) = living.swap_remove(numbers.below(living.len() as u64) as usize);
                remove(&mut slab, id.index);
                gone.push(id);
            }
            assert_eq!(slab.live(), living.len());
            if waiter % 50 == 0 {
                let mut found: Vec<Index> = slab.unfinished().collect();
                found.sort_unstable();
                let mut named: Vec<Index> = living.iter().map(|(id, _)| id.index).collect();
                named.sort_unstable();
                assert_eq!(found, named);
                for &(id, waiter) in &living {
                    assert_eq!(slab.find(id).map(|index| slab[index].waiter), Some(waiter));
                }
                assert!(gone.iter().all(|&id| slab.find(id).is_none()), "an old name meets nothing");
            }
        }
    }
}
