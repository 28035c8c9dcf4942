//! Connections whose Ruby objects were collected without having been closed.

use crate::looped::Looped;
use nyario_core::conn::ConnId;
use nyario_core::runtime::NOBODY;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Them, and whose they are. The collector runs on any thread, and their loop alone may close them.
static FORGOTTEN: Mutex<Vec<(u64, ConnId)>> = Mutex::new(Vec::new());

/// Whether there are any.
static SOME: AtomicBool = AtomicBool::new(false);

pub(super) fn note(looped: u64, conn: ConnId) {
    FORGOTTEN.lock().expect("nothing panics under it").push((looped, conn));
    SOME.store(true, Ordering::Relaxed);
}

/// Closes those of the loop's.
///
/// # Safety
///
/// The GVL is held, and it is the thread's own loop.
#[inline]
pub(crate) unsafe fn close(looped: *mut Looped) {
    if SOME.load(Ordering::Relaxed) {
        // SAFETY: as above.
        unsafe { close_some(looped) }
    }
}

#[cold]
unsafe fn close_some(looped: *mut Looped) {
    // SAFETY: as above; no borrow outlives its statement.
    unsafe {
        let id = (*looped).id;
        let mut forgotten = FORGOTTEN.lock().expect("nothing panics under it");
        forgotten.retain(|&(whose, conn)| {
            if whose == id && (*looped).runtime.conns().is_open(conn) {
                (*looped).runtime.close(conn.fd(), NOBODY);
            }
            whose != id
        });
        SOME.store(!forgotten.is_empty(), Ordering::Relaxed);
    }
}
