//! Several channels at once.

use super::channel::nyario_channel;
use crate::boundary::{guard, keeping_errno};
use nyario_core::local;
use nyario_core::sync::{Case, choose};
use nyario_core::sys::Errno;
use std::ffi::{c_int, c_uint, c_void};
use std::mem::offset_of;

/// The kind of a nyario_case that sends `*element`.
pub const NYARIO_SEND: c_int = 1;

/// The kind of a nyario_case that receives into `*element`.
pub const NYARIO_RECEIVE: c_int = 2;

/// nyario_choose: answer -EAGAIN instead of waiting.
pub const NYARIO_NOWAIT: c_uint = 1;

/// One of the things that nyario_choose may do: NYARIO_CASE_SEND(channel, element) or
/// NYARIO_CASE_RECEIVE(channel, element). The same case may be chosen from again and again.
#[repr(C)]
#[allow(non_camel_case_types, reason = "C's name for it")]
pub struct nyario_case {
    /// NULL stands for a case that never comes.
    channel: *mut nyario_channel,
    /// Where the element comes from or goes to.
    element: *mut c_void,
    /// NYARIO_SEND or NYARIO_RECEIVE.
    kind: c_int,
    /// How it went, for the case that was chosen: 0, or -EPIPE when the channel is closed, -ENOMEM.
    result: c_int,
    words: [u64; 8],
}

const _: () = {
    assert!(size_of::<Case>() == size_of::<nyario_case>());
    assert!(align_of::<Case>() == align_of::<nyario_case>());
    assert!(offset_of!(Case, channel) == offset_of!(nyario_case, channel));
    assert!(offset_of!(Case, element) == offset_of!(nyario_case, element));
    assert!(offset_of!(Case, kind) == offset_of!(nyario_case, kind));
    assert!(offset_of!(Case, result) == offset_of!(nyario_case, result));
    assert!(Case::<nyario_core::sys::Linux>::SEND == NYARIO_SEND);
    assert!(Case::<nyario_core::sys::Linux>::RECEIVE == NYARIO_RECEIVE);
};

/// Does one of `count` things, whichever can be done first; of several that can be done at once, each is looked at first
/// in its turn. `flags` is 0 or NYARIO_NOWAIT. A closed channel makes its case one that can be done, with -EPIPE as its
/// result. Suspends the fiber until one can be done; off a fiber it blocks the thread.
///
/// Returns the index of the case that was chosen, whose `result` says how it went; or -EAGAIN with NYARIO_NOWAIT when none
/// can be done, -EINVAL for NULL, more than 32767 cases, an unknown kind or unknown flags, -EDEADLK off a fiber when no case could ever come,
/// -ECANCELED, -ETIMEDOUT past the fiber's deadline: then nothing was done. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_choose(cases: *mut nyario_case, count: usize, flags: c_uint) -> c_int {
    let body = || {
        let wait = match flags {
            0 => true,
            NYARIO_NOWAIT => false,
            _ => return Err(Errno(libc::EINVAL)),
        };
        if (cases.is_null() && count > 0) || !cases.is_aligned() || i16::try_from(count).is_err() {
            return Err(Errno(libc::EINVAL));
        }
        let cases = match count {
            0 => &mut [],
            // SAFETY: the caller lends the cases for the call; their layout is compared above, and what the core keeps in
            // the words may be anything before. A channel is NULL or valid.
            _ => unsafe { std::slice::from_raw_parts_mut(cases.cast::<Case>(), count) },
        };
        let nowhere =
            |case: &Case| case.element.is_null() && case.channel.is_some_and(|channel| channel.element_size() > 0);
        if cases.iter().any(nowhere) {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: the caller lends the elements for the call.
        unsafe { choose(local::current(), cases, wait) }.map(|number| number as c_int)
    };
    guard(|| keeping_errno(body))
}
