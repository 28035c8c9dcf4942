//! Addresses as people write them, and as the kernel reads them.

use crate::sys::{Errno, Fd, Kernel, check};
use std::ffi::c_void;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Where a stream socket listens or connects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// An IP address and a port.
    Inet(SocketAddr),
    /// A path in the file system.
    Unix(Vec<u8>),
}

/// `sun_path` has room for so many bytes, its NUL among them.
const PATH_MAX: usize = 108;

impl Address {
    /// Reads `host:port`, where host is an IPv4 address, an IPv6 one in brackets, `localhost`, or `*` for every
    /// address of the machine; anything with a `/` or without a `:` is the path of a unix socket.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a host that is no address or a port that is no number below 65536, `ENAMETOOLONG` for a path of
    /// more than 107 bytes.
    pub fn parse(text: &str) -> Result<Address, Errno> {
        match text.rsplit_once(':') {
            Some((host, port)) if !text.contains('/') => {
                let port = port.parse().map_err(|_| Errno(libc::EINVAL))?;
                let inet = match host {
                    "localhost" => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                    "*" => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
                    _ => text.parse().map_err(|_| Errno(libc::EINVAL))?,
                };
                Ok(Address::Inet(inet))
            }
            _ if text.is_empty() || text.contains('\0') => Err(Errno(libc::EINVAL)),
            _ if text.len() >= PATH_MAX => Err(Errno(libc::ENAMETOOLONG)),
            _ => Ok(Address::Unix(text.into())),
        }
    }

    /// The address that a socket is bound to.
    ///
    /// # Errors
    ///
    /// `EBADF`, `ENOTSOCK`, and `EAFNOSUPPORT` for a socket of another family.
    pub fn of_socket<K: Kernel>(kernel: &K, fd: Fd) -> Result<Address, Errno> {
        // SAFETY: forwarded: the place and the length are valid.
        Address::told(|addr, len| unsafe { kernel.getsockname(fd, addr, len) })
    }

    /// The address of the peer that a socket is connected to; an empty path is a unix socket that has none.
    ///
    /// # Errors
    ///
    /// `EBADF`, `ENOTSOCK`, `ENOTCONN`, and `EAFNOSUPPORT` for a socket of another family.
    pub fn of_peer<K: Kernel>(kernel: &K, fd: Fd) -> Result<Address, Errno> {
        // SAFETY: as above.
        Address::told(|addr, len| unsafe { kernel.getpeername(fd, addr, len) })
    }

    /// The address that a call writes to where it is told.
    fn told(tell: impl FnOnce(*mut c_void, *mut u32) -> i32) -> Result<Address, Errno> {
        // SAFETY: zeroes are an address of no family.
        let mut raw: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let mut len = size_of::<libc::sockaddr_storage>() as u32;
        check(tell((&raw mut raw).cast(), &mut len))?;
        Address::from_raw(&raw)
    }

    /// The address that the kernel's form of it stands for.
    pub(super) fn from_raw(raw: &libc::sockaddr_storage) -> Result<Address, Errno> {
        match i32::from(raw.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says so.
                let inet = unsafe { &*(&raw const *raw).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(inet.sin_addr.s_addr));
                Ok(Address::Inet(SocketAddrV4::new(ip, u16::from_be(inet.sin_port)).into()))
            }
            libc::AF_INET6 => {
                // SAFETY: the family says so.
                let inet = unsafe { &*(&raw const *raw).cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(inet.sin6_addr.s6_addr);
                let port = u16::from_be(inet.sin6_port);
                Ok(Address::Inet(SocketAddrV6::new(ip, port, inet.sin6_flowinfo, inet.sin6_scope_id).into()))
            }
            libc::AF_UNIX => {
                // SAFETY: the family says so.
                let unix = unsafe { &*(&raw const *raw).cast::<libc::sockaddr_un>() };
                let path = unix.sun_path.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0);
                Ok(Address::Unix(path.collect()))
            }
            _ => Err(Errno(libc::EAFNOSUPPORT)),
        }
    }

    /// Whether it is an IP address.
    pub fn is_inet(&self) -> bool {
        matches!(self, Address::Inet(_))
    }

    /// `AF_*`.
    pub fn family(&self) -> i32 {
        match self {
            Address::Inet(SocketAddr::V4(_)) => libc::AF_INET,
            Address::Inet(SocketAddr::V6(_)) => libc::AF_INET6,
            Address::Unix(_) => libc::AF_UNIX,
        }
    }

    /// Shows the kernel's form of the address to `work`, which must not keep the pointer.
    pub fn with_raw<R>(&self, work: impl FnOnce(*const c_void, u32) -> R) -> R {
        match self {
            Address::Inet(SocketAddr::V4(inet)) => {
                // SAFETY: zeroes are a valid sockaddr_in.
                let mut raw: libc::sockaddr_in = unsafe { std::mem::zeroed() };
                raw.sin_family = libc::AF_INET as _;
                raw.sin_port = inet.port().to_be();
                raw.sin_addr.s_addr = u32::from(*inet.ip()).to_be();
                work((&raw const raw).cast(), size_of_val(&raw) as u32)
            }
            Address::Inet(SocketAddr::V6(inet)) => {
                // SAFETY: zeroes are a valid sockaddr_in6.
                let mut raw: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
                raw.sin6_family = libc::AF_INET6 as _;
                raw.sin6_port = inet.port().to_be();
                raw.sin6_flowinfo = inet.flowinfo();
                raw.sin6_scope_id = inet.scope_id();
                raw.sin6_addr.s6_addr = inet.ip().octets();
                work((&raw const raw).cast(), size_of_val(&raw) as u32)
            }
            Address::Unix(path) => {
                // SAFETY: zeroes are a valid sockaddr_un.
                let mut raw: libc::sockaddr_un = unsafe { std::mem::zeroed() };
                raw.sun_family = libc::AF_UNIX as _;
                for (slot, &byte) in raw.sun_path.iter_mut().zip(path) {
                    *slot = byte as _;
                }
                work((&raw const raw).cast(), size_of_val(&raw) as u32)
            }
        }
    }

    /// Shows the path, with a NUL behind it, of a unix address.
    pub(super) fn with_path(&self, work: impl FnOnce(&[u8])) {
        if let Address::Unix(path) = self {
            let mut path = path.clone();
            path.push(0);
            work(&path);
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(inet) => inet.fmt(f),
            Address::Unix(path) => String::from_utf8_lossy(path).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Linux;

    #[test]
    fn reads_what_people_write() {
        let inet = |text: &str| Ok(Address::Inet(text.parse().unwrap()));
        assert_eq!(Address::parse("127.0.0.1:80"), inet("127.0.0.1:80"));
        assert_eq!(Address::parse("[::1]:80"), inet("[::1]:80"));
        assert_eq!(Address::parse("localhost:1"), inet("127.0.0.1:1"));
        assert_eq!(Address::parse("*:1"), inet("0.0.0.0:1"));
        assert_eq!(Address::parse("./a:b"), Ok(Address::Unix(b"./a:b".to_vec())));
        assert_eq!(Address::parse("socket"), Ok(Address::Unix(b"socket".to_vec())));
        for bad in ["", "a\0b", "127.0.0.1:65536", "127.0.0.1:", "nowhere:80", ":::80"] {
            assert_eq!(Address::parse(bad), Err(Errno(libc::EINVAL)), "{bad:?}");
        }
        assert_eq!(Address::parse(&"x".repeat(108)), Err(Errno(libc::ENAMETOOLONG)));
    }

    #[test]
    fn a_socket_tells_the_address_that_it_was_given() {
        for text in ["127.0.0.1:0", "[::1]:0"] {
            let fd = super::super::listen(&Linux, text).unwrap();
            let Address::Inet(inet) = Address::of_socket(&Linux, fd).unwrap() else { panic!("an inet socket") };
            assert_ne!(inet.port(), 0);
            assert_eq!(inet.ip(), text.parse::<SocketAddr>().unwrap().ip());
            Linux.close(fd);
        }
    }
}
