//! What the same calls do outside a fiber: they block the thread, so that one code runs in both places.

use crate::driver::{Blocking, Op};
use crate::sys::{Fd, Kernel};

/// Carries an operation out, waiting in the kernel for as long as it takes.
///
/// # Safety
///
/// The operation's pointers must be valid.
pub(super) unsafe fn perform<K: Kernel>(kernel: &K, op: Op) -> i32 {
    let operation = match Blocking::new(kernel, op) {
        Ok(operation) => operation,
        Err(error) => return error.result(),
    };
    loop {
        // SAFETY: forwarded from the caller.
        let result = unsafe { operation.attempt(kernel) };
        if result != -libc::EAGAIN || !operation.waits() {
            return result;
        }
        let waited = wait(kernel, operation.fd(), operation.events());
        if waited < 0 && waited != -libc::EINTR {
            return waited;
        }
    }
}

fn wait<K: Kernel>(kernel: &K, fd: Fd, events: i16) -> i32 {
    kernel.poll(&mut [libc::pollfd { fd, events, revents: 0 }], None)
}

/// Sleeps for so many nanoseconds, however many signals come.
pub(super) fn sleep<K: Kernel>(kernel: &K, nanos: u64) -> i32 {
    let until = kernel.now().saturating_add(nanos);
    loop {
        let now = kernel.now();
        if now >= until {
            return 0;
        }
        kernel.poll(&mut [], Some(until - now));
    }
}
