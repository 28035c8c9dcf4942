//! Doubly linked lists whose links lie in the records themselves: joining, leaving and taking the first cost a few
//! instructions and no allocation.

/// The place of a record in its slab.
pub(crate) type Index = u32;

/// Stands for no record.
pub(crate) const NONE: Index = u32::MAX;

/// What a record carries to be in a list; it can be in one at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) next: Index,
    pub(crate) prev: Index,
}

impl Link {
    pub(crate) const UNLINKED: Link = Link { next: NONE, prev: NONE };
}

/// Gives a list access to the links.
pub(crate) trait Links {
    fn link(&mut self, index: Index) -> &mut Link;
}

/// The two ends of a first-in-first-out list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    head: Index,
    tail: Index,
}

impl List {
    pub(crate) const EMPTY: List = List { head: NONE, tail: NONE };

    /// A list of one record, which must be in no other.
    pub(crate) fn single(index: Index) -> List {
        List { head: index, tail: index }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// Whether there is just one.
    pub(crate) fn is_single(&self) -> bool {
        self.head == self.tail && self.head != NONE
    }

    pub(crate) fn first(&self) -> Index {
        self.head
    }

    pub(crate) fn push(&mut self, links: &mut impl Links, index: Index) {
        *links.link(index) = Link { next: NONE, prev: self.tail };
        if self.tail == NONE {
            self.head = index;
        } else {
            links.link(self.tail).next = index;
        }
        self.tail = index;
    }

    pub(crate) fn pop(&mut self, links: &mut impl Links) -> Index {
        let index = self.head;
        if index != NONE {
            self.remove(links, index);
        }
        index
    }

    /// Takes out a record, which must be in this list.
    pub(crate) fn remove(&mut self, links: &mut impl Links, index: Index) {
        let Link { next, prev } = std::mem::replace(links.link(index), Link::UNLINKED);
        if self.head == index && self.tail == index {
            *self = List::EMPTY;
            return;
        }
        if prev == NONE {
            debug_assert_eq!(self.head, index, "removed from a list that it is not in");
            self.head = next;
        } else {
            links.link(prev).next = next;
        }
        if next == NONE {
            debug_assert_eq!(self.tail, index, "removed from a list that it is not in");
            self.tail = prev;
        } else {
            links.link(next).prev = prev;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::Numbers;
    use super::*;
    use std::collections::VecDeque;

    impl Links for Vec<Link> {
        fn link(&mut self, index: Index) -> &mut Link {
            &mut self[index as usize]
        }
    }

    fn drain(list: &mut List, links: &mut Vec<Link>) -> Vec<Index> {
        std::iter::from_fn(|| Some(list.pop(links)).filter(|&index| index != NONE)).collect()
    }

    #[test]
    fn keeps_order_and_lets_any_record_leave() {
        let mut links = vec![Link::UNLINKED; 5];
        for leaver in 0..5 {
            let mut list = List::EMPTY;
            (0..5).for_each(|index| list.push(&mut links, index));
            list.remove(&mut links, leaver);
            let rest: Vec<Index> = (0..5).filter(|&index| index != leaver).collect();
            assert_eq!(drain(&mut list, &mut links), rest);
            assert!(list.is_empty());
        }
    }

    /// Three lists over the same records, as the queues of a descriptor are.
    #[test]
    fn agrees_with_queues() {
        const RECORDS: u64 = 24;
        let mut numbers = Numbers::new(5);
        let mut links = vec![Link::UNLINKED; RECORDS as usize];
        let mut lists = [List::EMPTY; 3];
        let mut models: [VecDeque<Index>; 3] = Default::default();
        for _ in 0..if cfg!(miri) { 500 } else { 50_000 } {
            let (at, index) = (numbers.below(3) as usize, numbers.below(RECORDS) as Index);
            match models.iter().position(|model| model.contains(&index)) {
                None => {
                    lists[at].push(&mut links, index);
                    models[at].push_back(index);
                }
                Some(its) if numbers.below(2) == 0 => {
                    lists[its].remove(&mut links, index);
                    models[its].retain(|&other| other != index);
                }
                Some(_) => assert_eq!(lists[at].pop(&mut links), models[at].pop_front().unwrap_or(NONE)),
            }
            for (list, model) in lists.iter().zip(&models) {
                assert_eq!(list.first(), model.front().copied().unwrap_or(NONE));
                assert_eq!((list.is_empty(), list.is_single()), (model.is_empty(), model.len() == 1));
            }
        }
        for (list, model) in lists.iter_mut().zip(models) {
            assert_eq!(drain(list, &mut links), Vec::from(model));
        }
    }
}
