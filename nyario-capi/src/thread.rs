//! Threads.

use crate::boundary::{keeping_errno, on_loop};
use crate::fiber::nyario_entry;
use nyario_core::offload;
use nyario_core::sys::Errno;
use std::ffi::{c_int, c_void};

/// What a pointer of the caller's leads to is the caller's to share between threads.
struct Word(*mut c_void);

// SAFETY: a pointer is a word; whoever follows it answers for that.
unsafe impl Send for Word {}

/// Runs `entry(arg)`, which may block, on a thread of a pool and stores what it returned in `*result`, unless `result`
/// is NULL. Suspends the fiber; off a fiber it simply calls `entry`.
///
/// The pool belongs to the process. It has no thread before its first call, at most 64 then, which take no signals, and
/// gives up those that have had nothing to do for a while; calls that find all of them busy wait in the order in which
/// they came. Which thread it is, is not promised. `entry` is off a fiber there: nyario's functions block its thread, and
/// what it has opened there belongs to that thread's loop.
///
/// A cancel or a deadline that comes before `entry` has begun takes the call back: `entry` never runs. Once it has begun
/// it cannot be stopped, and it may use `arg` to the last: the fiber then stays where it is until `entry` returns, its
/// result is delivered, and a cancel is for the fiber's next suspension. A loop that ends waits for it, too.
///
/// Returns 0, or -EINVAL for a NULL entry; -ECANCELED and -ETIMEDOUT, both of which say that `entry` did not run; -EAGAIN
/// or -ENOMEM when there is no thread and none can be made. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_blocking(entry: nyario_entry, arg: *mut c_void, result: *mut *mut c_void) -> c_int {
    keeping_errno(|| {
        on_loop(|looped| {
            let entry = entry.ok_or(Errno(libc::EINVAL))?;
            let arg = Word(arg);
            let call = move || {
                let arg = arg;
                // SAFETY: the caller vouches for entry and argument until the call returns.
                Word(unsafe { entry(arg.0) })
            };
            let value = offload::run(looped, call)?.0;
            if !result.is_null() {
                // SAFETY: the caller lends a place for the result.
                unsafe { result.write(value) };
            }
            Ok(0)
        })
    })
}
