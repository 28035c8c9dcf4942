//! A connection whose first bytes have been received already, as a socket that still has them.

use super::{Connection, wrap_for_pump, wrap_own};
use crate::io::socket;
use crate::looped::{Looped, QFALSE, QNIL};
use crate::raise;
use nyario_core::driver::Carries;
use nyario_core::sys::{Errno, Fd, Kernel, Linux};
use rb_sys::{VALUE, rb_funcallv, rb_intern};
use std::ffi::{CStr, c_int};
use std::mem::take;
use std::ptr::null;

/// Connects a new pair of sockets with the connection, by a task for each direction, and returns the IO of its other end.
///
/// # Safety
///
/// The GVL is held, `looped` is the thread's own and runs, and the connection is one of its.
pub(super) unsafe fn begin(looped: *mut Looped, connection: *mut Connection) -> VALUE {
    let mut pair: [Fd; 2] = [-1; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: as above; the objects lie on this stack until the tasks' blocks have them.
    unsafe {
        if libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) < 0 {
            let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
            raise::system_call(-error);
        }
        let [theirs, ours] = pair;
        let inner = match (*looped).runtime.opened_as(ours, true, Carries::BytesAndDescriptors) {
            Ok(conn) => wrap_own(looped, conn),
            Err(Errno(number)) => {
                Linux.close(theirs);
                Linux.close(ours);
                raise::system_call(-number)
            }
        };
        let io = socket::wrap(theirs, c"UNIXSocket");
        // From now on the bytes that were read too early are the pump's.
        let line = wrap_for_pump(&*connection, take(&mut (*connection).buffer));
        let ends = rb_sys::rb_ary_new();
        spawn(rb_sys::rb_ary_new_from_args(4, line, inner, ends, QNIL));
        spawn(rb_sys::rb_ary_new_from_args(4, inner, line, ends, io));
        io
    }
}

unsafe fn spawn(direction: VALUE) {
    // SAFETY: called with the GVL held; the block keeps the direction.
    unsafe {
        let nyario = rb_sys::rb_path2class(c"Nyario".as_ptr());
        let block = rb_sys::rb_proc_new(Some(run), direction);
        rb_sys::rb_funcall_with_block(nyario, rb_intern(c"spawn".as_ptr()), 0, null(), block);
    }
}

unsafe extern "C" fn run(_: VALUE, direction: VALUE, _: c_int, _: *const VALUE, _: VALUE) -> VALUE {
    // SAFETY: the task runs it with the GVL held.
    unsafe { rb_sys::rb_rescue(Some(carry), direction, Some(give_up), direction) }
}

unsafe fn call(object: VALUE, method: &CStr, arguments: &[VALUE]) -> VALUE {
    // SAFETY: called with the GVL held; may raise.
    unsafe { rb_funcallv(object, rb_intern(method.as_ptr()), arguments.len() as c_int, arguments.as_ptr()) }
}

unsafe fn parts(direction: VALUE) -> [VALUE; 4] {
    // SAFETY: called with the GVL held; it is an array of `begin`'s.
    [0, 1, 2, 3].map(|at| unsafe { rb_sys::rb_ary_entry(direction, at) })
}

/// Carries one direction to its end.
unsafe extern "C" fn carry(direction: VALUE) -> VALUE {
    // SAFETY: called with the GVL held; the array, on this stack, has the rest.
    unsafe {
        let [from, to, ends, io] = parts(direction);
        loop {
            match call(from, c"read", &[]) {
                QNIL => break,
                text => call(to, c"write", &[text]),
            };
        }
        rb_sys::rb_ary_push(ends, QNIL);
        let over = rb_sys::RARRAY_LEN(ends) == 2 || (io != QNIL && call(io, c"closed?", &[]) != QFALSE);
        if over {
            call(from, c"close", &[]);
            call(to, c"close", &[]);
        } else {
            call(to, c"close_write", &[]);
        }
        std::hint::black_box(direction)
    }
}

/// One of the two is gone, and so is the other.
unsafe extern "C" fn give_up(direction: VALUE, _: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let [from, to, ..] = parts(direction);
        call(from, c"close", &[]);
        call(to, c"close", &[]);
    }
    QNIL
}
