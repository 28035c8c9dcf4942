//! The end of a connection, or of one direction.

use super::{Connection, handing};
use crate::looped::{self, QFALSE, QNIL, QTRUE};
use crate::{api, descriptor, io, raise, typed};
use nyario_core::sys::{Kernel, Linux};
use rb_sys::VALUE;

pub(super) unsafe extern "C" fn close(this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe {
        if let Some(fd) = descriptor::of_open(this) {
            let looped = looped::running();
            let connection = typed::unwrap::<Connection>(this);
            (*connection).own = false;
            if (*connection).pumps {
                (*looped).handed.remove(&(*connection).conn.word());
                io::close(looped, fd);
            } else if handing::take_back(looped, (*connection).conn) {
                // It is the pump's now, and this object's no more.
                (*connection).looped = NO_LOOP;
            } else {
                io::close(looped, fd);
            }
        }
    }
    QNIL
}

/// No loop is ever called that.
const NO_LOOP: u64 = u64::MAX;

unsafe extern "C" fn close_write(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let result = Linux.shutdown(descriptor::of_connection(this), libc::SHUT_WR);
        if result < 0 {
            raise::system_call(result);
        }
    }
    QNIL
}

unsafe extern "C" fn is_closed(this: VALUE) -> VALUE {
    // SAFETY: as above.
    if unsafe { descriptor::of_open(this) }.is_none() { QTRUE } else { QFALSE }
}

/// # Safety
///
/// It is the class of connections.
pub(super) unsafe fn define(class: VALUE) {
    // SAFETY: as above; each function has the signature of its arity.
    unsafe {
        api::method(class, c"close", close as *const (), 0);
        api::method(class, c"close_write", close_write as *const (), 0);
        api::method(class, c"closed?", is_closed as *const (), 0);
    }
}
