//! How a plain thread waits: without the GVL, until somebody wakes it or Ruby has something to tell it.
//!
//! That Ruby has, it may say by a signal alone, which has to end the wait; the waits of the standard library go on.

use rb_sys::{RB_NOGVL_INTR_FAIL, RB_NOGVL_UBF_ASYNC_SAFE, rb_nogvl, rb_thread_check_ints};
use std::ffi::{c_int, c_long, c_void};
use std::ptr::null;
use std::sync::atomic::{AtomicU32, Ordering};

/// A thread's own: 1 once it has been woken. It stays where it is for as long as the thread lives.
pub(crate) struct Parker(AtomicU32);

thread_local! {
    static PARKER: Parker = const { Parker(AtomicU32::new(0)) };
}

impl Parker {
    /// The calling thread's.
    pub(crate) fn own() -> *const Parker {
        PARKER.with(std::ptr::from_ref)
    }

    /// Ends the thread's wait, or its next one at once.
    pub(crate) fn wake(&self) {
        self.0.store(1, Ordering::Release);
        self.futex(libc::FUTEX_WAKE, 1, null());
    }

    /// Waits for at most so many nanoseconds. Returns when it was woken, when the time is up, after an interrupt that
    /// raised nothing, and perhaps for no reason.
    ///
    /// # Safety
    ///
    /// The GVL is held, and it is the calling thread's own. May raise.
    pub(crate) unsafe fn wait(this: *const Parker, nanos: Option<u64>) {
        let mut wait = Wait { parker: this, nanos };
        // SAFETY: as above; both outlive the call. A wake-up that comes before the thread sleeps ends that at once, and may
        // come from a signal's handler: a store and a system call.
        unsafe {
            let parker = this.cast_mut().cast::<c_void>();
            let flags = (RB_NOGVL_INTR_FAIL | RB_NOGVL_UBF_ASYNC_SAFE) as c_int;
            rb_nogvl(Some(sleep), (&raw mut wait).cast(), Some(interrupt), parker, flags);
            rb_thread_check_ints();
        }
    }

    fn sleep(&self, nanos: Option<u64>) {
        let limit = nanos.map(|nanos| libc::timespec {
            tv_sec: (nanos / 1_000_000_000) as libc::time_t,
            tv_nsec: (nanos % 1_000_000_000) as c_long,
        });
        if self.0.load(Ordering::Acquire) == 0 {
            self.futex(libc::FUTEX_WAIT, 0, limit.as_ref().map_or(null(), std::ptr::from_ref));
        }
        self.0.store(0, Ordering::Relaxed);
    }

    fn futex(&self, operation: c_int, value: u32, limit: *const libc::timespec) {
        // SAFETY: the word lives as long as the thread, and the limit as long as the call.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), operation | libc::FUTEX_PRIVATE_FLAG, value, limit) };
    }
}

/// One wait.
struct Wait {
    parker: *const Parker,
    nanos: Option<u64>,
}

unsafe extern "C" fn sleep(wait: *mut c_void) -> *mut c_void {
    // SAFETY: it is the wait above, whose thread is here.
    unsafe {
        let wait = &*wait.cast::<Wait>();
        (*wait.parker).sleep(wait.nanos);
    }
    std::ptr::null_mut()
}

unsafe extern "C" fn interrupt(parker: *mut c_void) {
    // SAFETY: Ruby calls it only while the waiting call is under way.
    unsafe { (*parker.cast::<Parker>()).wake() }
}
