//! Every interleaving of threads that wait for each other: `RUSTFLAGS="--cfg loom" cargo test --lib models`, best with a
//! target directory of its own. A wake-up that is lost leaves a thread asleep for ever, which loom reports.

use super::choose::{Case, choose};
use super::lock::Lock;
use super::party::{Party, Seat, Wake};
use super::queue::Queue;
use super::{Channel, Semaphore};
use crate::sys::{Errno, Linux};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use std::ptr::null_mut;

/// Two forced switches between threads expose every known way to lose something; all of them take minutes.
fn explore(work: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(work);
}

fn receive(channel: &Channel) -> Result<u64, Errno> {
    let mut value = 0u64;
    // SAFETY: the element is a local of eight bytes.
    unsafe { channel.receive(None, (&raw mut value).cast()) }.map(|()| value)
}

fn send(channel: &Channel, value: u64) -> Result<(), Errno> {
    // SAFETY: as above.
    unsafe { channel.send(None, (&raw const value).cast()) }
}

#[test]
fn no_permit_is_lost() {
    explore(|| {
        let semaphore = Arc::new(Semaphore::<Linux>::new(0));
        let waits = semaphore.clone();
        let waiter = thread::spawn(move || {
            waits.wait(None).unwrap();
            waits.wait(None).unwrap();
        });
        semaphore.post(None).unwrap();
        semaphore.post(None).unwrap();
        waiter.join().unwrap();
        assert_eq!(semaphore.permits(), 0);
    });
}

#[test]
fn an_element_is_handed_over_once() {
    explore(|| {
        let channel = Arc::new(Channel::<Linux>::new(8, 0));
        let other = channel.clone();
        let sender = thread::spawn(move || {
            send(&other, 1).unwrap();
            send(&other, 2).unwrap();
        });
        assert_eq!((receive(&channel), receive(&channel)), (Ok(1), Ok(2)));
        sender.join().unwrap();
        assert_eq!(channel.destroy(), Ok(()));
    });
}

#[test]
fn a_close_is_not_missed() {
    explore(|| {
        let channel = Arc::new(Channel::<Linux>::new(8, 1));
        let other = channel.clone();
        let receiver = thread::spawn(move || while receive(&other).is_ok() {});
        send(&channel, 1).unwrap();
        channel.close(None).unwrap();
        receiver.join().unwrap();
        assert_eq!(receive(&channel), Err(Errno(libc::EPIPE)));
    });
}

/// Each offers the other and asks it at once: they meet, once, whoever comes first and in whichever channel.
#[test]
fn choices_meet() {
    explore(|| {
        let shared = Arc::new(([Channel::<Linux>::new(8, 0), Channel::new(8, 0)], AtomicU64::new(0)));
        let meet = |shared: &([Channel; 2], AtomicU64), side: usize| {
            let (channels, sum) = shared;
            let (mut mine, mut theirs) = (7u64, 0u64);
            let mut cases = [
                Case::new(&channels[side], Case::<Linux>::SEND, (&raw mut mine).cast()),
                Case::new(&channels[1 - side], Case::<Linux>::RECEIVE, (&raw mut theirs).cast()),
            ];
            // SAFETY: the elements are locals of eight bytes.
            unsafe { choose(None, &mut cases, true) }.unwrap();
            sum.fetch_add(theirs, Ordering::Relaxed);
        };
        let other = shared.clone();
        let thread = thread::spawn(move || meet(&other, 0));
        meet(&shared, 1);
        thread.join().unwrap();
        assert_eq!(shared.1.load(Ordering::Relaxed), 7, "one has sent, and the other has received");
        assert!(shared.0.iter().all(|channel| channel.destroy().is_ok()));
    });
}

/// Where a party waits, without a thing around it.
struct Place {
    lock: Lock,
    queue: Queue<Seat<Linux>>,
    telling: AtomicU64,
}

// SAFETY: the queue is touched under the lock.
unsafe impl Sync for Place {}
// SAFETY: as above.
unsafe impl Send for Place {}

/// A party gives up, or it is granted: one of the two, and both sides agree on it.
#[test]
fn giving_up_races_with_a_grant() {
    explore(|| {
        let place = Arc::new(Place { lock: Lock::new(), queue: Queue::new(), telling: AtomicU64::new(0) });
        let party = Party::new();
        let seat = Seat::new(&party, null_mut(), 0);
        let sat = party.sit(Wake::Thread(thread::current()), || {
            // SAFETY: it is out of the queue before it goes.
            unsafe { place.queue.push(&seat) };
            None
        });
        assert!(sat);
        let grants = place.clone();
        let granter = thread::spawn(move || {
            let held = grants.lock.hold();
            let claimed = grants.queue.claim().map(|(_, claimed)| claimed);
            drop(held);
            let granted = claimed.is_some();
            grants.telling.store(1, Ordering::Relaxed);
            claimed.into_iter().for_each(|claimed| claimed.tell(None));
            granted
        });
        let waited = party.rise(None, Err(Errno(libc::ETIMEDOUT)));
        match waited {
            Ok(_) => assert_eq!(place.telling.load(Ordering::Relaxed), 1, "it stays until it is told"),
            Err(_) => {
                let _held = place.lock.hold();
                place.queue.remove(&seat);
            }
        }
        assert_eq!(granter.join().unwrap(), waited.is_ok());
        assert!(place.queue.is_empty());
    });
}
