//! Channels between fibers of one loop: what goes in comes out in order, once, whatever is cancelled on the way.

mod common;

use common::*;
use nyario_core::fiber::FiberId;
use nyario_core::sync::{Case, Channel, choose};
use nyario_core::sys::{Errno, Kernel};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

scenarios!(on_loop: a_bounded_channel_keeps_order, a_rendezvous_waits_for_its_receiver, an_unbounded_channel_never_waits,
    a_closed_channel_is_emptied, a_close_tells_all_that_wait, those_that_wait_are_served_in_order,
    a_cancelled_sender_takes_its_element_along, an_exchange_outruns_a_cancel, a_choice_takes_what_is_ready,
    a_choice_waits_for_the_first, a_choice_is_made_once, a_choice_has_no_favourite, a_choice_of_nothing,
    a_destroyed_channel_is_a_closed_one, elements_have_any_size, channels_at_random, exchanging_allocates_nothing);

type Pipe = Rc<Channel<Masked>>;

const AGAIN: Errno = Errno(libc::EAGAIN);
const PIPE: Errno = Errno(libc::EPIPE);
const CANCELED: Errno = Errno(libc::ECANCELED);

fn channel(capacity: usize) -> Pipe {
    Rc::new(Channel::new(8, capacity))
}

fn send(looped: Looped, channel: &Channel<Masked>, value: u64) -> Result<(), Errno> {
    // SAFETY: the element is a local of eight bytes.
    unsafe { channel.send(Some(looped), (&raw const value).cast()) }
}

fn try_send(looped: Looped, channel: &Channel<Masked>, value: u64) -> Result<(), Errno> {
    // SAFETY: as above.
    unsafe { channel.try_send(Some(looped), (&raw const value).cast()) }
}

fn receive(looped: Looped, channel: &Channel<Masked>) -> Result<u64, Errno> {
    let mut value = 0u64;
    // SAFETY: as above.
    unsafe { channel.receive(Some(looped), (&raw mut value).cast()) }.map(|()| value)
}

fn try_receive(looped: Looped, channel: &Channel<Masked>) -> Result<u64, Errno> {
    let mut value = 0u64;
    // SAFETY: as above.
    unsafe { channel.try_receive(Some(looped), (&raw mut value).cast()) }.map(|()| value)
}

/// Chooses among sends of values and receives of the same place; says which it was, how it went, and the value.
fn choose_among(
    looped: Looped,
    wanted: &[(&Channel<Masked>, Option<u64>)],
    wait: bool,
) -> Result<(usize, i32, u64), Errno> {
    let mut values: Vec<u64> = wanted.iter().map(|(_, value)| value.unwrap_or(0)).collect();
    let places = values.as_mut_ptr();
    let mut cases: Vec<Case<Masked>> = wanted
        .iter()
        .enumerate()
        .map(|(number, (channel, value))| {
            let kind = if value.is_some() { Case::<Masked>::SEND } else { Case::<Masked>::RECEIVE };
            Case::new(channel, kind, places.wrapping_add(number).cast())
        })
        .collect();
    // SAFETY: each element is a place of eight bytes in the vector.
    let number = unsafe { choose(Some(looped), &mut cases, wait) }?;
    Ok((number, cases[number].result, values[number]))
}

fn a_bounded_channel_keeps_order(looped: Looped) {
    in_fiber(looped, move || {
        let channel = channel(3);
        (1..=3).for_each(|value| assert_eq!(try_send(looped, &channel, value), Ok(())));
        assert_eq!(try_send(looped, &channel, 4), Err(AGAIN));
        let other = channel.clone();
        let sender = go(looped, move || {
            (4..=100).for_each(|value| send(looped, &other, value).unwrap());
            0
        });
        settle(looped);
        assert_eq!(channel.len(), 3);
        (1..=100).for_each(|value| assert_eq!(receive(looped, &channel), Ok(value)));
        assert_eq!(looped.join(sender), Ok(0));
        assert_eq!(try_receive(looped, &channel), Err(AGAIN));
    });
}

fn a_rendezvous_waits_for_its_receiver(looped: Looped) {
    in_fiber(looped, move || {
        let (channel, sent) = (channel(0), Rc::new(Cell::new(false)));
        assert_eq!(try_send(looped, &channel, 1), Err(AGAIN));
        let (other, witness) = (channel.clone(), sent.clone());
        let sender = go(looped, move || {
            send(looped, &other, 7).unwrap();
            witness.set(true);
            receive(looped, &other).unwrap()
        });
        settle(looped);
        assert!(!sent.get());
        assert_eq!(try_receive(looped, &channel), Ok(7));
        settle(looped);
        assert!(sent.get());
        assert_eq!(try_send(looped, &channel, 8), Ok(()));
        assert_eq!(looped.join(sender), Ok(8));
    });
}

fn an_unbounded_channel_never_waits(looped: Looped) {
    let channel = channel(Channel::<Masked>::UNBOUNDED);
    (0..10_000).for_each(|value| assert_eq!(send(looped, &channel, value), Ok(())));
    (0..10_000).for_each(|value| assert_eq!(receive(looped, &channel), Ok(value)));
}

fn a_closed_channel_is_emptied(looped: Looped) {
    let channel = channel(2);
    send(looped, &channel, 1).unwrap();
    assert_eq!(channel.close(Some(looped)), Ok(()));
    assert_eq!(channel.close(Some(looped)), Err(PIPE));
    assert_eq!(send(looped, &channel, 2), Err(PIPE));
    assert_eq!(try_send(looped, &channel, 2), Err(PIPE));
    assert_eq!(receive(looped, &channel), Ok(1));
    assert_eq!(receive(looped, &channel), Err(PIPE));
    assert_eq!(try_receive(looped, &channel), Err(PIPE));
}

fn a_close_tells_all_that_wait(looped: Looped) {
    in_fiber(looped, move || {
        for sending in [true, false] {
            let channel = channel(0);
            let fibers: Vec<FiberId> = (0..5)
                .map(|number| {
                    let channel = channel.clone();
                    go(looped, move || {
                        let done = if sending {
                            send(looped, &channel, number)
                        } else if number % 2 == 0 {
                            receive(looped, &channel).map(drop)
                        } else {
                            let chosen = choose_among(looped, &[(&channel, None)], true).unwrap();
                            assert_eq!(chosen.1, -libc::EPIPE);
                            Err(PIPE)
                        };
                        told(done.map(|()| 0))
                    })
                })
                .collect();
            settle(looped);
            channel.close(Some(looped)).unwrap();
            all_told(looped, fibers, failed(libc::EPIPE));
        }
    });
}

fn those_that_wait_are_served_in_order(looped: Looped) {
    in_fiber(looped, move || {
        let channel = channel(1);
        let receivers: Vec<FiberId> = (0..4)
            .map(|_| {
                let channel = channel.clone();
                go(looped, move || receive(looped, &channel).unwrap())
            })
            .collect();
        settle(looped);
        (0..4).for_each(|value| assert_eq!(try_send(looped, &channel, value), Ok(())));
        // Handed over: who comes now finds nothing to snatch.
        assert_eq!(try_receive(looped, &channel), Err(AGAIN));
        for (value, receiver) in receivers.into_iter().enumerate() {
            assert_eq!(looped.join(receiver), Ok(value as u64));
        }
        let senders: Vec<FiberId> = (0..4)
            .map(|value| {
                let channel = channel.clone();
                go(looped, move || told(send(looped, &channel, value).map(|()| 0)))
            })
            .collect();
        settle(looped);
        for value in 0..4 {
            assert_eq!(receive(looped, &channel), Ok(value));
            // Whoever waited moves up before anybody else can.
            assert_eq!(try_send(looped, &channel, 99), if value < 3 { Err(AGAIN) } else { Ok(()) });
        }
        all_told(looped, senders, 0);
    });
}

fn a_cancelled_sender_takes_its_element_along(looped: Looped) {
    in_fiber(looped, move || {
        let channel = channel(0);
        let senders: Vec<FiberId> = (0..3)
            .map(|value| {
                let channel = channel.clone();
                go(looped, move || told(send(looped, &channel, value).map(|()| 0)))
            })
            .collect();
        settle(looped);
        looped.cancel(senders[1]).unwrap();
        assert_eq!(looped.join(senders[1]), Ok(failed(libc::ECANCELED)));
        assert_eq!((receive(looped, &channel), receive(looped, &channel)), (Ok(0), Ok(2)));
        assert_eq!(try_receive(looped, &channel), Err(AGAIN));
        all_told(looped, [senders[0], senders[2]], 0);
    });
}

/// Cancelled and served before it runs again, a fiber has its element, and its next suspension tells of the cancel.
fn an_exchange_outruns_a_cancel(looped: Looped) {
    for chooses in [true, false] {
        in_fiber(looped, move || {
            let (channel, never) = (channel(0), channel(0));
            let (other, idle) = (channel.clone(), never.clone());
            let receiver = go(looped, move || {
                let value = if chooses {
                    choose_among(looped, &[(&idle, None), (&other, None)], true).unwrap().2
                } else {
                    receive(looped, &other).unwrap()
                };
                assert_eq!(looped.sleep(1_000_000_000_000), Err(CANCELED));
                value
            });
            settle(looped);
            looped.cancel(receiver).unwrap();
            assert_eq!(try_send(looped, &channel, 5), Ok(()));
            assert_eq!(looped.join(receiver), Ok(5));
            assert_eq!((channel.destroy(), never.destroy()), (Ok(()), Ok(())), "nobody is left in them");
        });
    }
}

fn a_choice_takes_what_is_ready(looped: Looped) {
    let (first, second) = (channel(1), channel(1));
    assert_eq!(choose_among(looped, &[(&first, None), (&second, None)], false), Err(AGAIN));
    send(looped, &second, 3).unwrap();
    assert_eq!(choose_among(looped, &[(&first, None), (&second, None)], true), Ok((1, 0, 3)));
    assert_eq!(choose_among(looped, &[(&first, Some(4)), (&second, None)], true), Ok((0, 0, 4)));
    assert_eq!(choose_among(looped, &[(&first, Some(5)), (&second, None)], false), Err(AGAIN));
    assert_eq!(choose_among(looped, &[(&first, Some(5)), (&first, None)], false), Ok((1, 0, 4)));
    second.close(Some(looped)).unwrap();
    assert_eq!(choose_among(looped, &[(&first, None), (&second, None)], true), Ok((1, -libc::EPIPE, 0)));
}

fn a_choice_waits_for_the_first(looped: Looped) {
    in_fiber(looped, move || {
        let channels = [channel(0), channel(0), channel(0)];
        for number in 0..3 {
            let others = channels.clone();
            let chooser = go(looped, move || {
                let wanted = [(&*others[0], None), (&*others[1], None), (&*others[2], None)];
                let (chosen, result, value) = choose_among(looped, &wanted, true).unwrap();
                assert_eq!((chosen, result), (number, 0));
                value
            });
            settle(looped);
            assert!(channels.iter().all(|channel| channel.destroy() == Err(Errno(libc::EBUSY))));
            assert_eq!(try_send(looped, &channels[number], 40), Ok(()));
            assert_eq!(looped.join(chooser), Ok(40));
            assert!(channels.iter().all(|channel| try_send(looped, channel, 1) == Err(AGAIN)), "it waits no more");
        }
        assert!(channels.iter().all(|channel| channel.destroy().is_ok()));
    });
}

/// Ready twice before it runs, a choice is made once, and what was not chosen goes to who comes next.
fn a_choice_is_made_once(looped: Looped) {
    in_fiber(looped, move || {
        let (first, second) = (channel(0), channel(0));
        let (one, two) = (first.clone(), second.clone());
        let chooser = go(looped, move || choose_among(looped, &[(&one, None), (&two, Some(9))], true).unwrap().2);
        let two = second.clone();
        let sender = go(looped, move || {
            looped.yield_now().unwrap();
            told(send(looped, &two, 10).map(|()| 0))
        });
        settle(looped);
        assert_eq!(try_send(looped, &first, 1), Ok(()));
        assert_eq!(try_send(looped, &first, 2), Err(AGAIN));
        assert_eq!(try_receive(looped, &second), Ok(10), "the choice is past, and the sender behind it is not");
        assert_eq!(looped.join(chooser), Ok(1));
        assert_eq!(looped.join(sender), Ok(0));
    });
}

fn a_choice_has_no_favourite(looped: Looped) {
    let channels = [channel(1000), channel(1000), channel(1000)];
    channels.iter().for_each(|channel| (0..1000).for_each(|value| send(looped, channel, value).unwrap()));
    let mut counts = [0; 3];
    let wanted = [(&*channels[0], None), (&*channels[1], None), (&*channels[2], None)];
    (0..999).for_each(|_| counts[choose_among(looped, &wanted, true).unwrap().0] += 1);
    assert_eq!(counts, [333; 3]);
}

fn a_choice_of_nothing(looped: Looped) {
    assert_eq!(choose_among(looped, &[], false), Err(AGAIN));
    assert_eq!(choose_among(looped, &[], true), Err(Errno(libc::EDEADLK)));
    in_fiber(looped, move || {
        looped.deadline(looped.kernel().now() + 1_000_000).unwrap();
        assert_eq!(choose_among(looped, &[], true), Err(Errno(libc::ETIMEDOUT)));
        let channel = channel(0);
        let mut odd = [Case::new(&*channel, 3, std::ptr::null_mut())];
        // SAFETY: it is refused.
        assert_eq!(unsafe { choose(Some(looped), &mut odd, true) }, Err(Errno(libc::EINVAL)));
    });
}

fn a_destroyed_channel_is_a_closed_one(looped: Looped) {
    let channel = channel(5);
    send(looped, &channel, 1).unwrap();
    assert_eq!(channel.destroy(), Ok(()));
    assert_eq!(send(looped, &channel, 1), Err(PIPE));
    assert_eq!(receive(looped, &channel), Err(PIPE));
    assert_eq!(channel.destroy(), Ok(()));
}

fn elements_have_any_size(looped: Looped) {
    for size in [0, 1, 3, 24, 5000] {
        let channel = Rc::new(Channel::<Masked>::new(size, 2));
        let elements: Vec<Vec<u8>> = (0..6).map(|number| pattern(size + number)[number..].to_vec()).collect();
        in_fiber(looped, move || {
            let (sent, other) = (elements.clone(), channel.clone());
            let sender = go(looped, move || {
                for element in sent {
                    // SAFETY: it has the element's size.
                    unsafe { other.send(Some(looped), element.as_ptr()) }.unwrap();
                }
                0
            });
            settle(looped);
            for element in elements {
                let mut found = vec![0; size];
                // SAFETY: it has the element's size.
                unsafe { channel.receive(Some(looped), found.as_mut_ptr()) }.unwrap();
                assert_eq!(found, element);
            }
            assert_eq!(looped.join(sender), Ok(0));
        });
    }
}

/// A channel by its rules alone. Who waits is a party, which may wait in several places and is served once.
struct Model {
    channels: Vec<ModelChannel>,
    outcomes: BTreeMap<u64, (usize, Result<u64, i32>)>,
}

#[derive(Default)]
struct ModelChannel {
    capacity: usize,
    closed: bool,
    elements: VecDeque<u64>,
    senders: VecDeque<(u64, usize, u64)>,
    receivers: VecDeque<(u64, usize)>,
}

/// Which channel, and the value if it is a send.
type Wish = (usize, Option<u64>);

impl Model {
    fn attempt(&mut self, (at, value): Wish) -> Option<Result<u64, i32>> {
        let channel = &mut self.channels[at];
        match value {
            Some(_) if channel.closed => Some(Err(libc::EPIPE)),
            Some(value) => {
                if let Some(&(party, case)) = channel.receivers.front() {
                    self.serve(party, case, Ok(value));
                } else if channel.elements.len() < channel.capacity {
                    channel.elements.push_back(value);
                } else {
                    return None;
                }
                Some(Ok(value))
            }
            None => match (channel.elements.pop_front(), channel.senders.front().copied()) {
                (Some(element), None) => Some(Ok(element)),
                (Some(element), Some((party, case, value))) => {
                    channel.elements.push_back(value);
                    self.serve(party, case, Ok(value));
                    Some(Ok(element))
                }
                (None, Some((party, case, value))) => {
                    self.serve(party, case, Ok(value));
                    Some(Ok(value))
                }
                (None, None) => channel.closed.then_some(Err(libc::EPIPE)),
            },
        }
    }

    fn serve(&mut self, party: u64, case: usize, outcome: Result<u64, i32>) {
        self.withdraw(party);
        self.outcomes.insert(party, (case, outcome));
    }

    fn withdraw(&mut self, party: u64) {
        for channel in &mut self.channels {
            channel.senders.retain(|waiting| waiting.0 != party);
            channel.receivers.retain(|waiting| waiting.0 != party);
        }
    }

    fn wait(&mut self, party: u64, wishes: &[Wish]) {
        for (case, &(at, value)) in wishes.iter().enumerate() {
            match value {
                Some(value) => self.channels[at].senders.push_back((party, case, value)),
                None => self.channels[at].receivers.push_back((party, case)),
            }
        }
    }

    fn close(&mut self, at: usize) {
        self.channels[at].closed = true;
        while let Some(&(party, case, _)) = self.channels[at].senders.front() {
            self.serve(party, case, Err(libc::EPIPE));
        }
        while let Some(&(party, case)) = self.channels[at].receivers.front() {
            self.serve(party, case, Err(libc::EPIPE));
        }
    }
}

struct World {
    channels: Vec<Channel<Masked>>,
    model: RefCell<Model>,
    numbers: Cell<u64>,
    next: Cell<u64>,
    fibers: RefCell<Vec<FiberId>>,
    /// How often something was done at once, was waited for, was cancelled, timed out, met a closed channel.
    counts: RefCell<[u32; 5]>,
}

impl World {
    fn new(seed: u64) -> World {
        let capacities = [0, 0, 1, 3, Channel::<Masked>::UNBOUNDED];
        World {
            channels: capacities.iter().map(|&capacity| Channel::new(8, capacity)).collect(),
            model: RefCell::new(Model {
                channels: capacities
                    .iter()
                    .map(|&capacity| ModelChannel { capacity, ..ModelChannel::default() })
                    .collect(),
                outcomes: BTreeMap::new(),
            }),
            numbers: Cell::new(seed),
            next: Cell::new(0),
            fibers: RefCell::new(Vec::new()),
            counts: RefCell::new([0; 5]),
        }
    }

    fn below(&self, bound: u64) -> u64 {
        // xorshift64* (Vigna 2016).
        let mut x = self.numbers.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.numbers.set(x);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn count(&self, what: usize) {
        self.counts.borrow_mut()[what] += 1;
    }

    fn wish(&self) -> Wish {
        let value = self.next.get() + 1;
        self.next.set(value);
        (self.below(self.channels.len() as u64) as usize, (self.below(2) == 0).then_some(value))
    }

    /// Asks for one of those things at once, and then, if none could be had, with patience.
    fn ask(&self, looped: Looped, wishes: &[Wish]) {
        let wanted: Vec<_> = wishes.iter().map(|&(at, value)| (&self.channels[at], value)).collect();
        let outcome = |found: (usize, i32, u64)| (found.0, if found.1 == 0 { Ok(found.2) } else { Err(-found.1) });
        let single = |wait: bool| {
            let (channel, value) = wanted[0];
            let done = match (value, wait) {
                (Some(value), true) => send(looped, channel, value).map(|()| value),
                (Some(value), false) => try_send(looped, channel, value).map(|()| value),
                (None, true) => receive(looped, channel),
                (None, false) => try_receive(looped, channel),
            };
            match done {
                Err(Errno(libc::EPIPE)) => Ok((0, Err(libc::EPIPE))),
                done => done.map(|value| (0, Ok(value))),
            }
        };
        let ask = |wait| {
            if wanted.len() == 1 { single(wait) } else { choose_among(looped, &wanted, wait).map(outcome) }
        };
        match ask(false) {
            Ok((case, outcome)) => {
                self.count(if outcome.is_ok() { 0 } else { 4 });
                assert_eq!(self.model.borrow_mut().attempt(wishes[case]), Some(outcome), "{wishes:?}");
            }
            Err(error) => {
                assert_eq!(error, AGAIN);
                let party = self.next.get() + 1;
                self.next.set(party);
                let mut model = self.model.borrow_mut();
                assert!(wishes.iter().all(|&wish| model.attempt(wish).is_none()), "{wishes:?}");
                model.wait(party, wishes);
                drop(model);
                // One in four has passed, as the others may never do where everything is quick.
                let patience = if self.below(4) == 0 { 0 } else { self.below(80_000) };
                looped.deadline(looped.kernel().now() + patience).unwrap();
                let waited = ask(true);
                looped.deadline(0).unwrap();
                let mut model = self.model.borrow_mut();
                match (waited, model.outcomes.remove(&party)) {
                    (Ok(outcome), expected) => {
                        self.count(if outcome.1.is_ok() { 1 } else { 4 });
                        assert_eq!(Some(outcome), expected);
                    }
                    (Err(error), expected) => {
                        self.count(if error == CANCELED { 2 } else { 3 });
                        assert_eq!(expected, None, "{error}");
                        model.withdraw(party);
                    }
                }
            }
        }
    }
}

/// Sends, receives, choices, closes, cancels and deadlines, which agree with the model at each step.
fn channels_at_random(looped: Looped) {
    const FIBERS: usize = 12;
    const STEPS: usize = 300;
    for seed in 1..=4 {
        let world = Rc::new(World::new(seed));
        let shared = world.clone();
        in_fiber(looped, move || {
            let fibers: Vec<FiberId> = (0..FIBERS)
                .map(|me| {
                    let world = shared.clone();
                    go(looped, move || {
                        for step in 0..STEPS {
                            let count = if world.below(3) == 0 { 2 + world.below(3) } else { 1 };
                            let wishes: Vec<Wish> = (0..count).map(|_| world.wish()).collect();
                            world.ask(looped, &wishes);
                            match world.below(12) {
                                // Either may be where a cancel is told.
                                0 => looped.sleep(world.below(20_000)).unwrap_or(()),
                                1..4 => looped.yield_now().unwrap_or(()),
                                4 | 5 => {
                                    let other = world.fibers.borrow()[world.below(FIBERS as u64) as usize];
                                    // It may have ended.
                                    looped.cancel(other).unwrap_or(());
                                }
                                _ => {}
                            }
                            if me == 0 && step > STEPS / 2 && step % 25 == 0 {
                                let at = step / 25 % world.channels.len();
                                let closed = world.channels[at].close(Some(looped));
                                assert_eq!(closed.is_err(), world.model.borrow().channels[at].closed);
                                world.model.borrow_mut().close(at);
                            }
                        }
                        0
                    })
                })
                .collect();
            shared.fibers.borrow_mut().extend(&fibers);
            all_told(looped, fibers, 0);
            assert!(shared.channels.iter().all(|channel| channel.destroy().is_ok()));
        });
        assert!(world.counts.borrow().iter().all(|&count| count > 0), "everything happens: {:?}", world.counts);
    }
}

fn exchanging_allocates_nothing(looped: Looped) {
    let allocations = in_fiber(looped, move || {
        let channels = [channel(0), channel(4), channel(0)];
        let others = channels.clone();
        let fiber = go(looped, move || {
            for value in 0..400 {
                send(looped, &others[0], value).unwrap();
                send(looped, &others[1], value).unwrap();
                let (mut value, mut place) = (value, 0u64);
                let mut cases = [
                    Case::new(&*others[0], Case::<Masked>::RECEIVE, (&raw mut place).cast()),
                    Case::new(&*others[2], Case::<Masked>::SEND, (&raw mut value).cast()),
                ];
                // SAFETY: the elements are locals of eight bytes.
                assert_eq!(unsafe { choose(Some(looped), &mut cases, true) }, Ok(1));
            }
            0
        });
        for value in 0..400 {
            if value == 100 {
                memory::count();
            }
            for channel in &channels {
                assert_eq!(receive(looped, channel), Ok(value));
            }
            looped.sleep(1).unwrap();
        }
        let allocations = memory::stop_counting();
        assert_eq!(looped.join(fiber), Ok(0));
        allocations
    });
    assert_eq!(allocations, Some(0));
}
