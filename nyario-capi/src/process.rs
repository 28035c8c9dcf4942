//! Processes.

use crate::boundary::{keeping_errno, on_loop};
use nyario_core::process;
use std::ffi::c_int;

/// Waits for a child as waitpid(2) does, with the same `pid` and `options` (WNOHANG, WUNTRACED, WCONTINUED), and stores its
/// status in `*status`, unless that is NULL. Suspends the fiber; off a fiber it blocks the thread. A fiber that gives up
/// leaves the child to be waited for by others.
///
/// When `pid` names no single child, or `options` ask for more than its end, a thread of nyario_blocking's pool does the
/// waiting. If the fiber gives up, that thread stays busy until some child that `pid` stands for has changed, or none is
/// left: giving up again and again can use the pool up. Better to go on waiting on a fiber of its own, and to have that
/// tell the others; or to wait for SIGCHLD with nyario_sigwait, and then look with WNOHANG.
///
/// Returns the child's pid, 0 with WNOHANG when none has changed, or -ECHILD when there is no such child (any more),
/// -EINVAL for other options, -EMFILE, -ENFILE, -ENOMEM, -EAGAIN, -ECANCELED, -ETIMEDOUT. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_wait(pid: libc::pid_t, status: *mut c_int, options: c_int) -> libc::pid_t {
    keeping_errno(|| {
        on_loop(|looped| {
            let (child, found) = process::wait(looped, pid, options)?;
            if child > 0 && !status.is_null() {
                // SAFETY: the caller lends a place for the status.
                unsafe { status.write(found) };
            }
            Ok(child)
        })
    })
}
