//! What is done when a fiber ends.

use crate::boundary::on_loop;
use crate::time::nyario_callback;
use nyario_core::sys::Errno;
use std::ffi::{c_int, c_void};

/// Ends the running fiber with `result`, from any depth of its calls, as if its entry had returned that: what
/// nyario_cleanup_push was given is called, destructors of nyario_set's values too, a connection's handler has its
/// connection closed. What lies on the fiber's stack is left as it is, as with longjmp: no destructor of C++ is called
/// for it, and locks are not released. Suspends the fiber as what is called does, and does not return.
///
/// Returns -EINVAL off a fiber, and then only. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_exit(result: *mut c_void) -> c_int {
    // SAFETY: the caller gives its frames up, and there is nothing to be dropped in ours.
    on_loop(|looped| unsafe { looped.exit(result as u64) }.map(|never| match never {}))
}

/// Has `callback(arg)` called when the running fiber ends, by returning or by nyario_exit; the last that was pushed comes
/// first. It is called on the fiber and may suspend; it may push others. The fiber's deadline, if it has one, is still in
/// force, as is a cancel that no call has been told of, and while the loop is ending whatever waits answers -ECANCELED:
/// so a callback that must wait lifts the deadline with `nyario_deadline(0)` first. Does not suspend.
///
/// Returns 0, or -EINVAL for a NULL callback, or off a fiber. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_cleanup_push(callback: nyario_callback, arg: *mut c_void) -> c_int {
    on_loop(|looped| {
        let callback = callback.ok_or(Errno(libc::EINVAL))?;
        // SAFETY: the caller vouches for callback and argument until the fiber has ended.
        looped.push_cleanup(move || unsafe { callback(arg) }).map(|()| 0)
    })
}

/// Takes back what the running fiber pushed last with nyario_cleanup_push, and calls it when `execute` is not 0. Suspends
/// if the callback does.
///
/// Returns 0, or -EINVAL when nothing is left that was pushed, or off a fiber. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_cleanup_pop(execute: c_int) -> c_int {
    on_loop(|looped| looped.pop_cleanup(execute != 0).map(|()| 0))
}
