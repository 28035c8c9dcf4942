//! What fibers of one loop synchronise with: who gets what in which order, and what cancels and deadlines leave of it.

mod common;

use common::*;
use nyario_core::driver::Config;
use nyario_core::fiber::FiberId;
use nyario_core::sync::{Condition, Group, Mutex, RwLock, Semaphore};
use nyario_core::sys::{Errno, Kernel};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

scenarios!(on_loop: a_mutex_is_handed_over_in_order, a_mutex_knows_its_owner, a_mutex_outside_a_fiber,
    a_cancelled_waiter_leaves_the_mutex, a_grant_outruns_a_cancel, a_permit_outruns_a_cancel, a_grant_outruns_a_deadline,
    readers_share_and_writers_do_not_starve, a_writer_that_gives_up_lets_the_readers_in, a_rwlock_knows_its_writer,
    a_condition_wakes_in_order, a_condition_relocks_when_it_is_cancelled, a_signal_outruns_a_cancel,
    a_condition_needs_its_mutex, a_group_waits_for_the_last, a_semaphore_hands_over_in_order,
    mutexes_at_random, rwlocks_at_random, semaphores_at_random, a_loop_that_ends_takes_its_waiters_out,
    waiting_allocates_nothing, another_loop_is_refused);

const BUSY: Result<(), Errno> = Err(Errno(libc::EBUSY));
const PERM: Result<(), Errno> = Err(Errno(libc::EPERM));
const DEADLK: Result<(), Errno> = Err(Errno(libc::EDEADLK));
const CANCELED: Result<(), Errno> = Err(Errno(libc::ECANCELED));
const TIMEDOUT: Result<(), Errno> = Err(Errno(libc::ETIMEDOUT));

/// A result as a fiber's value.
fn end(result: Result<(), Errno>) -> u64 {
    told(result.map(|()| 0))
}

fn a_mutex_is_handed_over_in_order(looped: Looped) {
    in_fiber(looped, move || {
        let (mutex, order) = (Rc::new(Mutex::new()), Rc::new(RefCell::new(Vec::new())));
        mutex.lock(looped).unwrap();
        let fibers: Vec<FiberId> = (0..5)
            .map(|number| {
                let (mutex, order) = (mutex.clone(), order.clone());
                go(looped, move || {
                    mutex.lock(looped).unwrap();
                    order.borrow_mut().push(number);
                    looped.sleep(10_000).unwrap();
                    end(mutex.unlock(looped))
                })
            })
            .collect();
        settle(looped);
        mutex.unlock(looped).unwrap();
        // Handed over, not freed: whoever comes now comes last.
        assert_eq!(mutex.try_lock(looped), BUSY);
        mutex.lock(looped).unwrap();
        order.borrow_mut().push(5);
        mutex.unlock(looped).unwrap();
        all_told(looped, fibers, 0);
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4, 5]);
    });
}

fn a_mutex_knows_its_owner(looped: Looped) {
    in_fiber(looped, move || {
        let mutex = Rc::new(Mutex::new());
        assert_eq!(mutex.unlock(looped), PERM);
        assert_eq!(mutex.lock(looped), Ok(()));
        assert_eq!(mutex.lock(looped), DEADLK);
        assert_eq!(mutex.try_lock(looped), BUSY);
        let other = mutex.clone();
        let other = go(looped, move || end(other.unlock(looped)));
        assert_eq!(looped.join(other), Ok(failed(libc::EPERM)));
        assert!(mutex.is_held(looped));
        assert_eq!(mutex.unlock(looped), Ok(()));
        assert_eq!(mutex.unlock(looped), PERM);
    });
}

fn a_mutex_outside_a_fiber(looped: Looped) {
    let mutex = Rc::new(Mutex::new());
    assert_eq!(mutex.lock(looped), Ok(()));
    assert_eq!(mutex.lock(looped), DEADLK);
    let other = mutex.clone();
    let waits = go(looped, move || {
        looped.deadline(looped.kernel().now() + 1_000_000).unwrap();
        end(other.lock(looped))
    });
    looped.run().unwrap();
    assert_eq!(looped.join(waits), Ok(failed(libc::ETIMEDOUT)));
    assert_eq!(mutex.unlock(looped), Ok(()));
    let other = mutex.clone();
    go(looped, move || end(other.lock(looped)));
    looped.run().unwrap();
    assert_eq!(mutex.lock(looped), DEADLK, "a fiber has it, which nothing runs");
    assert_eq!(mutex.unlock(looped), PERM);
}

fn a_cancelled_waiter_leaves_the_mutex(looped: Looped) {
    in_fiber(looped, move || {
        let mutex = Rc::new(Mutex::new());
        mutex.lock(looped).unwrap();
        let waiters: Vec<FiberId> = (0..3)
            .map(|_| {
                let mutex = mutex.clone();
                go(looped, move || {
                    let locked = mutex.lock(looped);
                    if locked.is_ok() {
                        mutex.unlock(looped).unwrap();
                    }
                    end(locked)
                })
            })
            .collect();
        settle(looped);
        looped.cancel(waiters[1]).unwrap();
        assert_eq!(looped.join(waiters[1]), Ok(failed(libc::ECANCELED)));
        mutex.unlock(looped).unwrap();
        assert_eq!(looped.join(waiters[0]), Ok(0));
        assert_eq!(looped.join(waiters[2]), Ok(0));
        assert_eq!(mutex.try_lock(looped), Ok(()));
    });
}

/// Cancelled and granted before it runs again, a waiter has what it wanted, and its next suspension tells of the cancel.
fn a_grant_outruns_a_cancel(looped: Looped) {
    for cancel_first in [true, false] {
        in_fiber(looped, move || {
            let mutex = Rc::new(Mutex::new());
            mutex.lock(looped).unwrap();
            let other = mutex.clone();
            let waiter = go(looped, move || {
                assert_eq!(other.lock(looped), Ok(()));
                assert_eq!(looped.sleep(1_000_000_000_000), CANCELED);
                end(other.unlock(looped))
            });
            settle(looped);
            if cancel_first {
                looped.cancel(waiter).unwrap();
            }
            mutex.unlock(looped).unwrap();
            if !cancel_first {
                looped.cancel(waiter).unwrap();
            }
            assert_eq!(looped.join(waiter), Ok(0));
            assert_eq!(mutex.try_lock(looped), Ok(()));
        });
    }
}

fn a_permit_outruns_a_cancel(looped: Looped) {
    in_fiber(looped, move || {
        let semaphore = Rc::new(Semaphore::new(0));
        let other = semaphore.clone();
        let waiter = go(looped, move || {
            assert_eq!(other.wait(Some(looped)), Ok(()));
            end(looped.sleep(1_000_000_000_000))
        });
        settle(looped);
        looped.cancel(waiter).unwrap();
        semaphore.post(Some(looped)).unwrap();
        assert_eq!(looped.join(waiter), Ok(failed(libc::ECANCELED)));
        assert_eq!(semaphore.permits(), 0);
    });
}

fn a_grant_outruns_a_deadline(looped: Looped) {
    in_fiber(looped, move || {
        let semaphore = Rc::new(Semaphore::new(0));
        let other = semaphore.clone();
        let waiter = go(looped, move || {
            looped.deadline(looped.kernel().now() + 500_000).unwrap();
            end(other.wait(Some(looped)))
        });
        looped.yield_now().unwrap();
        let when = looped.kernel().now() + 1_000_000;
        while looped.kernel().now() < when {}
        semaphore.post(Some(looped)).unwrap();
        assert_eq!(looped.join(waiter), Ok(0));
        assert_eq!(semaphore.permits(), 0);
    });
}

fn readers_share_and_writers_do_not_starve(looped: Looped) {
    in_fiber(looped, move || {
        let (lock, order) = (Rc::new(RwLock::new()), Rc::new(RefCell::new(String::new())));
        lock.read(looped).unwrap();
        lock.try_read(looped).unwrap();
        assert_eq!(lock.try_write(looped), BUSY);
        let fibers: Vec<FiberId> = "WrrWr"
            .chars()
            .map(|kind| {
                let (lock, order) = (lock.clone(), order.clone());
                go(looped, move || {
                    if kind == 'W' { lock.write(looped) } else { lock.read(looped) }.unwrap();
                    order.borrow_mut().push(kind);
                    looped.sleep(50_000).unwrap();
                    order.borrow_mut().push(kind);
                    end(lock.unlock(looped))
                })
            })
            .collect();
        settle(looped);
        assert_eq!(lock.try_read(looped), BUSY, "a writer waits in front");
        assert_eq!(*order.borrow(), "");
        lock.unlock(looped).unwrap();
        lock.unlock(looped).unwrap();
        all_told(looped, fibers, 0);
        assert_eq!(*order.borrow(), "WWrrrrWWrr");
        assert_eq!(lock.unlock(looped), PERM);
    });
}

fn a_writer_that_gives_up_lets_the_readers_in(looped: Looped) {
    in_fiber(looped, move || {
        let lock = Rc::new(RwLock::new());
        lock.read(looped).unwrap();
        let (writes, reads) = (lock.clone(), lock.clone());
        let writer = go(looped, move || end(writes.write(looped)));
        let reader = go(looped, move || end(reads.read(looped).and_then(|()| reads.unlock(looped))));
        settle(looped);
        looped.cancel(writer).unwrap();
        assert_eq!(looped.join(writer), Ok(failed(libc::ECANCELED)));
        assert_eq!(looped.join(reader), Ok(0));
        lock.unlock(looped).unwrap();
        assert_eq!(lock.try_write(looped), Ok(()));
    });
}

fn a_rwlock_knows_its_writer(looped: Looped) {
    in_fiber(looped, move || {
        let lock = Rc::new(RwLock::new());
        assert_eq!(lock.unlock(looped), PERM);
        lock.write(looped).unwrap();
        assert_eq!((lock.write(looped), lock.read(looped)), (DEADLK, DEADLK));
        assert_eq!((lock.try_write(looped), lock.try_read(looped)), (BUSY, BUSY));
        let other = lock.clone();
        let other = go(looped, move || end(other.unlock(looped)));
        assert_eq!(looped.join(other), Ok(failed(libc::EPERM)));
        lock.unlock(looped).unwrap();
    });
}

fn a_condition_wakes_in_order(looped: Looped) {
    in_fiber(looped, move || {
        let (mutex, condition) = (Rc::new(Mutex::new()), Rc::new(Condition::new()));
        let order = Rc::new(RefCell::new(Vec::new()));
        let fibers: Vec<FiberId> = (0..4)
            .map(|number| {
                let (mutex, condition, order) = (mutex.clone(), condition.clone(), order.clone());
                go(looped, move || {
                    mutex.lock(looped).unwrap();
                    condition.wait(looped, &mutex).unwrap();
                    order.borrow_mut().push(number);
                    end(mutex.unlock(looped))
                })
            })
            .collect();
        settle(looped);
        condition.signal(looped).unwrap();
        settle(looped);
        assert_eq!(*order.borrow(), [0]);
        condition.broadcast(looped).unwrap();
        all_told(looped, fibers, 0);
        assert_eq!(*order.borrow(), [0, 1, 2, 3]);
        // Word that nobody waits for is gone.
        condition.signal(looped).unwrap();
        mutex.lock(looped).unwrap();
        looped.deadline(looped.kernel().now() + 1_000_000).unwrap();
        assert_eq!(condition.wait(looped, &mutex), TIMEDOUT);
        assert!(mutex.is_held(looped));
    });
}

fn a_condition_relocks_when_it_is_cancelled(looped: Looped) {
    in_fiber(looped, move || {
        let (mutex, condition) = (Rc::new(Mutex::new()), Rc::new(Condition::new()));
        let (guard, word) = (mutex.clone(), condition.clone());
        let waiter = go(looped, move || {
            guard.lock(looped).unwrap();
            let deadline = looped.kernel().now() + 3_600_000_000_000;
            looped.deadline(deadline).unwrap();
            assert_eq!(word.wait(looped, &guard), CANCELED);
            assert!(guard.is_held(looped));
            assert_eq!(looped.deadline(0), Ok(deadline), "the deadline is as it was");
            // Cancelled once more while it waited for the mutex: the next suspension tells.
            assert_eq!(looped.sleep(1), CANCELED);
            end(guard.unlock(looped))
        });
        settle(looped);
        mutex.lock(looped).unwrap();
        looped.cancel(waiter).unwrap();
        settle(looped);
        looped.cancel(waiter).unwrap();
        settle(looped);
        mutex.unlock(looped).unwrap();
        assert_eq!(looped.join(waiter), Ok(0));
        assert_eq!(mutex.try_lock(looped), Ok(()));
    });
}

/// The word that a cancelled fiber was given is its own: it says so, and no other waits in vain for it.
fn a_signal_outruns_a_cancel(looped: Looped) {
    in_fiber(looped, move || {
        let (mutex, condition) = (Rc::new(Mutex::new()), Rc::new(Condition::new()));
        let (guard, word) = (mutex.clone(), condition.clone());
        let waiter = go(looped, move || {
            guard.lock(looped).unwrap();
            let waited = word.wait(looped, &guard);
            guard.unlock(looped).unwrap();
            end(waited)
        });
        settle(looped);
        looped.cancel(waiter).unwrap();
        condition.signal(looped).unwrap();
        assert_eq!(looped.join(waiter), Ok(0));
    });
}

fn a_condition_needs_its_mutex(looped: Looped) {
    let (mutex, condition) = (Rc::new(Mutex::new()), Rc::new(Condition::new()));
    mutex.lock(looped).unwrap();
    assert_eq!(condition.wait(looped, &mutex), DEADLK);
    assert!(mutex.is_held(looped));
    mutex.unlock(looped).unwrap();
    in_fiber(looped, move || assert_eq!(condition.wait(looped, &mutex), PERM));
}

fn a_group_waits_for_the_last(looped: Looped) {
    in_fiber(looped, move || {
        let (group, done) = (Rc::new(Group::new()), Rc::new(Cell::new(0)));
        assert_eq!(group.wait(looped), Ok(()));
        assert_eq!(group.done(looped), Err(Errno(libc::EINVAL)));
        group.add(looped, 3).unwrap();
        assert_eq!(group.add(looped, u64::MAX / 2), Err(Errno(libc::EOVERFLOW)));
        let waiters: Vec<FiberId> = (0..2)
            .map(|_| {
                let (group, done) = (group.clone(), done.clone());
                go(looped, move || {
                    group.wait(looped).unwrap();
                    done.get()
                })
            })
            .collect();
        for _ in 0..3 {
            settle(looped);
            done.set(done.get() + 1);
            group.done(looped).unwrap();
        }
        all_told(looped, waiters, 3);
        group.add(looped, 1).unwrap();
        looped.deadline(looped.kernel().now() + 1_000_000).unwrap();
        assert_eq!(group.wait(looped), TIMEDOUT);
        group.done(looped).unwrap();
        assert_eq!(group.wait(looped), Ok(()));
    });
}

fn a_semaphore_hands_over_in_order(looped: Looped) {
    in_fiber(looped, move || {
        let (semaphore, order) = (Rc::new(Semaphore::new(2)), Rc::new(RefCell::new(Vec::new())));
        let fibers: Vec<FiberId> = (0..6)
            .map(|number| {
                let (semaphore, order) = (semaphore.clone(), order.clone());
                go(looped, move || {
                    semaphore.wait(Some(looped)).unwrap();
                    order.borrow_mut().push(number);
                    0
                })
            })
            .collect();
        settle(looped);
        assert_eq!(*order.borrow(), [0, 1]);
        assert_eq!(semaphore.try_wait(), Err(Errno(libc::EAGAIN)));
        for _ in 2..6 {
            semaphore.post(Some(looped)).unwrap();
            assert_eq!(semaphore.try_wait(), Err(Errno(libc::EAGAIN)), "it is handed over");
        }
        all_told(looped, fibers, 0);
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4, 5]);
        let full = Semaphore::<nyario_core::sys::Linux>::new(i64::MAX as u64);
        assert_eq!(full.post(None), Err(Errno(libc::EOVERFLOW)));
    });
}

/// Who holds a thing and who waits for it, by the rules alone.
#[derive(Default)]
struct Oracle {
    limit: usize,
    sharing: usize,
    alone: bool,
    waiting: VecDeque<(usize, bool)>,
    granted: BTreeSet<usize>,
}

impl Oracle {
    fn admits(&self, alone: bool) -> bool {
        !self.alone && if alone { self.sharing == 0 } else { self.sharing < self.limit }
    }

    fn try_ask(&mut self, alone: bool) -> bool {
        let admitted = self.waiting.is_empty() && self.admits(alone);
        if admitted {
            self.admit(alone);
        }
        admitted
    }

    fn admit(&mut self, alone: bool) {
        if alone { self.alone = true } else { self.sharing += 1 }
    }

    fn ask(&mut self, who: usize, alone: bool) {
        self.waiting.push_back((who, alone));
        self.let_in();
    }

    fn let_in(&mut self) {
        while let Some(&(who, alone)) = self.waiting.front().filter(|(_, alone)| self.admits(*alone)) {
            self.waiting.pop_front();
            self.admit(alone);
            self.granted.insert(who);
        }
    }

    fn release(&mut self, alone: bool) {
        if alone {
            self.alone = false
        } else {
            self.sharing -= 1
        }
        self.let_in();
    }

    fn give_up(&mut self, who: usize) {
        self.waiting.retain(|(other, _)| *other != who);
        self.let_in();
    }
}

/// A thing that is taken, alone or shared, and given back.
trait Taken {
    fn take(&self, looped: Looped, alone: bool) -> Result<(), Errno>;
    fn try_take(&self, looped: Looped, alone: bool) -> bool;
    fn give(&self, looped: Looped) -> Result<(), Errno>;
}

impl Taken for Mutex {
    fn take(&self, looped: Looped, _: bool) -> Result<(), Errno> {
        self.lock(looped)
    }
    fn try_take(&self, looped: Looped, _: bool) -> bool {
        self.try_lock(looped).is_ok()
    }
    fn give(&self, looped: Looped) -> Result<(), Errno> {
        self.unlock(looped)
    }
}

impl Taken for RwLock {
    fn take(&self, looped: Looped, alone: bool) -> Result<(), Errno> {
        if alone { self.write(looped) } else { self.read(looped) }
    }
    fn try_take(&self, looped: Looped, alone: bool) -> bool {
        if alone { self.try_write(looped) } else { self.try_read(looped) }.is_ok()
    }
    fn give(&self, looped: Looped) -> Result<(), Errno> {
        self.unlock(looped)
    }
}

impl Taken for Semaphore<Masked> {
    fn take(&self, looped: Looped, _: bool) -> Result<(), Errno> {
        self.wait(Some(looped))
    }
    fn try_take(&self, _: Looped, _: bool) -> bool {
        self.try_wait().is_ok()
    }
    fn give(&self, looped: Looped) -> Result<(), Errno> {
        self.post(Some(looped))
    }
}

/// Fibers take a thing and give it back, with deadlines and cancels all over, and agree with the oracle at each step.
fn at_random(
    looped: Looped,
    seed: u64,
    thing: impl Taken + 'static,
    limit: usize,
    alone: impl Fn(u64) -> bool + 'static,
) {
    const FIBERS: usize = 12;
    const STEPS: usize = 300;
    let numbers = Rc::new(Cell::new(seed));
    let below = move |bound: u64| {
        // xorshift64* (Vigna 2016).
        let mut x = numbers.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        numbers.set(x);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    };
    let oracle = Rc::new(RefCell::new(Oracle { limit, ..Oracle::default() }));
    let shared = Rc::new((thing, alone, below, RefCell::new(Vec::new()), Cell::new([0u32; 3])));
    let witness = (oracle.clone(), shared.clone());
    in_fiber(looped, move || {
        let (oracle, shared) = witness;
        let spawned = shared.clone();
        let fibers: Vec<FiberId> = (0..FIBERS)
            .map(|me| {
                let (oracle, shared) = (oracle.clone(), shared.clone());
                go(looped, move || {
                    let (thing, alone, below, fibers, counts) = &*shared;
                    for _ in 0..STEPS {
                        let alone = alone(below(4));
                        let taken = if below(8) == 0 {
                            let taken = thing.try_take(looped, alone);
                            assert_eq!(taken, oracle.borrow_mut().try_ask(alone));
                            taken
                        } else {
                            // One in nine has passed, as the others may never do where everything is quick.
                            let deadline = match below(9) {
                                0 => looped.kernel().now(),
                                1 | 2 => looped.kernel().now() + below(60_000),
                                _ => 0,
                            };
                            looped.deadline(deadline).unwrap();
                            oracle.borrow_mut().ask(me, alone);
                            let taken = thing.take(looped, alone);
                            looped.deadline(0).unwrap();
                            let mut oracle = oracle.borrow_mut();
                            assert_eq!(taken.is_ok(), oracle.granted.remove(&me), "{taken:?}");
                            let mut count = counts.get();
                            match taken {
                                Ok(()) => count[0] += 1,
                                Err(error) => {
                                    oracle.give_up(me);
                                    count[if error.0 == libc::ECANCELED { 1 } else { 2 }] += 1;
                                }
                            }
                            counts.set(count);
                            taken.is_ok()
                        };
                        for _ in 0..below(3) {
                            let _ = looped.yield_now();
                        }
                        if below(6) == 0 {
                            let _ = looped.sleep(below(20_000));
                        }
                        if below(4) == 0 {
                            let fibers: &RefCell<Vec<FiberId>> = fibers;
                            let other = fibers.borrow()[below(FIBERS as u64) as usize];
                            let _ = looped.cancel(other);
                        }
                        if taken {
                            oracle.borrow_mut().release(alone);
                            thing.give(looped).unwrap();
                        }
                    }
                    0
                })
            })
            .collect();
        spawned.3.borrow_mut().extend(&fibers);
        all_told(looped, fibers, 0);
    });
    let oracle = oracle.borrow();
    assert!(oracle.waiting.is_empty() && oracle.granted.is_empty() && oracle.sharing == 0 && !oracle.alone);
    assert!(shared.4.get().iter().all(|&count| count > 0), "everything happens: {:?}", shared.4.get());
}

fn mutexes_at_random(looped: Looped) {
    (1..=4).for_each(|seed| at_random(looped, seed, Mutex::new(), 0, |_| true));
}

fn rwlocks_at_random(looped: Looped) {
    (11..=14).for_each(|seed| at_random(looped, seed, RwLock::new(), usize::MAX, |number| number == 0));
}

fn semaphores_at_random(looped: Looped) {
    (21..=24).for_each(|seed| at_random(looped, seed, Semaphore::new(3), 3, |_| false));
}

fn a_loop_that_ends_takes_its_waiters_out(looped: Looped) {
    let (mutex, condition) = (Rc::new(Mutex::new()), Rc::new(Condition::new()));
    let semaphore = Rc::new(Semaphore::new(0));
    let (held, posted) = (mutex.clone(), semaphore.clone());
    let holder = go(looped, move || {
        held.lock(looped).unwrap();
        assert_eq!(posted.wait(Some(looped)), CANCELED);
        end(held.unlock(looped))
    });
    let (held, word) = (mutex.clone(), condition.clone());
    let waiter = go(looped, move || {
        let waited = held.lock(looped).and_then(|()| word.wait(looped, &held));
        if held.is_held(looped) {
            held.unlock(looped).unwrap();
        }
        end(waited)
    });
    go(looped, move || {
        settle(looped);
        looped.stop();
        0
    });
    looped.run().unwrap();
    assert_eq!(looped.join(holder), Ok(0));
    assert_eq!(looped.join(waiter), Ok(failed(libc::ECANCELED)));
    assert_eq!(mutex.try_lock(looped), Ok(()));
    semaphore.post(Some(looped)).unwrap();
    assert_eq!(semaphore.permits(), 1, "nobody is left in the queue");
}

fn waiting_allocates_nothing(looped: Looped) {
    let allocations = in_fiber(looped, move || {
        let things = Rc::new((Mutex::new(), Semaphore::new(0), Condition::new(), RwLock::new(), Group::new()));
        let other = things.clone();
        let fiber = go(looped, move || {
            let (mutex, semaphore, condition, lock, group) = &*other;
            for _ in 0..300 {
                mutex.lock(looped).unwrap();
                condition.wait(looped, mutex).unwrap();
                mutex.unlock(looped).unwrap();
                semaphore.wait(Some(looped)).unwrap();
                lock.write(looped).unwrap();
                lock.unlock(looped).unwrap();
                group.wait(looped).unwrap();
            }
            0
        });
        looped.yield_now().unwrap();
        let (mutex, semaphore, condition, lock, group) = &*things;
        for round in 0..300 {
            if round == 100 {
                memory::count();
            }
            lock.write(looped).unwrap();
            group.add(looped, 1).unwrap();
            mutex.lock(looped).unwrap();
            condition.signal(looped).unwrap();
            looped.yield_now().unwrap();
            mutex.unlock(looped).unwrap();
            looped.sleep(1).unwrap();
            semaphore.post(Some(looped)).unwrap();
            looped.sleep(1).unwrap();
            lock.unlock(looped).unwrap();
            looped.sleep(1).unwrap();
            group.done(looped).unwrap();
            looped.sleep(1).unwrap();
        }
        let allocations = memory::stop_counting();
        assert_eq!(looped.join(fiber), Ok(0));
        allocations
    });
    assert_eq!(allocations, Some(0));
}

/// What belongs to one loop at a time tells another so, and is the other's once it is free.
fn another_loop_is_refused(first: Looped) {
    with_loop(&Config::default(), |second| {
        let (mutex, lock, group, condition) = (Mutex::new(), RwLock::new(), Group::new(), Condition::new());
        mutex.lock(first).unwrap();
        lock.read(first).unwrap();
        group.add(first, 1).unwrap();
        assert_eq!((mutex.lock(second), mutex.try_lock(second), mutex.unlock(second)), (PERM, PERM, PERM));
        assert_eq!((lock.read(second), lock.write(second), lock.unlock(second)), (PERM, PERM, PERM));
        assert_eq!((group.add(second, 1), group.done(second), group.wait(second)), (PERM, PERM, PERM));
        mutex.unlock(first).unwrap();
        lock.unlock(first).unwrap();
        group.done(first).unwrap();
        let things = Rc::new((mutex, condition));
        let waits = things.clone();
        let fiber = go(first, move || {
            waits.0.lock(first).unwrap();
            let other = waits.clone();
            go(first, move || {
                assert_eq!((other.1.signal(second), other.1.broadcast(second)), (PERM, PERM));
                end(other.1.signal(first))
            });
            let waited = waits.1.wait(first, &waits.0);
            waits.0.unlock(first).unwrap();
            end(waited)
        });
        first.run().unwrap();
        assert_eq!(first.join(fiber), Ok(0));
        let (mutex, condition) = &*things;
        assert_eq!((mutex.lock(second), condition.signal(second)), (Ok(()), Ok(())));
        assert_eq!((lock.write(second), group.add(second, 1)), (Ok(()), Ok(())));
    });
}
