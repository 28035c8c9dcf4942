//! Names.

use crate::boundary::{bytes, bytes_mut, keeping_errno, on_loop};
use nyario_core::net::{self, Hints};
use nyario_core::sys::Errno;
use std::ffi::{CStr, c_char, c_int};

/// Invalid flags for a look-up; like all errors of this kind it is what EAI_BADFLAGS is to getaddrinfo(3).
pub const NYARIO_EAI_BADFLAGS: c_int = -3001;

/// No such host or service.
pub const NYARIO_EAI_NONAME: c_int = -3002;

/// No answer from the name servers for now.
pub const NYARIO_EAI_AGAIN: c_int = -3003;

/// The name servers failed.
pub const NYARIO_EAI_FAIL: c_int = -3004;

/// The host has no address.
pub const NYARIO_EAI_NODATA: c_int = -3005;

/// No addresses of that family.
pub const NYARIO_EAI_FAMILY: c_int = -3006;

/// No such type of socket.
pub const NYARIO_EAI_SOCKTYPE: c_int = -3007;

/// No such service for that type of socket.
pub const NYARIO_EAI_SERVICE: c_int = -3008;

/// The host has no address of that family.
pub const NYARIO_EAI_ADDRFAMILY: c_int = -3009;

/// The name does not fit.
pub const NYARIO_EAI_OVERFLOW: c_int = -3012;

const _: () = {
    assert!(NYARIO_EAI_BADFLAGS == -Errno::EAI_BADFLAGS.0 && NYARIO_EAI_NONAME == -Errno::EAI_NONAME.0);
    assert!(NYARIO_EAI_AGAIN == -Errno::EAI_AGAIN.0 && NYARIO_EAI_FAIL == -Errno::EAI_FAIL.0);
    assert!(NYARIO_EAI_NODATA == -Errno::EAI_NODATA.0 && NYARIO_EAI_FAMILY == -Errno::EAI_FAMILY.0);
    assert!(NYARIO_EAI_SOCKTYPE == -Errno::EAI_SOCKTYPE.0 && NYARIO_EAI_SERVICE == -Errno::EAI_SERVICE.0);
    assert!(NYARIO_EAI_ADDRFAMILY == -Errno::EAI_ADDRFAMILY.0 && NYARIO_EAI_OVERFLOW == -Errno::EAI_OVERFLOW.0);
};

/// The text that a C string holds, unless it is NULL.
///
/// # Safety
///
/// `text` must be NULL or end with a NUL, and stay unchanged for the lifetime that the caller gives it.
unsafe fn optional<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: forwarded from the caller.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// Looks up a host, a service or both, as getaddrinfo(3) does: `node` and `service` are names or numbers, of which one may
/// be NULL; `hints` may be NULL, which asks for anything. The list that is stored in `*found` is the caller's, who frees it
/// with freeaddrinfo(3). Suspends the fiber while a thread of nyario_blocking's pool asks the resolver; what is numeric is
/// answered at once. A fiber that is cancelled or meets its deadline goes on at once.
///
/// Returns 0, or an error, with `*found` untouched: NYARIO_EAI_NONAME and the other NYARIO_EAI_* above, -EINVAL when
/// `found` or both names are NULL, -ECANCELED, -ETIMEDOUT, -EAGAIN, -ENOMEM, or the system's error. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const libc::addrinfo,
    found: *mut *mut libc::addrinfo,
) -> c_int {
    keeping_errno(|| {
        on_loop(|looped| {
            if found.is_null() {
                return Err(Errno(libc::EINVAL));
            }
            // SAFETY: the caller lends the hints for the call.
            let hints = unsafe { hints.as_ref() }.map_or(Hints::default(), |hints| Hints {
                flags: hints.ai_flags,
                family: hints.ai_family,
                kind: hints.ai_socktype,
                protocol: hints.ai_protocol,
            });
            // SAFETY: the caller lends C strings for the call.
            let list = unsafe { net::getaddrinfo(looped, optional(node), optional(service), hints) }?;
            // SAFETY: the caller lends a place for the list.
            unsafe { found.write(list.into_raw()) };
            Ok(0)
        })
    })
}

/// Looks up the names of an address, as getnameinfo(3) does with the same flags (NI_*): writes the host's into `host` and
/// the service's into `service`, each with a NUL behind it. One of them may be NULL or have no room, and is not looked up
/// then. Suspends the fiber like nyario_getaddrinfo, unless numbers are all that is asked for.
///
/// Returns 0, or -EINVAL when `address` or both buffers are NULL, NYARIO_EAI_FAMILY for an address of no family that has
/// names, NYARIO_EAI_OVERFLOW when a buffer is too small, and the rest as nyario_getaddrinfo. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_getnameinfo(
    address: *const libc::sockaddr,
    len: u32,
    host: *mut c_char,
    host_size: usize,
    service: *mut c_char,
    service_size: usize,
    flags: c_int,
) -> c_int {
    keeping_errno(|| {
        on_loop(|looped| {
            // SAFETY: the caller lends the address and the buffers for the call.
            let (address, host, service) = unsafe {
                let room = |buf: *mut c_char, size| if buf.is_null() { 0 } else { size };
                (
                    bytes(address.cast(), len as usize)?,
                    bytes_mut(host.cast(), room(host, host_size))?,
                    bytes_mut(service.cast(), room(service, service_size))?,
                )
            };
            if address.is_empty() || (host.is_empty() && service.is_empty()) {
                return Err(Errno(libc::EINVAL));
            }
            net::getnameinfo(looped, address, host, service, flags).map(|()| 0)
        })
    })
}
