//! Reading ahead of what was asked for, into a connection's own buffer.

use super::refuse_to_wait;
use super::source::Source;
use crate::looped::{self, Looped};
use nyario_core::driver::Op;

/// Waits for bytes and appends them to the connection's buffer. `false` at the end. `deadline` is set when the first wait of
/// the caller's begins. An exception leaves what has come where it is.
///
/// # Safety
///
/// The GVL is held, `looped` is the thread's own and runs, the source is a connection, and nothing with a destructor is
/// alive in the caller.
pub(super) unsafe fn more(looped: *mut Looped, source: Source, deadline: &mut u64) -> bool {
    // SAFETY: as above; no borrow outlives its statement.
    unsafe {
        loop {
            let held = (*looped).runtime.driver().peek(source.fd);
            if !held.is_empty() {
                let count = held.len();
                source.buffer().append(held);
                (*looped).runtime.driver().consume(source.fd, count);
                return true;
            }
            match (*looped).runtime.driver().try_read(source.fd, &mut (*looped).scratch) {
                0 => return false,
                again if again == -libc::EAGAIN => {}
                error if error < 0 => source.fail(error, 0),
                count => {
                    source.buffer().append(&(&(*looped).scratch)[..count as usize]);
                    return true;
                }
            }
            wait(looped, source, deadline);
            if !source.buffer().is_empty() {
                // Somebody else has read ahead, or given back.
                return true;
            }
        }
    }
}

/// Waits until there is something to be read, or an end or an error to be read of. `deadline` as with [`more`].
///
/// # Safety
///
/// As [`more`], but the source may be anything.
#[inline(always)]
pub(super) unsafe fn wait(looped: *mut Looped, source: Source, deadline: &mut u64) {
    // SAFETY: as above.
    unsafe {
        if *deadline == 0 {
            *deadline = source.deadline();
        }
        match looped::perform(looped, Op::AtHand { fd: source.fd }, *deadline, |_| {}) {
            Some(error) if error < 0 => source.fail(error, *deadline),
            Some(_) => source.insist(),
            None => refuse_to_wait(),
        }
    }
}
