//! Threads.

use crate::boundary::{guard, keeping_errno, on_loop};
use crate::fiber::nyario_entry;
use nyario_core::local::{self, LoopId, threads};
use nyario_core::offload;
use nyario_core::sys::{Errno, check};
use std::ffi::{c_int, c_uint, c_void};

/// What a pointer of the caller's leads to is the caller's to share between threads.
struct Word(*mut c_void);

// SAFETY: a pointer is a word; whoever follows it answers for that.
unsafe impl Send for Word {}
// SAFETY: as above.
unsafe impl Sync for Word {}

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

/// Stands for the loop of a thread of this process, and never for another of it; above 0.
#[allow(non_camel_case_types, reason = "C's name for it")]
pub type nyario_loop_id = i64;

/// The calling thread's loop, for other threads that post to it. Does not suspend.
///
/// Returns it, or -EINVAL, -EMFILE, -ENFILE, -ENOMEM, -EPERM when the loop cannot be made. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_loop_self() -> nyario_loop_id {
    keeping_errno(|| guard(|| Ok(local::name()?.word() as nyario_loop_id)))
}

/// Has the loop `target` run `entry(arg)` on a new fiber, which nobody joins and whose result is dropped. May be called
/// on any thread, but not in a signal handler. What one thread posts begins in the order in which it was posted. Does not
/// suspend.
///
/// A loop that sleeps is woken. One that does not run begins `entry` when it next does, and one that is told to end
/// begins it before it does, though whatever would wait is refused then; a thread that ends without running its loop
/// again never begins it. A loop ends when it has neither server nor fiber, whoever may want to post to it: a fiber that
/// sleeps keeps it.
///
/// A connection that is to be served by another loop is best handed over before it is read: dup(2) it, post the
/// duplicate, and close the original.
///
/// Returns 0, or -EINVAL for a NULL entry, -ESRCH when there is no such loop any more. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_post(target: nyario_loop_id, entry: nyario_entry, arg: *mut c_void) -> c_int {
    keeping_errno(|| {
        guard(|| {
            let entry = entry.ok_or(Errno(libc::EINVAL))?;
            let arg = Word(arg);
            let code = move || {
                let arg = arg;
                // SAFETY: the caller vouches for entry and argument until that has run.
                unsafe { entry(arg.0) };
            };
            local::post(LoopId::from_word(target as u64), code).map(|()| 0)
        })
    })
}

/// Prepares the loop of one thread; `index` is the thread's number. Returns 0, or a negative errno.
#[allow(non_camel_case_types, reason = "C's name for it")]
pub type nyario_thread_init = Option<unsafe extern "C" fn(index: c_uint, arg: *mut c_void) -> c_int>;

/// Runs `n` loops, each on a thread of its own, until all of them have ended; 0 stands for as many as there are processors
/// that the process may use. If `pin` is not 0, each thread stays on one of these. On each thread `init(index, arg)` is
/// called before its loop runs, off a fiber, to register servers (see nyario_listen_shared) and spawn fibers. Blocks the
/// thread.
///
/// A loop may end by itself, as in nyario_loop, or by nyario_stop on its thread, and the others go on;
/// nyario_stop_threads and nyario_drain_threads end them all. When `init` fails, or a thread cannot begin, all the others
/// are stopped. The threads inherit the signal mask of the caller.
///
/// Returns 0, or the first error: of `init`, or -EAGAIN, -ENOMEM, -EMFILE, -ENFILE, -EPERM, -EINVAL; -EINVAL for a NULL
/// init, -EDEADLK on a fiber, -EBUSY while another such call goes on. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_threads(n: c_uint, pin: c_int, init: nyario_thread_init, arg: *mut c_void) -> c_int {
    keeping_errno(|| {
        guard(|| {
            let init = init.ok_or(Errno(libc::EINVAL))?;
            let arg = &Word(arg);
            let prepare = |index: usize| {
                // SAFETY: the caller vouches for init and argument until the call returns.
                let result = unsafe { init(index as c_uint, arg.0) };
                // What is no errno cannot be told as one.
                check(if result < -4095 { -libc::EINVAL } else { result }).map(drop)
            };
            threads::run(n as usize, pin != 0, prepare).map(|()| 0)
        })
    })
}

/// Ends all loops of the nyario_threads that runs, as nyario_stop does each. May be called on any thread and in a signal
/// handler. Does not suspend.
///
/// Returns 0, or -ESRCH when there is none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_stop_threads() -> c_int {
    guard(|| threads::stop().map(|()| 0))
}

/// Ends all loops of the nyario_threads that runs, as nyario_drain does each. May be called on any thread and in a signal
/// handler. Does not suspend.
///
/// Returns 0, or -EINVAL for a negative grace, -ESRCH when there is none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_drain_threads(grace: i64) -> c_int {
    guard(|| {
        let grace = u64::try_from(grace).map_err(|_| Errno(libc::EINVAL))?;
        threads::drain(grace).map(|()| 0)
    })
}
