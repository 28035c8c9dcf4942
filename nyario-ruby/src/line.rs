//! Those who wait for their turn, first come, first served.
//!
//! A place stays whoever's it is until they leave it, so that what they are told there waits for them; nothing is
//! allocated once there have been as many at a time.

use crate::looped::QNIL;
use crate::party::Party;
use rb_sys::{VALUE, rb_gc_mark};

/// No place.
const NONE: u32 = u32::MAX;

/// What has become of somebody who waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Waiting,
    /// It was their turn: what they brought was taken, or what they came for lies in their place.
    Served,
    /// There will be no turn.
    Refused,
}

struct Place {
    /// Whoever waits; nobody in a free place.
    party: Option<Party>,
    turn: Turn,
    value: VALUE,
    before: u32,
    /// Of a free place, the next free one.
    after: u32,
}

pub(crate) struct Line {
    places: Vec<Place>,
    free: u32,
    first: u32,
    last: u32,
}

impl Line {
    pub(crate) const fn new() -> Line {
        Line { places: Vec::new(), free: NONE, first: NONE, last: NONE }
    }

    /// Lines up, with what they bring: their place.
    pub(crate) fn enter(&mut self, party: Party, value: VALUE) -> u32 {
        let before = self.last;
        let place = Place { party: Some(party), turn: Turn::Waiting, value, before, after: NONE };
        let index = if self.free == NONE {
            self.places.push(place);
            (self.places.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = self.places[index as usize].after;
            self.places[index as usize] = place;
            index
        };
        if before == NONE {
            self.first = index
        } else {
            self.places[before as usize].after = index
        }
        self.last = index;
        index
    }

    /// Serves whoever is first: `exchange` is given what they brought, and leaves what they get.
    pub(crate) fn serve(&mut self, exchange: impl FnOnce(&mut VALUE)) -> Option<Party> {
        self.call(Turn::Served, exchange)
    }

    /// Refuses whoever is first.
    pub(crate) fn refuse(&mut self) -> Option<Party> {
        self.call(Turn::Refused, |_| {})
    }

    fn call(&mut self, turn: Turn, exchange: impl FnOnce(&mut VALUE)) -> Option<Party> {
        loop {
            let index = self.first;
            if index == NONE {
                return None;
            }
            self.unlink(index);
            let place = &mut self.places[index as usize];
            let party = place.party.expect("whoever waits has a place");
            if party.is_gone() {
                // They will never leave it themselves.
                self.vacate(index);
                continue;
            }
            place.turn = turn;
            exchange(&mut place.value);
            return Some(party);
        }
    }

    pub(crate) fn turn(&self, index: u32) -> Turn {
        self.places[index as usize].turn
    }

    /// Leaves, served or not: what lies in the place.
    pub(crate) fn leave(&mut self, index: u32) -> VALUE {
        if self.turn(index) == Turn::Waiting {
            self.unlink(index);
        }
        let value = self.places[index as usize].value;
        self.vacate(index);
        value
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    fn unlink(&mut self, index: u32) {
        let Place { before, after, .. } = self.places[index as usize];
        if before == NONE {
            self.first = after
        } else {
            self.places[before as usize].after = after
        }
        if after == NONE { self.last = before } else { self.places[after as usize].before = before }
    }

    fn vacate(&mut self, index: u32) {
        let place = &mut self.places[index as usize];
        (place.party, place.value, place.after) = (None, QNIL, self.free);
        self.free = index;
    }

    /// # Safety
    ///
    /// Called while Ruby marks.
    pub(crate) unsafe fn mark(&self) {
        for place in &self.places {
            if let Some(party) = &place.party {
                // SAFETY: both are live objects.
                unsafe {
                    party.mark();
                    rb_gc_mark(place.value);
                }
            }
        }
    }
}
