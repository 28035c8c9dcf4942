//! Channels.

use super::within;
use crate::boundary::{guard, keeping_errno};
use nyario_core::fiber::Loop;
use nyario_core::local;
use nyario_core::sync::Channel;
use nyario_core::sys::Errno;
use std::ffi::{c_int, c_void};

/// Hands elements of a fixed size from one to another, in order: NYARIO_CHANNEL_INIT(element_size, capacity), or
/// nyario_channel_init. Elements are copied in and out. Up to `capacity` of them wait in the channel: with 0 every send
/// waits for its receiver, with NYARIO_UNBOUNDED none waits. All zeroes is a channel of signals, without capacity and with
/// elements of no size. Fibers of any loop share it with threads that run none; nyario_channel_destroy frees what it holds.
#[repr(C)]
#[allow(non_camel_case_types, reason = "C's name for it")]
pub struct nyario_channel {
    words: [u64; 16],
}

/// Makes a channel for elements of `element_size` bytes, of which up to `capacity` wait in it. Nobody may use it yet. It
/// allocates nothing until it is sent to. Does not suspend.
///
/// Returns 0, or -EINVAL for NULL. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_channel_init(
    channel: *mut nyario_channel,
    element_size: usize,
    capacity: usize,
) -> c_int {
    guard(|| {
        // SAFETY: the caller lends the words, and `within` has looked at their alignment.
        unsafe {
            within::<_, Channel>(channel)?;
            channel.cast::<Channel>().write(Channel::new(element_size, capacity));
        }
        Ok(0)
    })
}

/// What the four exchanges have in common: an element, unless it has no size, is somewhere.
unsafe fn exchange(
    channel: *mut nyario_channel,
    element: *const c_void,
    exchange: impl FnOnce(&Channel, Option<&Loop>) -> Result<(), Errno>,
) -> c_int {
    let body = || {
        // SAFETY: the caller lends a channel for the call.
        let channel = unsafe { within::<_, Channel>(channel) }?;
        if element.is_null() && channel.element_size() > 0 {
            return Err(Errno(libc::EINVAL));
        }
        exchange(channel, local::current()).map(|()| 0)
    };
    guard(|| keeping_errno(body))
}

/// Sends a copy of `*element`. Suspends the fiber while the channel is full, or without capacity until the element is
/// received; off a fiber it blocks the thread. Whoever waits is served in order.
///
/// Returns 0, or -EPIPE when the channel is closed, -EINVAL for NULL, -ENOMEM, -ECANCELED, -ETIMEDOUT past the fiber's
/// deadline: then it was not sent. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_channel_send(channel: *mut nyario_channel, element: *const c_void) -> c_int {
    // SAFETY: the caller lends the element for the call.
    unsafe { exchange(channel, element, |channel, here| channel.send(here, element.cast())) }
}

/// Receives an element into `*element`. Suspends the fiber while there is none; off a fiber it blocks the thread. Whoever
/// waits is served in order.
///
/// Returns 0, or -EPIPE when the channel is closed and nothing is left in it, -EINVAL for NULL, -ECANCELED, -ETIMEDOUT
/// past the fiber's deadline: then nothing was taken. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_channel_receive(channel: *mut nyario_channel, element: *mut c_void) -> c_int {
    // SAFETY: the caller lends a place for the element for the call.
    unsafe { exchange(channel, element, |channel, here| channel.receive(here, element.cast())) }
}

/// Sends a copy of `*element` if the channel has room or somebody waits to receive. Does not suspend.
///
/// Returns 0, or -EAGAIN when it would have to wait, -EPIPE when the channel is closed, -EINVAL for NULL, -ENOMEM.
/// Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_channel_try_send(channel: *mut nyario_channel, element: *const c_void) -> c_int {
    // SAFETY: the caller lends the element for the call.
    unsafe { exchange(channel, element, |channel, here| channel.try_send(here, element.cast())) }
}

/// Receives an element into `*element` if there is one or somebody waits to send. Does not suspend.
///
/// Returns 0, or -EAGAIN when it would have to wait, -EPIPE when the channel is closed and nothing is left in it, -EINVAL
/// for NULL. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_channel_try_receive(channel: *mut nyario_channel, element: *mut c_void) -> c_int {
    // SAFETY: the caller lends a place for the element for the call.
    unsafe { exchange(channel, element, |channel, here| channel.try_receive(here, element.cast())) }
}

/// Closes the channel: nothing more is sent, what is in it can still be received, and whoever waits is told -EPIPE. Does
/// not suspend.
///
/// Returns 0, or -EPIPE when it is closed already, -EINVAL for NULL. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_channel_close(channel: *mut nyario_channel) -> c_int {
    // SAFETY: the caller lends a channel for the call.
    let close = || unsafe { within::<_, Channel>(channel) }?.close(local::current()).map(|()| 0);
    guard(|| keeping_errno(close))
}

/// Closes the channel and frees what it holds: nobody may use it any more. A call that has sent or received touches it no
/// more, so whoever had the last element may do this. Does not suspend.
///
/// Returns 0, or -EBUSY while somebody waits on it, which is then left as it was, -EINVAL for NULL. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_channel_destroy(channel: *mut nyario_channel) -> c_int {
    // SAFETY: the caller lends a channel for the call.
    guard(|| unsafe { within::<_, Channel>(channel) }?.destroy().map(|()| 0))
}
