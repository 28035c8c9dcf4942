//! Reading and writing: what a fiber calls on whatever has a descriptor.

mod held;
mod read;
mod write;

pub(crate) use read::read_from;
pub(crate) use write::write_to;

use crate::looped::{self, Looped};
use crate::{api, raise};
use magnus::rb_sys::AsRawValue;
use magnus::{Error, RModule, prelude::*};
use nyario_core::sys::Fd;

/// A signal handler that runs on the loop's own fiber would wait for the loop, and the loop for it.
unsafe fn refuse_to_wait() -> ! {
    // SAFETY: called with the GVL held.
    unsafe { raise::runtime("the loop's own fiber cannot wait") }
}

/// Closes a descriptor; whatever waits on it fails with EBADF.
///
/// # Safety
///
/// Called from Ruby, with the GVL held; the descriptor is a connection of the thread's loop, which runs.
pub(crate) unsafe fn close(looped: *mut Looped, fd: Fd) {
    // SAFETY: as above; a close borrows nothing.
    unsafe {
        let result = looped::close(looped, fd);
        if result < 0 {
            raise::system_call(result);
        }
    }
}

pub(crate) fn define(nyario: RModule) -> Result<(), Error> {
    let singleton = nyario.singleton_class()?.as_raw();
    // SAFETY: each function has the signature of its arity.
    unsafe {
        api::method(singleton, c"read", read::read as *const (), -1);
        api::method(singleton, c"write", write::write as *const (), -1);
    }
    Ok(())
}
