//! How a fiber ends: what it has asked to be done then, and ending from any depth.
//!
//! ```text
//!   its code returns or panics --+--> cleanup handlers, last pushed first --> destructors of its values --> buried
//!   Loop::exit ------------------+         (each may suspend, push more, or exit)
//! ```

use super::callback::Callback;
use super::control::Fiber;
use super::keys::Key;
use super::scheduler::Loop;
use crate::sys::{Errno, Kernel};
use std::convert::Infallible;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many values are destroyed at the most, as a destructor may leave new ones. What is left then is forgotten.
const PATIENCE: u32 = 4096;

/// Does what a fiber has asked to be done at its end. `false` says that a panic ended a part of it.
///
/// # Safety
///
/// The caller must run on that fiber.
pub(super) unsafe fn wind_up(fiber: *mut Fiber) -> bool {
    let mut well = true;
    let mut patience = PATIENCE;
    loop {
        // What is called may push and set more, and may exit, so nothing is borrowed and nothing is owned meanwhile.
        // SAFETY: forwarded from the caller; what lies behind the pointer is the fiber's own.
        let handler = unsafe { (*fiber).cold.as_mut() }.and_then(|cold| cold.cleanup.pop());
        if let Some(handler) = handler {
            well &= catch_unwind(AssertUnwindSafe(|| handler.call())).is_ok();
            continue;
        }
        // SAFETY: as above.
        let value = unsafe { (*fiber).cold.as_mut() }.and_then(|cold| cold.values.next_to_destroy());
        match value.filter(|_| patience > 0) {
            None => return well,
            // SAFETY: whoever created the key vouches for its destructor, and whoever set the value for that.
            Some((destructor, value)) => unsafe { destructor(value) },
        }
        patience -= 1;
    }
}

impl<K: Kernel> Loop<K> {
    /// Ends the running fiber with `value`, from any depth, as if its code had returned it. Does not return.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside a fiber.
    ///
    /// # Safety
    ///
    /// What lies on the fiber's stack is left as it is: nothing there is dropped, and its memory is used again. So nobody
    /// may rely on a destructor of it, nor refer to it. For code in C; code in Rust returns.
    pub unsafe fn exit(&self, value: u64) -> Result<Infallible, Errno> {
        let fiber = self.running_fiber()?;
        // SAFETY: it runs, and the caller gives its frames up.
        unsafe { Fiber::exit(fiber, value) }
    }

    /// Has `code` called when the running fiber ends, by returning, by a panic or by [`exit`](Self::exit); the last that
    /// was pushed comes first. It runs on the fiber and may suspend. A deadline of the fiber's and a cancel that has not
    /// been told are still in force then.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside a fiber.
    pub fn push_cleanup(&self, code: impl Fn() + 'static) -> Result<(), Errno> {
        let fiber = self.running_fiber()?;
        let code = Callback::new(code);
        // SAFETY: the fiber runs.
        self.with(|inner| unsafe { inner.cold(fiber) }.cleanup.push(code));
        Ok(())
    }

    /// Takes back what was pushed last, and calls it if `execute` says so.
    ///
    /// # Errors
    ///
    /// `EINVAL` outside a fiber, or when there is nothing left that was pushed.
    pub fn pop_cleanup(&self, execute: bool) -> Result<(), Errno> {
        let fiber = self.running_fiber()?;
        // SAFETY: the fiber runs, so what lies behind the pointer is its own.
        let code = unsafe { (*fiber).cold.as_mut() }.and_then(|cold| cold.cleanup.pop());
        let code = code.ok_or(Errno(libc::EINVAL))?;
        if execute {
            code.call();
        }
        Ok(())
    }

    /// The running fiber's value under a key, null if it has set none or there is no such key. Outside a fiber, the
    /// loop's own.
    pub fn get(&self, key: Key) -> *mut c_void {
        match self.running_fiber() {
            // SAFETY: the fiber runs, so what lies behind the pointer is its own.
            Ok(fiber) => unsafe { (*fiber).cold.as_ref() }.map_or(std::ptr::null_mut(), |cold| cold.values.get(key)),
            Err(_) => self.with(|inner| inner.values.get(key)),
        }
    }

    /// Sets the running fiber's value under a key; outside a fiber, the loop's own, whose destructors are called when the
    /// loop is dropped.
    ///
    /// # Errors
    ///
    /// `EINVAL` when there is no such key.
    pub fn set(&self, key: Key, value: *mut c_void) -> Result<(), Errno> {
        match self.running_fiber() {
            // SAFETY: the fiber runs.
            Ok(fiber) => self.with(|inner| unsafe { inner.cold(fiber) }.values.set(key, value)),
            Err(_) => self.with(|inner| inner.values.set(key, value)),
        }
    }

    /// Calls the destructors of the loop's own values.
    pub(crate) fn destroy_values(&self) {
        for _ in 0..PATIENCE {
            let Some((destructor, value)) = self.with(|inner| inner.values.next_to_destroy()) else { return };
            // SAFETY: as above.
            unsafe { destructor(value) };
        }
    }
}
