//! Deadlines.

use crate::boundary::on_loop;
use crate::time::nanos;

/// Sets the running fiber's deadline, in nanoseconds of nyario_now's clock, 0 for none: whatever it waits for past
/// then fails with -ETIMEDOUT. Does not suspend.
///
/// Returns the deadline before, 0 for none, or -EINVAL for a negative one, or off a fiber. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_deadline(when: i64) -> i64 {
    on_loop(|looped| looped.deadline(nanos(when)?).map(|before| before as i64))
}

/// Narrows the running fiber's deadline to so many nanoseconds from now, unless it is sooner already. What it returns is
/// for nyario_deadline to restore, so that scopes nest, and none outlives the one around it:
///
///     int64_t outer = nyario_within(1000000000);
///     ...
///     nyario_deadline(outer);
///
/// Does not suspend.
///
/// Returns the deadline before, 0 for none, or -EINVAL for a negative time, or off a fiber. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_within(nanoseconds: i64) -> i64 {
    on_loop(|looped| looped.within(nanos(nanoseconds)?).map(|before| before as i64))
}
