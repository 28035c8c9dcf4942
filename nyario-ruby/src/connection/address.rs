//! Between whom a connection is.

use crate::{api, descriptor, raise};
use nyario_core::sys::{Fd, Kernel, Linux};
use rb_sys::VALUE;
use std::ffi::{c_int, c_long, c_void};

/// The `Addrinfo` of what a call tells.
unsafe fn told(this: VALUE, tell: impl FnOnce(Fd, *mut c_void, *mut u32) -> c_int) -> VALUE {
    // SAFETY: called with the GVL held; the kernel fills in as much as there is room.
    unsafe {
        let fd = descriptor::of_connection(this);
        let mut raw: libc::sockaddr_storage = std::mem::zeroed();
        let mut len = size_of_val(&raw) as u32;
        let result = tell(fd, (&raw mut raw).cast(), &mut len);
        if result < 0 {
            raise::system_call(result);
        }
        rb_sys::rb_require(c"socket".as_ptr());
        let arguments = [
            rb_sys::rb_str_new((&raw const raw).cast(), c_long::from(len)),
            rb_sys::LONG2NUM(c_long::from(raw.ss_family)),
            rb_sys::LONG2NUM(c_long::from(libc::SOCK_STREAM)),
        ];
        let class = rb_sys::rb_path2class(c"Addrinfo".as_ptr());
        rb_sys::rb_class_new_instance(arguments.len() as c_int, arguments.as_ptr(), class)
    }
}

unsafe extern "C" fn peer_address(this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; `told` hands in valid places.
    unsafe { told(this, |fd, addr, len| Linux.getpeername(fd, addr, len)) }
}

unsafe extern "C" fn local_address(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe { told(this, |fd, addr, len| Linux.getsockname(fd, addr, len)) }
}

/// # Safety
///
/// It is the class of connections.
pub(super) unsafe fn define(class: VALUE) {
    // SAFETY: as above; each function has the signature of its arity.
    unsafe {
        api::method(class, c"peer_address", peer_address as *const (), 0);
        api::method(class, c"local_address", local_address as *const (), 0);
    }
}
