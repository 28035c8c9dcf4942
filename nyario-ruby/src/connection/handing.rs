//! `to_io`: the connection as an IO of Ruby's, for whoever reads and writes the socket itself.
//!
//! ```text
//!   nothing received ahead   IO --- a duplicate of the socket, which is received ahead no more
//!   something is             IO --- socketpair --- two tasks --- socket
//! ```
//!
//! Bytes that have been received can not be put back into the socket, and OpenSSL asks nobody but the socket. So they go
//! out by another, and with them whatever follows.

use super::Connection;
use super::pump;
use crate::io::socket;
use crate::looped::{self, Looped, QNIL};
use crate::{api, descriptor, raise, typed};
use magnus::rb_sys::protect;
use nyario_core::conn::ConnId;
use nyario_core::net::Address;
use nyario_core::sys::{Errno, Fd, Kernel, Linux, check};
use rb_sys::{VALUE, rb_intern};

/// An IO that was made of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Handed {
    pub(crate) io: VALUE,
    /// It is the end of a pump, which closes the connection when everything has gone through.
    pumped: bool,
}

unsafe extern "C" fn to_io(this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; no borrow of the loop lives across a call into Ruby.
    unsafe {
        let fd = descriptor::of_connection(this);
        let looped = looped::running();
        let connection = typed::unwrap::<Connection>(this);
        let name = (*connection).conn.word();
        if let Some(handed) = (*looped).handed.get(&name) {
            return handed.io;
        }
        (*looped).runtime.driver().stay_behind(fd);
        let pumped = !(*connection).buffer.is_empty() || !(*looped).runtime.driver().peek(fd).is_empty();
        let io = if pumped { pump::begin(looped, connection) } else { duplicate(fd) };
        (*looped).handed.insert(name, Handed { io, pumped });
        rb_sys::rb_ivar_set(io, rb_intern(CONNECTION.as_ptr()), this);
        rb_sys::rb_define_singleton_method(io, c"close".as_ptr(), Some(api::function(close as *const ())), 0);
        io
    }
}

/// Where an IO has its connection. No name of Ruby's code: nobody sees it.
const CONNECTION: &std::ffi::CStr = c"nyario_connection";

/// `close` of the IO: the connection ends with it, as that of any socket does.
unsafe extern "C" fn close(io: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe {
        rb_sys::rb_call_super(0, std::ptr::null());
        let this = rb_sys::rb_ivar_get(io, rb_intern(CONNECTION.as_ptr()));
        super::ending::close(this)
    }
}

/// An IO on a duplicate of the socket. It does not block: OpenSSL would, with the GVL held.
unsafe fn duplicate(fd: Fd) -> VALUE {
    let duplicated = check(Linux.flags(fd)).and_then(|flags| {
        check(Linux.set_flags(fd, flags | libc::O_NONBLOCK))?;
        let inet = Address::of_socket(&Linux, fd).is_ok_and(|address| address.is_inet());
        check(Linux.duplicate(fd)).map(|fd| (fd, inet))
    });
    // SAFETY: called with the GVL held.
    unsafe {
        match duplicated {
            Ok((fd, inet)) => socket::wrap(fd, if inet { c"TCPSocket" } else { c"UNIXSocket" }),
            Err(Errno(number)) => raise::system_call(-number),
        }
    }
}

/// The connection ends: its IO is closed, if there is one. `true` says that a pump still has something of it, and closes it
/// afterwards.
///
/// # Safety
///
/// The GVL is held, and it is the thread's own loop.
#[inline]
pub(crate) unsafe fn take_back(looped: *mut Looped, conn: ConnId) -> bool {
    // SAFETY: as above.
    unsafe { !(*looped).handed.is_empty() && take_one_back(looped, conn) }
}

#[cold]
unsafe fn take_one_back(looped: *mut Looped, conn: ConnId) -> bool {
    // SAFETY: as above; no borrow outlives its statement, and the IO lies on this stack.
    unsafe {
        let Some(&Handed { io, pumped }) = (*looped).handed.get(&conn.word()) else { return false };
        if !pumped {
            (*looped).handed.remove(&conn.word());
        }
        if protect(|| rb_sys::rb_io_close(io)).is_err() {
            rb_sys::rb_set_errinfo(QNIL);
        }
        pumped
    }
}

/// # Safety
///
/// It is the class of connections.
pub(super) unsafe fn define(class: VALUE) {
    // SAFETY: as above; the function has the signature of its arity.
    unsafe { api::method(class, c"to_io", to_io as *const (), 0) };
}
