//! `Nyario::Connection`: a stream socket that the loop reads and writes.
//!
//! ```text
//!   buffer    what was read past what was asked for
//!   reading   read, gets and their kin
//!   writing   write and its kin
//!   ending    close, close_write
//!   timeout   how long a call may wait
//! ```

pub(crate) mod buffer;
mod ending;
mod reading;
mod timeout;
mod writing;

use crate::typed::{self, DataType, Typed};
use crate::{api, descriptor};
use buffer::Buffer;
use magnus::rb_sys::AsRawValue;
use magnus::{Class, Error, Module, RModule, Ruby};
use nyario_core::conn::ConnId;
use rb_sys::VALUE;
use std::ffi::CStr;
use std::sync::OnceLock;

pub(crate) struct Connection {
    pub(crate) conn: ConnId,
    /// Whose it is.
    pub(crate) looped: u64,
    pub(crate) buffer: Buffer,
    /// How many nanoseconds a call may wait; 0: as long as it takes.
    pub(crate) timeout: u64,
}

impl Typed for Connection {
    const NAME: &'static CStr = c"Nyario::Connection";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Connection>();
        &TYPE
    };

    fn mark(&self) {}
}

static CLASS: OnceLock<VALUE> = OnceLock::new();

/// The Ruby object of a connection.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn wrap(conn: ConnId, looped: u64) -> VALUE {
    let connection = Connection { conn, looped, buffer: Buffer::default(), timeout: 0 };
    // SAFETY: as above; the class is a constant, so it stays.
    unsafe { typed::wrap(*CLASS.get().expect("defined when the extension was loaded"), connection) }
}

unsafe extern "C" fn fileno(this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    rb_sys::LONG2NUM(unsafe { descriptor::of_connection(this) }.into())
}

pub(crate) fn define(ruby: &Ruby, nyario: RModule) -> Result<(), Error> {
    let class = nyario.define_class("Connection", ruby.class_object())?;
    class.undef_default_alloc_func();
    let class = class.as_raw();
    CLASS.get_or_init(|| class);
    // SAFETY: the class is the one that the methods expect; each function has the signature of its arity.
    unsafe {
        reading::define(class);
        writing::define(class);
        ending::define(class);
        timeout::define(class);
        api::method(class, c"fileno", fileno as *const (), 0);
    }
    Ok(())
}
