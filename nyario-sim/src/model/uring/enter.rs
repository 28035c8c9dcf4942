//! `io_uring_enter(2)`.

use crate::model::Model;
use crate::model::file::FileId;
use crate::model::world::World;
use nyario_core::sys::Fd;
use nyario_core::sys::abi::{EventsArg, Timespec, uring as abi};

impl Model {
    /// # Safety
    ///
    /// As io_uring_enter(2): `arg` leads to what it says it does.
    pub(in crate::model) unsafe fn enter_uring(
        &self,
        fd: Fd,
        submit: u32,
        wait: u32,
        flags: u32,
        arg: Option<&EventsArg>,
    ) -> i32 {
        let mut world = self.call();
        if flags & !world.character.features.enter != 0 {
            return -libc::EINVAL;
        }
        let ring = if flags & abi::ENTER_REGISTERED_RING != 0 {
            world.registered.get(fd as usize).copied().flatten().ok_or(-libc::EINVAL)
        } else {
            world.ring_at(fd)
        };
        let ring = match ring {
            Ok(ring) => ring,
            Err(error) => return error,
        };
        let submitted = world.submit(ring, submit);
        if submitted < 0 || (submitted as u32) < submit {
            world.note(|| format!("enter({submit}) = {submitted}"));
            return submitted;
        }
        if flags & abi::ENTER_GETEVENTS == 0 {
            return submitted;
        }
        let interrupted = world.character.faults.interrupted;
        let interrupted = world.strikes(interrupted);
        drop(world);
        let timeout = match arg {
            Some(arg) if flags & abi::ENTER_EXT_ARG != 0 && arg.timeout != 0 => {
                // SAFETY: the caller's time-out lives through the call.
                let time = unsafe { *(arg.timeout as *const Timespec) };
                Some(time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64)
            }
            _ => None,
        };
        let timeout = if wait == 0 { Some(0) } else { timeout };
        let mut first = true;
        let found = self.wait(timeout, |world| {
            world.reap(ring);
            let enough = world.uring(ring).rings.completions() >= wait;
            let cut = interrupted && !first;
            first = false;
            if cut && !enough { -libc::EINTR } else { enough.into() }
        });
        let result = match found {
            _ if submitted > 0 => submitted,
            0 if wait > 0 => -libc::ETIME,
            found => found.min(0),
        };
        self.note(|| format!("enter({submit}, {timeout:?}) = {result}"));
        result
    }
}

impl World {
    fn submit(&mut self, ring: FileId, count: u32) -> i32 {
        let uring = self.uring(ring);
        assert!(count <= uring.rings.published(), "no more is submitted than was written");
        let all = uring.flags & abi::SETUP_SUBMIT_ALL != 0;
        let partial = self.character.faults.partial;
        for done in 0..count {
            if self.strikes(partial) {
                return if done > 0 { done as i32 } else { -self.random.pick(&[libc::EAGAIN, libc::EBUSY]) };
            }
            let sqe = self.uring(ring).rings.take().expect("counted above");
            if !self.issue(ring, sqe) && !all {
                return done as i32 + 1;
            }
        }
        count as i32
    }

    /// Does what was left to be done and shows the completions that had found no room.
    fn reap(&mut self, ring: FileId) {
        // Some of it may leave new work at once; all of it will not for ever.
        for _ in 0..64 {
            if self.uring(ring).work.is_empty() {
                break;
            }
            self.do_work(ring);
        }
        self.uring(ring).flush();
    }
}
