//! Embedding in a foreign loop.

use crate::boundary::on_loop;
use std::ffi::{c_int, c_void};

/// Tells a foreign loop that nyario has something to do; see nyario_wakeup.
#[allow(non_camel_case_types, reason = "C's name for it")]
pub type nyario_alarm = Option<unsafe extern "C" fn(data: *mut c_void)>;

/// A descriptor for a foreign loop (poll(2), libev, libuv) to watch in nyario's stead: it polls as readable when
/// nyario_turn has something to do. To be watched and nothing else: it stays the calling thread's loop's, and ends with
/// it. A foreign loop goes round like this:
///
///     timeout = nyario_backend_timeout();
///     (wait until the descriptor is readable, for up to `timeout` nanoseconds)
///     nyario_turn(0);
///
/// Does not suspend.
///
/// Returns the descriptor, or -EMFILE, -ENFILE, -ENOMEM, or as nyario_loop when the loop cannot be made. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_backend_fd() -> c_int {
    on_loop(|looped| looped.descriptor())
}

/// How long a foreign loop may wait for the descriptor before it calls nyario_turn: until the next timer or deadline,
/// or until the loop's own housekeeping is due. To be asked right before every wait, as whatever the thread has done
/// since the last turn (nyario_spawn, for one) may have left something to do at once. Does not suspend.
///
/// Returns nanoseconds, 0 when there is something to do now, -1 when there is no limit; or -EDEADLK on a fiber. Since
/// 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_backend_timeout() -> i64 {
    on_loop(|looped| {
        let until = looped.until_due()?;
        Ok(until.map_or(-1, |nanos| i64::try_from(nanos).unwrap_or(i64::MAX)))
    })
}

/// Runs whatever is ready on the calling thread's loop. When nothing is, it waits for up to `timeout` nanoseconds, and
/// with a negative one as long as it takes, and then runs what has become ready. It comes back after a bounded number
/// of rounds even if there is more to do: nyario_backend_timeout says so. Blocks the thread for the time-out at most.
///
/// After nyario_stop the next turn ends the loop as nyario_loop does: it closes the servers, cancels the fibers, waits for
/// them to return, and closes their connections; that may block. After nyario_drain the turn does so in which the last
/// fiber ends, or the grace. Without either, nothing is closed when the last fiber ends. The loop can be used again.
///
/// Returns 1 while there are servers, fibers or timers, 0 when there are none (any more), or -EDEADLK on a fiber, or as
/// nyario_loop when the loop cannot be made. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_turn(timeout: i64) -> c_int {
    on_loop(|looped| looped.turn(u64::try_from(timeout).ok()).map(c_int::from))
}

/// Sets what is called when the calling thread's loop is woken between two turns: by another thread, or by
/// nyario_stop. `alarm(data)` should make the foreign loop call nyario_turn soon (ev_async_send, uv_async_send, a byte
/// into a pipe). It is called once for each time that a turn or nyario_backend_timeout has found nothing to do, on the
/// thread that wakes, and in the signal handler if that is one which calls nyario_stop: so it must be async-signal-safe,
/// and must not call nyario. Without one, or with NULL, the descriptor of nyario_backend_fd becomes readable instead.
/// What is set must stay valid as long as anybody can wake the loop, even when something else has been set since.
/// Does not suspend.
///
/// Returns 0, or as nyario_loop when the loop cannot be made. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_wakeup(alarm: nyario_alarm, data: *mut c_void) -> c_int {
    /// What the caller declares to be good for any thread.
    struct Data(*mut c_void);
    // SAFETY: the caller of `nyario_wakeup` lends it to whoever wakes the loop.
    unsafe impl Send for Data {}
    // SAFETY: as above.
    unsafe impl Sync for Data {}
    impl Data {
        fn get(&self) -> *mut c_void {
            self.0
        }
    }
    on_loop(|looped| {
        let data = Data(data);
        let ring = alarm.map(|alarm| -> Box<dyn Fn() + Send + Sync> {
            // SAFETY: the caller vouches for function and argument for as long as anybody can wake the loop.
            Box::new(move || unsafe { alarm(data.get()) })
        });
        looped.set_alarm(ring);
        Ok(0)
    })
}
