//! Fibers that wait for each other: a mutex, and channels, each element of which is received once and in order.

use super::fiber::Actor;
use super::messages::Messages;
use super::rig::{Rig, What};
use crate::model::Model;
use nyario_core::sync::{Case, Channel, Mutex, choose};
use nyario_core::sys::Errno;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// How many elements wait in each channel.
pub(super) const CHANNELS: [usize; 3] = [0, 2, Channel::<Model>::UNBOUNDED];

/// What fibers share besides descriptors.
pub(super) struct Shared {
    mutex: Mutex,
    holder: Cell<Option<usize>>,
    /// Those who want the mutex, in the order in which they asked.
    line: RefCell<VecDeque<usize>>,
    channels: [Channel<Model>; CHANNELS.len()],
    elements: RefCell<[Messages; CHANNELS.len()]>,
    next: Cell<u64>,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared {
            mutex: Mutex::new(),
            holder: Cell::default(),
            line: RefCell::default(),
            channels: CHANNELS.map(|capacity| Channel::new(size_of::<u64>(), capacity)),
            elements: RefCell::default(),
            next: Cell::default(),
        }
    }
}

impl Shared {
    /// Whether somebody who waits for that has it within reach; `others` says whether one waits for such a thing.
    pub(super) fn is_there(&self, what: What, others: impl Fn(&dyn Fn(What) -> bool) -> bool) -> bool {
        let gives = |channel: usize| others(&|other| other == What::Give(channel));
        let takes = |channel: usize| others(&|other| other == What::Take(channel) || other == What::Choose);
        match what {
            What::Lock => self.holder.get().is_none(),
            What::Give(channel) => self.channels[channel].len() < CHANNELS[channel] || takes(channel),
            What::Take(channel) => !self.channels[channel].is_empty() || gives(channel),
            What::Choose => (0..CHANNELS.len()).any(|channel| !self.channels[channel].is_empty() || gives(channel)),
            _ => false,
        }
    }

    /// Nothing moves any more.
    pub(super) fn finish(&self) {
        for (channel, elements) in self.channels.iter().zip(&*self.elements.borrow()) {
            elements.finish();
            elements.are_kept(channel.len());
            assert_eq!(channel.destroy(), Ok(()), "nobody waits on a channel");
        }
        assert_eq!(self.holder.get(), None, "somebody still holds the mutex");
    }
}

fn result(of: Result<(), Errno>) -> i32 {
    of.map_or_else(|error| error.result(), |()| size_of::<u64>() as i32)
}

impl Rig {
    /// Whether somebody is right to wait for so long: a cancel, a deadline or the loop's end has not reached him.
    fn waits(&self, fiber: usize) -> bool {
        let people = self.people.borrow();
        let person = &people[fiber];
        let late = person.deadline != 0 && person.deadline <= self.model.clock();
        !late && !self.stopped.get() && person.pending.is_some_and(|pending| !pending.cancelled)
    }
}

impl Actor {
    /// Holds the mutex for a while.
    pub(super) fn lock(&mut self, nanos: u64) {
        let rig = self.rig.clone();
        let shared = &rig.shared;
        shared.line.borrow_mut().push_back(self.me);
        let locked = self.suspend(What::Lock, None, None, || result(shared.mutex.lock(rig.looped)));
        let place = shared.line.borrow().iter().position(|&it| it == self.me).expect("it asked");
        shared.line.borrow_mut().remove(place);
        self.allow(locked, &[]);
        if locked < 0 {
            return;
        }
        let passed = shared.line.borrow().iter().take(place).copied().find(|&earlier| rig.waits(earlier));
        assert_eq!(passed, None, "fiber {} overtakes at the mutex", self.me);
        assert_eq!(shared.holder.replace(Some(self.me)), None, "fiber {} shares the mutex", self.me);
        self.sleep(nanos);
        assert_eq!(shared.holder.take(), Some(self.me), "fiber {} had the mutex for itself", self.me);
        assert_eq!(shared.mutex.unlock(rig.looped), Ok(()));
    }

    pub(super) fn give(&mut self, channel: usize) {
        let rig = self.rig.clone();
        let shared = &rig.shared;
        shared.next.set(shared.next.get() + 1);
        let element = shared.next.get().to_ne_bytes();
        let ticket = shared.elements.borrow_mut()[channel].begin_write();
        // SAFETY: the element outlives the call.
        let given = self.suspend(What::Give(channel), None, None, || unsafe {
            result(shared.channels[channel].send(Some(rig.looped), element.as_ptr()))
        });
        self.allow(given, &[]);
        shared.elements.borrow_mut()[channel].wrote(ticket, given, &element);
    }

    pub(super) fn take(&mut self, channel: usize) {
        let rig = self.rig.clone();
        let shared = &rig.shared;
        let mut element = [0; size_of::<u64>()];
        let (place, ticket) = (element.as_mut_ptr(), shared.elements.borrow_mut()[channel].begin_read());
        // SAFETY: as above.
        let taken = self.suspend(What::Take(channel), None, None, || unsafe {
            result(shared.channels[channel].receive(Some(rig.looped), place))
        });
        self.allow(taken, &[]);
        shared.elements.borrow_mut()[channel].read(ticket, taken, &element, false);
    }

    /// Takes an element from whichever channel has one.
    pub(super) fn choose(&mut self) {
        let rig = self.rig.clone();
        let shared = &rig.shared;
        let mut elements = [[0; size_of::<u64>()]; CHANNELS.len()];
        let tickets = std::array::from_fn::<_, { CHANNELS.len() }, _>(|channel| {
            shared.elements.borrow_mut()[channel].begin_read()
        });
        let places = elements.each_mut().map(|element| element.as_mut_ptr());
        let chosen = self.suspend(What::Choose, None, None, || {
            let case = |channel: usize| Case::new(&shared.channels[channel], Case::<Model>::RECEIVE, places[channel]);
            let mut cases: [Case<Model>; CHANNELS.len()] = std::array::from_fn(case);
            // SAFETY: the elements outlive the call.
            let chosen = unsafe { choose(Some(rig.looped), &mut cases, true) };
            chosen.map_or_else(
                |error| error.result(),
                |number| {
                    assert_eq!(cases[number].result, 0, "what is chosen succeeds");
                    number as i32
                },
            )
        });
        self.allow(chosen, &[]);
        for (channel, ticket) in tickets.into_iter().enumerate() {
            let taken = if chosen == channel as i32 { size_of::<u64>() as i32 } else { -libc::EAGAIN };
            shared.elements.borrow_mut()[channel].read(ticket, taken, &elements[channel], false);
        }
    }
}
