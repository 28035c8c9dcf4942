//! Waiting for several descriptors at once, as poll(2) and select(2) do.

use crate::fiber::Loop;
use crate::sys::{Errno, Kernel, check};

/// Waits until at least one of the descriptors has something to tell, and fills in what each has, as `poll(2)` does;
/// negative ones are passed over. `timeout` is in nanoseconds, `None` for ever. Suspends the fiber; without descriptors
/// it is a sleep.
///
/// Returns how many have something to tell, 0 when the time is up.
///
/// # Errors
///
/// `EINVAL` for more descriptors than the process may have, `ENOMEM`, `ECANCELED`, `ETIMEDOUT` past the fiber's deadline,
/// and `EBADF` when one of them is closed meanwhile; one that is not open from the start is told as `POLLNVAL`.
pub fn poll<K: Kernel>(looped: &Loop<K>, fds: &mut [libc::pollfd], timeout: Option<u64>) -> Result<usize, Errno> {
    if timeout == Some(0) {
        fds.iter().filter(|entry| entry.fd >= 0).for_each(|entry| looped.catch_up(entry.fd));
    }
    let found = look(looped, fds, Some(0))?;
    if found > 0 || timeout == Some(0) {
        return Ok(found);
    }
    let until = timeout.map(|timeout| looped.look_at_the_clock().saturating_add(timeout));
    if looped.in_fiber() { suspend(looped, fds, until) } else { block(looped, fds, until) }
}

/// Asks the kernel, and adds what it cannot know.
fn look<K: Kernel>(looped: &Loop<K>, fds: &mut [libc::pollfd], timeout: Option<u64>) -> Result<usize, Errno> {
    let mut found = match looped.kernel().poll(fds, timeout) {
        // Nothing has been filled in.
        interrupted if interrupted == -libc::EINTR => {
            fds.iter_mut().for_each(|entry| entry.revents = 0);
            0
        }
        found => check(found)? as usize,
    };
    for entry in fds.iter_mut().filter(|entry| entry.fd >= 0) {
        let held = looped.held(entry.fd, u32::from(entry.events as u16)) as i16;
        found += usize::from(held != 0 && entry.revents == 0);
        entry.revents |= held;
    }
    Ok(found)
}

fn suspend<K: Kernel>(looped: &Loop<K>, fds: &mut [libc::pollfd], until: Option<u64>) -> Result<usize, Errno> {
    let watched = |entry: &&libc::pollfd| entry.fd >= 0;
    let closes = |fds: &[libc::pollfd]| -> u64 {
        fds.iter().filter(watched).map(|entry| u64::from(looped.life(entry.fd))).sum()
    };
    let before = closes(fds);
    loop {
        let waited = fds.iter().filter(watched).map(|entry| (entry.fd, u32::from(entry.events as u16)));
        let told = check(looped.wait_for_any(waited, until.unwrap_or(0)))?;
        // What it was woken for may have been closed by whoever came first, and the number may be another file's.
        if closes(fds) != before {
            return Err(Errno(libc::EBADF));
        }
        // Another fiber may have taken what there was.
        let found = look(looped, fds, Some(0))?;
        if found > 0 || told == 0 {
            return Ok(found);
        }
    }
}

fn block<K: Kernel>(looped: &Loop<K>, fds: &mut [libc::pollfd], until: Option<u64>) -> Result<usize, Errno> {
    fds.iter().filter(|entry| entry.fd >= 0).for_each(|entry| looped.fall_behind(entry.fd));
    let mut rest = Some(0);
    loop {
        let found = look(looped, fds, rest)?;
        let now = looped.kernel().now();
        if found > 0 || until.is_some_and(|until| until <= now) {
            return Ok(found);
        }
        rest = until.map(|until| until - now);
    }
}

/// Which descriptors `select` is to watch, or which it found: as many bits as there are descriptors, in the order of
/// `fd_set`.
pub struct Set(*mut u8);

impl Set {
    /// A set in memory. Null is no set: nothing is watched, and nothing told.
    ///
    /// # Safety
    ///
    /// The memory must be valid, for as long as the set is used, for as many bits as `select` is told to look at, in whole
    /// words of `fd_set`.
    pub unsafe fn new(bits: *mut u8) -> Set {
        Set(bits)
    }

    fn has(&self, fd: usize) -> bool {
        // SAFETY: promised for every descriptor that is looked at.
        !self.0.is_null() && unsafe { *self.0.add(fd / 8) } >> (fd % 8) & 1 != 0
    }

    fn put(&mut self, fd: usize, held: bool) {
        if self.0.is_null() {
            return;
        }
        // SAFETY: as above.
        unsafe {
            let byte = self.0.add(fd / 8);
            *byte = *byte & !(1 << (fd % 8)) | u8::from(held) << (fd % 8);
        }
    }
}

// The bits of an `fd_set` lie in words, whose bytes are in the order of their bits on every machine that nyario runs on.
const _: () = assert!(cfg!(target_endian = "little"));

/// What makes a descriptor readable, writable or exceptional to `select(2)`: what is asked of a poll, and what it may
/// answer.
const ASKED: [i16; 3] = [
    libc::POLLIN | libc::POLLRDNORM | libc::POLLRDBAND,
    libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND,
    libc::POLLPRI,
];
const ANSWERED: [i16; 3] = [ASKED[0] | libc::POLLHUP | libc::POLLERR, ASKED[1] | libc::POLLERR, ASKED[2]];

/// Waits until at least one of the descriptors below `count` in the sets is readable, writable or exceptional, and
/// leaves those that are in the sets, as `select(2)` does. `timeout` is in nanoseconds, `None` for ever. Suspends the
/// fiber.
///
/// Returns how many places of the sets are left, 0 when the time is up.
///
/// # Errors
///
/// `EBADF` when one of them is not open or is closed meanwhile, `EINVAL` for a negative count, `ECANCELED`, `ETIMEDOUT`
/// past the fiber's deadline. The sets are then as they were.
pub fn select<K: Kernel>(
    looped: &Loop<K>,
    count: i32,
    mut sets: [Set; 3],
    timeout: Option<u64>,
) -> Result<usize, Errno> {
    let count = usize::try_from(count).map_err(|_| Errno(libc::EINVAL))?;
    let until = timeout.map(|timeout| looped.look_at_the_clock().saturating_add(timeout));
    looped.pollfds().lend(|fds| {
        for fd in 0..count {
            let asked = [0, 1, 2].map(|side| if sets[side].has(fd) { ASKED[side] } else { 0 });
            let events = asked[0] | asked[1] | asked[2];
            if events != 0 {
                fds.push(libc::pollfd { fd: fd as i32, events, revents: 0 });
            }
        }
        let mut rest = timeout;
        loop {
            let told = poll(looped, fds, rest)?;
            if fds.iter().any(|entry| entry.revents & libc::POLLNVAL != 0) {
                return Err(Errno(libc::EBADF));
            }
            let answers = |entry: &libc::pollfd, sets: &[Set; 3], side: usize| {
                entry.fd >= 0 && sets[side].has(entry.fd as usize) && entry.revents & ANSWERED[side] != 0
            };
            let found = fds.iter().any(|entry| [0, 1, 2].iter().any(|&side| answers(entry, &sets, side)));
            let now = looped.kernel().now();
            if found || told == 0 || until.is_some_and(|until| until <= now) {
                let mut left = 0;
                let mut entries = fds.iter().peekable();
                for fd in 0..count {
                    let entry = entries.next_if(|entry| entry.fd == fd as i32 || entry.fd == !(fd as i32));
                    for side in [0, 1, 2] {
                        let held = entry.is_some_and(|entry| answers(entry, &sets, side));
                        sets[side].put(fd, held);
                        left += usize::from(held);
                    }
                }
                return Ok(left);
            }
            // A hang-up says nothing to who asks for something else, and a poll would tell of it for ever.
            for entry in fds.iter_mut().filter(|entry| entry.fd >= 0 && entry.revents != 0) {
                entry.fd = !entry.fd;
            }
            rest = until.map(|until| until - now);
        }
    })
}
