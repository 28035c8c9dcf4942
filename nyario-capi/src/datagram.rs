//! Datagram sockets by address.

use crate::boundary::{on_loop, text};
use nyario_core::net;
use nyario_core::sys::Errno;
use std::ffi::{c_char, c_int};

/// Opens a datagram socket: UDP, or of unix for a path (addresses are as for nyario_listen). At `local` messages reach it;
/// with NULL the kernel chooses an address, and a unix socket has none, so that nobody can answer it. With a `remote` it is
/// connected: messages come from there alone, and go there with nyario_send or nyario_write; with NULL, nyario_sendto names
/// whom each is for. One of the two must be given, and both are of one family. A path that a dead socket left behind is taken
/// over. The descriptor is close-on-exec and non-blocking; nyario_close ends it. Does not suspend.
///
/// Returns the descriptor, or -EINVAL for two NULLs or text that is no address, -ENAMETOOLONG, -EADDRINUSE, -EADDRNOTAVAIL,
/// -EACCES, -ENOENT and -ECONNREFUSED for a unix `remote` that is not there, -ENETUNREACH, -EMFILE, -ENFILE, -ENOMEM. Since
/// 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_datagram(local: *const c_char, remote: *const c_char) -> c_int {
    on_loop(|looped| {
        let given = |address: *const c_char| {
            // SAFETY: the caller lends C strings for the call.
            (!address.is_null()).then(|| unsafe { text(address) }).transpose()
        };
        match (given(local)?, given(remote)?) {
            (None, None) => Err(Errno(libc::EINVAL)),
            (local, remote) => net::datagram(looped, local, remote),
        }
    })
}
