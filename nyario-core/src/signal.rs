//! Signals, as something that a fiber waits for.
//!
//! A signal that is blocked stays with the process until somebody takes it; a signalfd polls as readable meanwhile. Each
//! wait has one of its own, so any number of fibers and threads can wait for the same signals, and each signal goes to one
//! of them. It is taken when the fiber runs again, not before: whoever gives up loses none.

use crate::driver::Op;
use crate::fiber::Loop;
use crate::net;
use crate::sys::abi::SignalInfo;
use crate::sys::{Errno, Kernel, check};

/// Waits for one of the signals of `set` (bit 0 is signal 1), which are blocked in the calling thread from then on, and
/// takes it. Suspends the fiber.
///
/// # Errors
///
/// `EINVAL` for an empty set, `EMFILE`, `ENFILE`, `ENOMEM`, `ECANCELED`, `ETIMEDOUT`.
pub fn wait<K: Kernel>(looped: &Loop<K>, set: u64) -> Result<SignalInfo, Errno> {
    if set == 0 {
        return Err(Errno(libc::EINVAL));
    }
    let kernel = looped.kernel();
    check(kernel.block_signals(set))?;
    let fd = check(kernel.signalfd(set))?;
    let taken = loop {
        let mut info = SignalInfo::default();
        let iov = libc::iovec { iov_base: (&raw mut info).cast(), iov_len: size_of_val(&info) };
        // SAFETY: the place for it outlives the call.
        match check(unsafe { kernel.readv(fd, &iov, 1, 0) } as i32) {
            Ok(_) => break Ok(info),
            Err(Errno(libc::EAGAIN)) => {}
            Err(error) => break Err(error),
        }
        // SAFETY: a poll lends no memory.
        if let Err(error) = check(unsafe { looped.perform(Op::Poll { fd, events: libc::POLLIN as u32 }) }) {
            break Err(error);
        }
    };
    net::close(looped, fd).ok();
    taken
}
