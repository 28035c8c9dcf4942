//! Which IO object a descriptor was last asked for by.
//!
//! A number that is not the loop's own may have come to another file since the last time, which only the kernel knows. An
//! IO object keeps its number for as long as it is open, and Ruby says when it is closed; so what the same object asks for
//! again needs no look. Objects are remembered by their addresses alone: one that was freed, moved or reopened and is taken
//! for another is found out by the driver, which has the caller look again.

use super::park::{Waited, carry_out_as};
use super::{Looped, QNIL};
use nyario_core::driver::Op;
use nyario_core::sys::Fd;
use rb_sys::VALUE;

/// Numbers from here on are looked at each time: a table for them all would be larger than it is worth.
const VOUCHED_MAX: usize = 1 << 20;

impl Looped {
    /// Whether that object was the last one to ask for the descriptor; it is from now on.
    #[inline]
    fn vouch(&mut self, fd: Fd, io: VALUE) -> bool {
        match self.vouchers.get_mut(fd as u32 as usize) {
            Some(voucher) => std::mem::replace(voucher, io) == io,
            None => self.vouch_first(fd, io),
        }
    }

    #[cold]
    fn vouch_first(&mut self, fd: Fd, io: VALUE) -> bool {
        let at = fd as u32 as usize;
        if at < VOUCHED_MAX {
            self.vouchers.resize((at + 1).next_power_of_two().max(64), QNIL);
            self.vouchers[at] = io;
        }
        false
    }
}

/// As [`carry_out`](super::carry_out), for an IO object, whose descriptor is `fd` now: `op` makes the operation of it, anew
/// if the descriptor turns out to be another than it was.
///
/// # Safety
///
/// As [`carry_out`](super::carry_out); and nothing with a destructor is alive in the caller, as a closed IO raises.
#[inline]
pub(crate) unsafe fn carry_out_for(
    looped: *mut Looped,
    io: VALUE,
    mut fd: Fd,
    op: impl Fn(Fd) -> Op,
    deadline: u64,
) -> Option<Waited> {
    // SAFETY: as above.
    unsafe {
        loop {
            let vouched = (*looped).vouch(fd, io);
            let waited = carry_out_as(looped, op(fd), deadline, vouched, |_| {})?;
            let another = [-libc::ESTALE, -libc::ENOTSOCK].contains(&waited.result);
            if !(vouched && another && waited.tag == 0) || (*looped).is_gone() {
                return Some(waited);
            }
            (*looped).vouch(fd, QNIL);
            fd = rb_sys::rb_io_descriptor(io);
        }
    }
}
