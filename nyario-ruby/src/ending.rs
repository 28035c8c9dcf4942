//! Ending a loop whose fibers have not ended by themselves.

use crate::fiber;
use crate::looped::{Looped, QNIL};
use magnus::Error;
use magnus::rb_sys::protect;
use nyario_core::driver::OpId;
use std::mem::replace;

/// How often a fiber may begin to wait again while the loop ends, before it is left alone.
const REFUSALS: u32 = 1000;

/// Refuses whatever would wait, so that every fiber leaves by way of what it ensures. An exception that comes meanwhile
/// does not shorten it, and is handed on.
///
/// # Safety
///
/// The GVL is held, `looped` is the thread's own, and the caller is its root fiber.
pub(crate) unsafe fn end(looped: *mut Looped) -> Result<(), Error> {
    let mut outcome = Ok(());
    // SAFETY: as above; no borrow outlives its statement, and what may raise runs under `protect`.
    unsafe {
        let mut failure = replace(&mut (*looped).failure, QNIL);
        (*looped).ending = true;
        (*looped).runtime.shut();
        let mut refusals = 0;
        while (*looped).is_in_use() && refusals < REFUSALS {
            refusals += 1;
            let waits: Vec<OpId> = (*looped).waiters.iter().map(|waiter| waiter.op).collect();
            for op in waits {
                (*looped).runtime.cancel(op);
            }
            let step = protect(|| {
                fiber::run_ready(looped);
                if !(*looped).is_gone() {
                    (*looped).runtime.turn(true, false);
                }
                QNIL
            });
            outcome = outcome.and(step.map(drop));
            if (*looped).is_gone() {
                return outcome;
            }
            // Only the first is told; but while there is one, no fiber would run.
            let another = replace(&mut (*looped).failure, QNIL);
            failure = if failure == QNIL { another } else { failure };
        }
        if (*looped).is_in_use() {
            let left = (*looped).jobs + (*looped).guests;
            eprintln!("nyario: {left} fibers went on waiting after {REFUSALS} refusals; they are abandoned");
        }
        (*looped).failure = failure;
    }
    outcome
}
