//! Names: what the C library's resolver knows, without a thread that waits for it.
//!
//! The resolver reads files and asks servers, in calls that block, so they are offloaded; all that they work on is
//! copied, so that a fiber need not wait for an answer that it no longer wants. What is numeric is answered at once.

use super::{Address, dial_at};
use crate::fiber::Loop;
use crate::offload;
use crate::sys::{Errno, Fd, Kernel};
use std::ffi::{CStr, CString, c_char};
use std::net::IpAddr;
use std::ptr::{null, null_mut};

/// What getaddrinfo(3) found; freed as its freeaddrinfo(3) does.
pub struct Found(*mut libc::addrinfo);

// SAFETY: the list belongs to whoever holds it, and no thread is special to the C library.
unsafe impl Send for Found {}

impl Drop for Found {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it came from getaddrinfo, and is freed once.
            unsafe { libc::freeaddrinfo(self.0) };
        }
    }
}

impl Found {
    /// The list, for whoever will call freeaddrinfo(3).
    pub fn into_raw(mut self) -> *mut libc::addrinfo {
        std::mem::replace(&mut self.0, null_mut())
    }

    /// Its addresses, in the order in which they are to be tried.
    pub fn addresses(&self) -> Vec<Address> {
        let mut addresses = Vec::new();
        let mut at: *const libc::addrinfo = self.0;
        // SAFETY: the list is ours.
        while let Some(entry) = unsafe { at.as_ref() } {
            // SAFETY: zeroes are an address of no family.
            let mut raw: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
            let len = (entry.ai_addrlen as usize).min(size_of_val(&raw));
            // SAFETY: each address is as long as its entry says, and there is room for it.
            unsafe { (&raw mut raw).cast::<u8>().copy_from_nonoverlapping(entry.ai_addr.cast(), len) };
            addresses.extend(Address::from_raw(&raw));
            at = entry.ai_next;
        }
        addresses
    }
}

/// The part of `struct addrinfo` that hints are made of.
#[derive(Clone, Copy, Default, Debug)]
pub struct Hints {
    /// `AI_*`.
    pub flags: i32,
    /// `AF_*`, 0 for any.
    pub family: i32,
    /// `SOCK_*`, 0 for any.
    pub kind: i32,
    /// `IPPROTO_*`, 0 for any.
    pub protocol: i32,
}

fn answer(code: i32) -> Result<(), Errno> {
    match code {
        0 => Ok(()),
        libc::EAI_SYSTEM => Err(errno()),
        code => Err(Errno::of_resolver(code)),
    }
}

/// The last call's errno, which a resolver's answer may refer to.
fn errno() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

fn is_number(text: Option<&CStr>) -> bool {
    text.is_none_or(|text| !text.is_empty() && text.to_bytes().iter().all(u8::is_ascii_digit))
}

fn is_address(text: Option<&CStr>) -> bool {
    text.is_none_or(|text| text.to_str().is_ok_and(|text| text.parse::<IpAddr>().is_ok()))
}

/// getaddrinfo(3). Suspends the fiber, unless node and service are numeric.
///
/// # Errors
///
/// The resolver's own, as 3000 and its number, `EINVAL` when there is neither node nor service, and as
/// [`offload::run_owned`].
pub fn getaddrinfo<K: Kernel + Send + Sync>(
    looped: &Loop<K>,
    node: Option<&CStr>,
    service: Option<&CStr>,
    hints: Hints,
) -> Result<Found, Errno> {
    if node.is_none() && service.is_none() {
        return Err(Errno(libc::EINVAL));
    }
    let numeric = |flag| hints.flags & flag != 0;
    let immediate =
        (numeric(libc::AI_NUMERICHOST) || is_address(node)) && (numeric(libc::AI_NUMERICSERV) || is_number(service));
    if immediate {
        return look_up(node, service, hints);
    }
    let owned: [Option<CString>; 2] = [node, service].map(|text| text.map(CStr::to_owned));
    offload::run_owned(looped, move || look_up(owned[0].as_deref(), owned[1].as_deref(), hints))?
}

/// getaddrinfo(3) on the calling thread, which may wait long for the answer.
///
/// # Errors
///
/// The resolver's own, as 3000 and its number.
pub fn look_up(node: Option<&CStr>, service: Option<&CStr>, hints: Hints) -> Result<Found, Errno> {
    let [node, service] = [node, service].map(|text| text.map_or(null(), CStr::as_ptr));
    // SAFETY: zeroes are hints for anything.
    let mut wanted: libc::addrinfo = unsafe { std::mem::zeroed() };
    wanted.ai_flags = hints.flags;
    wanted.ai_family = hints.family;
    wanted.ai_socktype = hints.kind;
    wanted.ai_protocol = hints.protocol;
    let mut found = Found(null_mut());
    // SAFETY: the texts end with a NUL, and everything outlives the call.
    let code = unsafe { libc::getaddrinfo(node, service, &wanted, &mut found.0) };
    answer(code)?;
    Ok(found)
}

/// getnameinfo(3): writes the names of host and service, with their NULs, into the buffers, of which either may be empty.
/// Suspends the fiber, unless `flags` ask for numbers only.
///
/// # Errors
///
/// As [`getaddrinfo`].
pub fn getnameinfo<K: Kernel + Send + Sync>(
    looped: &Loop<K>,
    address: &[u8],
    host: &mut [u8],
    service: &mut [u8],
    flags: i32,
) -> Result<(), Errno> {
    let numeric = |buf: &[u8], flag| buf.is_empty() || flags & flag != 0;
    if numeric(host, libc::NI_NUMERICHOST) && numeric(service, libc::NI_NUMERICSERV) {
        return name(address, host, service, flags);
    }
    let owned = address.to_vec();
    let (mut first, mut second) = (vec![0; host.len()], vec![0; service.len()]);
    let (first, second) =
        offload::run_owned(looped, move || name(&owned, &mut first, &mut second, flags).map(|()| (first, second)))??;
    host.copy_from_slice(&first);
    service.copy_from_slice(&second);
    Ok(())
}

fn name(address: &[u8], host: &mut [u8], service: &mut [u8], flags: i32) -> Result<(), Errno> {
    // The address may lie anywhere; the kernel's form of it may not.
    // SAFETY: zeroes are an address of no family.
    let mut raw: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let len = address.len().min(size_of_val(&raw));
    // SAFETY: both are at least so long.
    unsafe { (&raw mut raw).cast::<u8>().copy_from_nonoverlapping(address.as_ptr(), len) };
    let place = |buf: &mut [u8]| match buf {
        [] => (null_mut(), 0),
        buf => (buf.as_mut_ptr().cast::<c_char>(), buf.len() as libc::socklen_t),
    };
    let ((host, host_len), (service, service_len)) = (place(host), place(service));
    // SAFETY: everything outlives the call, and the lengths are the buffers' own.
    let code = unsafe {
        let raw = (&raw const raw).cast::<libc::sockaddr>();
        libc::getnameinfo(raw, len as libc::socklen_t, host, host_len as _, service, service_len as _, flags)
    };
    answer(code)
}

/// The addresses that a text stands for: those that [`Address::parse`] reads, and `host:port` with a name to be looked
/// up, which suspends the fiber. There is at least one.
///
/// # Errors
///
/// `EINVAL` for text that is neither, and as [`getaddrinfo`].
pub fn resolve<K: Kernel + Send + Sync>(looped: &Loop<K>, text: &str) -> Result<Vec<Address>, Errno> {
    let unread = match Address::parse(text) {
        Ok(address) => return Ok(vec![address]),
        Err(error) => error,
    };
    let (host, port) = named(text).ok_or(unread)?;
    let host = CString::new(host).map_err(|_| unread)?;
    at_port(&getaddrinfo(looped, Some(&host), None, STREAMS)?, port)
}

/// The addresses of a host's name with a port, looked up on the calling thread, which may wait long for the answer. There
/// is at least one.
///
/// # Errors
///
/// `EINVAL` for text that is no name and port, and as [`look_up`].
pub fn look_up_text(text: &str) -> Result<Vec<Address>, Errno> {
    let (host, port) = named(text).ok_or(Errno(libc::EINVAL))?;
    let host = CString::new(host).map_err(|_| Errno(libc::EINVAL))?;
    at_port(&look_up(Some(&host), None, STREAMS)?, port)
}

/// Whether a text is a host's name and a port.
pub fn is_name(text: &str) -> bool {
    named(text).is_some()
}

/// Hints for a host's addresses.
const STREAMS: Hints = Hints { flags: 0, family: 0, kind: libc::SOCK_STREAM, protocol: 0 };

/// What was found, with a port.
fn at_port(found: &Found, port: u16) -> Result<Vec<Address>, Errno> {
    let mut addresses = found.addresses();
    for address in &mut addresses {
        if let Address::Inet(inet) = address {
            inet.set_port(port);
        }
    }
    if addresses.is_empty() { Err(Errno::EAI_NODATA) } else { Ok(addresses) }
}

/// A host's name, of letters, digits, dots, hyphens and underscores, and a port.
fn named(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let ordinary = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_name = !host.is_empty() && host.bytes().all(ordinary);
    is_name.then(|| Some((host, port.parse().ok()?)))?
}

/// Opens a connection to an address or to a host by its name, whose addresses are tried in turn until one answers.
/// Suspends the fiber.
///
/// # Errors
///
/// As [`resolve`] and [`dial_at`]; with several addresses, that of the last.
pub fn dial<K: Kernel + Send + Sync>(looped: &Loop<K>, text: &str) -> Result<Fd, Errno> {
    let mut last = Errno(libc::EINVAL);
    for address in resolve(looped, text)? {
        match dial_at(looped, &address) {
            Err(error) if error.0 != libc::ECANCELED && !looped.is_late() => last = error,
            connected => return connected,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_with_its_port() {
        let addresses = look_up_text("LOCALHOST:80").unwrap();
        assert!(addresses.iter().all(|address| address.to_string().ends_with(":80")), "{addresses:?}");
        assert_eq!(look_up_text("127.0.0.1"), Err(Errno(libc::EINVAL)));
        assert!(is_name("localhost:80") && !is_name("a b:80"));
    }

    #[test]
    fn a_name_is_told_from_what_is_mistyped() {
        assert_eq!(named("example.org:80"), Some(("example.org", 80)));
        assert_eq!(named("a_b-c:0"), Some(("a_b-c", 0)));
        for bad in
            ["", ":80", "example.org", "example.org:", "example.org:http", "a b:80", "a:b:80", "[::1]x:80", "a:65536"]
        {
            assert_eq!(named(bad), None, "{bad:?}");
        }
    }
}
