//! Waiting without the GVL.

use crate::connection;
use crate::looped::Looped;
use nyario_core::driver::Waker;
use nyario_core::sys::Linux;
use rb_sys::{RB_NOGVL_INTR_FAIL, RB_NOGVL_UBF_ASYNC_SAFE, rb_nogvl};
use std::ffi::c_void;

struct Turn {
    looped: *mut Looped,
    waker: Waker<Linux>,
}

/// Takes a turn of the loop. While there is nothing to do the GVL is released, and whatever interrupts the thread (a
/// signal, `Thread#kill`, `Thread#raise`) ends the wait. A look with the GVL held comes first: giving it up and taking
/// it back costs more than finding something.
///
/// # Safety
///
/// The GVL is held, `looped` is the thread's own, and the caller is its root fiber.
pub(crate) unsafe fn turn(looped: *mut Looped) {
    // SAFETY: as above: nobody else touches the loop while its thread is in here, with or without the GVL.
    unsafe {
        let busy = (*looped).is_busy();
        (*looped).runtime.turn(true, false);
        if busy || (*looped).runtime.has_news() || (*looped).runtime.stopping() {
            return;
        }
        connection::forgotten::close(looped);
        let mut turn = Turn { looped, waker: (*looped).runtime.driver().waker() };
        let flags = (RB_NOGVL_INTR_FAIL | RB_NOGVL_UBF_ASYNC_SAFE) as i32;
        // The wake-up outlives the call: one that comes before the wait ends it at once, so no signal is lost between
        // Ruby's last check and the kernel. With one pending already, Ruby does not even call.
        let waker = (&raw mut turn.waker).cast::<c_void>();
        rb_nogvl(Some(wait), (&raw mut turn).cast(), Some(wake), waker, flags);
    }
}

unsafe extern "C" fn wait(turn: *mut c_void) -> *mut c_void {
    // SAFETY: it is the turn above, whose thread is here.
    unsafe { (*(*turn.cast::<Turn>()).looped).runtime.turn(false, false) };
    std::ptr::null_mut()
}

unsafe extern "C" fn wake(waker: *mut c_void) {
    // SAFETY: Ruby calls it only while the waiting call is under way.
    unsafe { (*waker.cast::<Waker<Linux>>()).wake_always() }
}
