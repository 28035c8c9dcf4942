//! `Nyario::Connection`: a stream socket that the loop reads and writes.
//!
//! ```text
//!   buffer    what was read past what was asked for
//!   reading   read, gets and their kin
//!   writing   write and its kin
//!   ending    close, close_write
//!   timeout   how long a call may wait
//!   address   between whom it is
//!   handing   to_io, and the pump that it may need
//!   forgotten what is collected without having been closed
//! ```

mod address;
pub(crate) mod buffer;
mod ending;
pub(crate) mod forgotten;
pub(crate) mod handing;
mod pump;
mod reading;
mod timeout;
mod writing;

pub(crate) use timeout::nanos;

use crate::looped::{self, Looped};
use crate::typed::{self, DataType, Typed};
use crate::{api, descriptor};
use buffer::Buffer;
use magnus::rb_sys::AsRawValue;
use magnus::{Class, Error, Module, RModule, Ruby};
use nyario_core::conn::ConnId;
use nyario_core::sys::Fd;
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
    /// No handler's end closes it; it is closed when it is collected.
    own: bool,
    /// It is a pump's, which closes it when everything has gone through; another object stands for the caller's.
    pumps: bool,
}

impl Connection {
    /// Its descriptor, while it is open and the calling thread runs its loop.
    ///
    /// # Safety
    ///
    /// The GVL is held.
    #[inline]
    pub(crate) unsafe fn open(&self) -> Option<Fd> {
        let looped = looped::running();
        // SAFETY: as above. Another thread's loop, or a later one of this thread, has other connections by the same names.
        let open =
            unsafe { !looped.is_null() && (*looped).id == self.looped && (*looped).runtime.conns().is_open(self.conn) };
        open.then(|| self.conn.fd())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.own {
            forgotten::note(self.looped, self.conn);
        }
    }
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
    // SAFETY: as above.
    unsafe { object(Connection { conn, looped, buffer: Buffer::default(), timeout: 0, own: false, pumps: false }) }
}

/// The Ruby object of a connection that was opened for its caller alone.
///
/// # Safety
///
/// The GVL is held, and it is the thread's own loop's.
pub(crate) unsafe fn wrap_own(looped: *mut Looped, conn: ConnId) -> VALUE {
    // SAFETY: as above.
    unsafe {
        forgotten::close(looped);
        object(Connection {
            conn,
            looped: (*looped).id,
            buffer: Buffer::default(),
            timeout: 0,
            own: true,
            pumps: false,
        })
    }
}

/// The object that a pump has of the same connection; it takes over what has been read.
unsafe fn wrap_for_pump(other: &Connection, buffer: Buffer) -> VALUE {
    let Connection { conn, looped, .. } = *other;
    // SAFETY: called with the GVL held.
    unsafe { object(Connection { conn, looped, buffer, timeout: 0, own: false, pumps: true }) }
}

unsafe fn object(connection: Connection) -> VALUE {
    // SAFETY: called with the GVL held; the class is a constant, so it stays.
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
        address::define(class);
        handing::define(class);
        api::method(class, c"fileno", fileno as *const (), 0);
    }
    Ok(())
}
