//! Several channels at once.

use super::channel::{Channel, Direction, Done};
use super::party::{Party, Seat};
use crate::fiber::Loop;
use crate::sys::{Errno, Kernel, Native};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::{from_ref, null};

/// One of the things that [`choose`] may do.
#[repr(C)]
pub struct Case<'a, K: Kernel = Native> {
    /// `None` stands for a case that never comes.
    pub channel: Option<&'a Channel<K>>,
    /// Where the element comes from or goes to.
    pub element: *mut u8,
    /// [`Case::SEND`] or [`Case::RECEIVE`].
    pub kind: i32,
    /// How it went, for the one that was chosen: 0, `-EPIPE` for a closed channel, or `-ENOMEM`.
    pub result: i32,
    /// The place in the channel's queue, while somebody waits in it.
    seat: MaybeUninit<Seat<K>>,
    /// C has arrays of them: they stay as large as they are when a seat grows.
    spare: MaybeUninit<[u64; 2]>,
}

impl<'a, K: Kernel> Case<'a, K> {
    /// The element is sent.
    pub const SEND: i32 = 1;
    /// An element is received.
    pub const RECEIVE: i32 = 2;

    /// A case of that kind.
    pub fn new(channel: &'a Channel<K>, kind: i32, element: *mut u8) -> Case<'a, K> {
        Case {
            channel: Some(channel),
            element,
            kind,
            result: 0,
            seat: MaybeUninit::uninit(),
            spare: MaybeUninit::uninit(),
        }
    }

    fn direction(&self) -> Direction {
        if self.kind == Self::SEND { Direction::Send } else { Direction::Receive }
    }
}

/// Does one of several things, whichever can be done first, and says which; of several that can be done at once, each
/// has its turn to be looked at first. With `wait` it waits until one can be done, and otherwise says `EAGAIN` when there
/// is none.
///
/// # Errors
///
/// `EINVAL` for a kind that there is not; `EAGAIN`; `EDEADLK` outside a fiber when no case could ever come; `ECANCELED`
/// and `ETIMEDOUT`, and then nothing was done.
///
/// # Safety
///
/// Each element is valid for the size of its channel's elements until the call returns, for reads or for writes.
pub unsafe fn choose<K: Kernel>(here: Option<&Loop<K>>, cases: &mut [Case<'_, K>], wait: bool) -> Result<usize, Errno> {
    if cases.iter().any(|case| ![Case::<K>::SEND, Case::<K>::RECEIVE].contains(&case.kind)) {
        return Err(Errno(libc::EINVAL));
    }
    each_channel(cases, |channel| channel.lock.take());
    // SAFETY: forwarded from the caller; the locks are held.
    let chosen = unsafe { attempt(cases) };
    each_channel(cases, |channel| channel.lock.give());
    if let Some((number, done)) = chosen {
        cases[number].result = done.result;
        done.tell(here);
        return Ok(number);
    }
    if !wait {
        return Err(Errno(libc::EAGAIN));
    }
    if !here.is_some_and(Loop::in_fiber) && cases.iter().all(|case| case.channel.is_none()) {
        return Err(Errno(libc::EDEADLK));
    }
    // SAFETY: forwarded from the caller.
    unsafe { wait_for(here, cases) }
}

unsafe fn wait_for<K: Kernel>(here: Option<&Loop<K>>, cases: &mut [Case<'_, K>]) -> Result<usize, Errno> {
    let party = Party::new();
    for (number, case) in cases.iter_mut().enumerate() {
        case.seat.write(Seat::new(&party, case.element, number as u32));
    }
    let cases_at = &*cases;
    let seated = Cell::new(false);
    let waited = party.wait(here.map(|looped| looped.because("choose")), || {
        each_channel(cases_at, |channel| channel.lock.take());
        // SAFETY: forwarded from the caller; the locks are held.
        let chosen = unsafe { attempt(cases_at) };
        if chosen.is_none() {
            seated.set(true);
            for case in cases_at {
                if let Some(channel) = case.channel {
                    // SAFETY: the seat was written above, is in no queue, and is out of this one before this function
                    // ends: claimed, or removed below. What it lends is lent until then.
                    unsafe { channel.queue(case.direction()).push(case.seat.assume_init_ref()) };
                }
            }
        }
        each_channel(cases_at, |channel| channel.lock.give());
        let (number, done) = chosen?;
        // SAFETY: as above.
        unsafe { cases_at[number].seat.assume_init_ref() }.result.set(done.result);
        done.tell(here);
        Some(number as u32)
    });
    if seated.get() {
        // The channel of the seat that was granted may be gone; those of the others are held by their seats.
        let granted = waited.ok().map(|number| number as usize);
        for (_, case) in cases_at.iter().enumerate().filter(|(number, _)| Some(*number) != granted) {
            if let Some(channel) = case.channel {
                let _held = channel.lock.hold();
                // SAFETY: as above.
                channel.queue(case.direction()).remove(unsafe { case.seat.assume_init_ref() });
            }
        }
    }
    let number = waited? as usize;
    // SAFETY: as above.
    cases[number].result = unsafe { cases[number].seat.assume_init_ref() }.result.get();
    Ok(number)
}

/// Does the first of them that need not wait, beginning with another one each time. The locks of all are held.
///
/// # Safety
///
/// As [`choose`].
unsafe fn attempt<K: Kernel>(cases: &[Case<'_, K>]) -> Option<(usize, Done<K>)> {
    thread_local! {
        static TURN: Cell<usize> = const { Cell::new(0) };
    }
    let turn = TURN.replace(TURN.get().wrapping_add(1));
    (0..cases.len()).map(|step| turn.wrapping_add(step) % cases.len()).find_map(|number| {
        let case = &cases[number];
        // SAFETY: forwarded from the caller.
        unsafe { case.channel?.attempt(case.direction(), case.element) }.map(|done| (number, done))
    })
}

/// Visits each channel once, in the order of their addresses: whoever takes the locks of several takes them in that order,
/// so nobody waits for one that waits for him. There are few cases, and so nothing is sorted.
fn each_channel<K: Kernel>(cases: &[Case<'_, K>], visit: impl Fn(&Channel<K>)) {
    let mut last = null();
    while let Some(channel) = cases
        .iter()
        .filter_map(|case| case.channel)
        .filter(|&channel| from_ref(channel) > last)
        .min_by_key(|&channel| from_ref(channel))
    {
        visit(channel);
        last = from_ref(channel);
    }
}
