//! `Nyario::Connection`: what a handler is given.

use crate::looped::{self, QFALSE, QNIL, QTRUE};
use crate::typed::{self, DataType, Typed};
use crate::{api, descriptor, io};
use magnus::{Class, Error, Module, RModule, Ruby};
use nyario_core::conn::ConnId;
use rb_sys::VALUE;
use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

pub(crate) struct Connection {
    pub(crate) conn: ConnId,
    /// Whose it is.
    pub(crate) looped: u64,
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
    let connection = Connection { conn, looped };
    // SAFETY: as above; the class is a constant, so it stays.
    unsafe { typed::wrap(*CLASS.get().expect("defined when the extension was loaded"), connection) }
}

unsafe extern "C" fn read(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe { io::read_from(this, descriptor::of_connection(this), api::arguments(argc, argv)) }
}

unsafe extern "C" fn write(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe { io::write_to(this, descriptor::of_connection(this), api::arguments(argc, argv)) }
}

unsafe extern "C" fn close(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        if let Some(fd) = descriptor::of_open(this) {
            io::close(looped::running(), fd);
        }
    }
    QNIL
}

unsafe extern "C" fn is_closed(this: VALUE) -> VALUE {
    // SAFETY: as above.
    if unsafe { descriptor::of_open(this) }.is_none() { QTRUE } else { QFALSE }
}

unsafe extern "C" fn fileno(this: VALUE) -> VALUE {
    // SAFETY: as above.
    rb_sys::LONG2NUM(unsafe { descriptor::of_connection(this) }.into())
}

pub(crate) fn define(ruby: &Ruby, nyario: RModule) -> Result<(), Error> {
    let class = nyario.define_class("Connection", ruby.class_object())?;
    class.undef_default_alloc_func();
    let raw = {
        use magnus::rb_sys::AsRawValue;
        class.as_raw()
    };
    CLASS.get_or_init(|| raw);
    // SAFETY: each function has the signature of its arity.
    unsafe {
        api::method(raw, c"read", read as *const (), -1);
        api::method(raw, c"write", write as *const (), -1);
        api::method(raw, c"close", close as *const (), 0);
        api::method(raw, c"closed?", is_closed as *const (), 0);
        api::method(raw, c"fileno", fileno as *const (), 0);
    }
    Ok(())
}
