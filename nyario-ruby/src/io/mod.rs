//! Reading and writing: what a fiber calls on whatever has a descriptor.

mod accept;
mod connect;
mod exactly;
mod gather;
mod held;
mod keywords;
mod listen;
mod more;
mod names;
mod read;
mod several;
pub(crate) mod socket;
mod source;
mod text;
mod until;
mod write;

pub(crate) use exactly::read_exactly;
pub(crate) use keywords::keywords;
pub(crate) use read::{finish, read_from};
pub(crate) use source::Source;
pub(crate) use text::room;
pub(crate) use until::{End, read_until};
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

/// The loop that the caller runs on; raises when there is none, for what only a loop can have.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller.
unsafe fn insist_on_a_loop() -> *mut Looped {
    let looped = looped::running();
    if looped.is_null() {
        // SAFETY: as above.
        unsafe { raise::runtime("a connection belongs to a loop that runs: this is to be called on a fiber of one") }
    }
    looped
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
    let ruby = magnus::Ruby::get_with(nyario);
    nyario.define_error("LimitError", ruby.exception_standard_error())?;
    let singleton = nyario.singleton_class()?.as_raw();
    // SAFETY: each function has the signature of its arity.
    unsafe {
        api::method(singleton, c"read", read::read as *const (), -1);
        api::method(singleton, c"read_exactly", exactly::exactly as *const (), 2);
        api::method(singleton, c"read_until", until::until as *const (), -1);
        api::method(singleton, c"accept", accept::accept as *const (), 1);
        api::method(singleton, c"connect", connect::connect as *const (), -1);
        api::method(singleton, c"listen", listen::listen as *const (), -1);
        api::method(singleton, c"write", write::write as *const (), -1);
    }
    Ok(())
}
