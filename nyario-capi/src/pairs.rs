//! Two descriptors at once, each the other's peer.

use crate::boundary::on_loop;
use nyario_core::net;
use nyario_core::sys::{Errno, Fd};
use std::ffi::c_int;

/// Opens two sockets that are connected to each other and writes them to `ends`; the arguments are those of socketpair(2),
/// such as AF_UNIX, SOCK_STREAM and 0. They are close-on-exec, and nyario's like one that was dialled: nyario_close ends
/// each, and only nyario must read them. That spares what one of socketpair(2) costs each wait, a look whether its number is
/// still the same socket's. Does not suspend.
///
/// Returns 0, or -EINVAL for NULL, -EAFNOSUPPORT, -EOPNOTSUPP, -EPROTONOSUPPORT, -ESOCKTNOSUPPORT, -EMFILE, -ENFILE,
/// -ENOMEM. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_socketpair(domain: c_int, kind: c_int, protocol: c_int, ends: *mut c_int) -> c_int {
    // SAFETY: the caller lends the place for the call.
    on_loop(|looped| unsafe { tell(ends, || net::socketpair(looped, domain, kind, protocol)) })
}

/// Opens a pipe and writes its ends to `ends`: what is written to the second is read from the first. They are close-on-exec
/// and otherwise as with nyario_socketpair; a child process that one is handed to finds it blocking. Does not suspend.
///
/// Returns 0, or -EINVAL for NULL, -EMFILE, -ENFILE, -ENOMEM. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_pipe(ends: *mut c_int) -> c_int {
    // SAFETY: the caller lends the place for the call.
    on_loop(|looped| unsafe { tell(ends, || net::pipe(looped)) })
}

/// # Safety
///
/// `ends` must be NULL or have room for two.
unsafe fn tell(ends: *mut c_int, open: impl FnOnce() -> Result<[Fd; 2], Errno>) -> Result<c_int, Errno> {
    if ends.is_null() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: forwarded from the caller.
    unsafe { ends.cast::<[Fd; 2]>().write(open()?) };
    Ok(0)
}
