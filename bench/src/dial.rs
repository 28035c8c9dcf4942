//! Connecting again and again: more often than one address has ports.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A connection keeps its port for a minute after it is closed, or at least for a second, and an address has 28,000.
const SOURCES: usize = 64;

/// The address that the `index`th connection comes from: all of 127.0.0.0/8 is this machine.
pub fn source(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, (index % SOURCES + 1) as u8)
}

/// Begins to connect, from any port of `source`.
pub fn tcp(server: SocketAddrV4, source: Ipv4Addr) -> io::Result<TcpStream> {
    // SAFETY: the call takes no pointer.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nothing else knows of it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };

    // The port is chosen when the peer is known, and may then be one that is in use with others.
    let (late, size) = (1_i32, mem::size_of::<i32>() as libc::socklen_t);
    // SAFETY: the call reads `size` bytes, which are those of `late`.
    succeeded(unsafe {
        libc::setsockopt(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, (&raw const late).cast(), size)
    })?;
    let (name, size) = name(SocketAddrV4::new(source, 0));
    // SAFETY: the call reads `size` bytes, which are those of `name`.
    succeeded(unsafe { libc::bind(socket.as_raw_fd(), (&raw const name).cast(), size) })?;
    let (name, size) = self::name(server);
    // SAFETY: the call reads `size` bytes, which are those of `name`.
    match succeeded(unsafe { libc::connect(socket.as_raw_fd(), (&raw const name).cast(), size) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

fn name(address: SocketAddrV4) -> (libc::sockaddr_in, libc::socklen_t) {
    let name = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    };
    (name, mem::size_of::<libc::sockaddr_in>() as libc::socklen_t)
}

fn succeeded(result: i32) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpListener};

    #[test]
    fn connections_come_from_one_address_after_the_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(server) = listener.local_addr().unwrap() else { unreachable!("it is bound to IPv4") };
        for index in [0, 1, SOURCES] {
            let _client = tcp(server, source(index)).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), source(index));
        }
        assert_ne!(source(0), source(1));
        assert_eq!(source(0), source(SOURCES));
    }

    #[test]
    fn nobody_there_is_an_error_sooner_or_later() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(server) = listener.local_addr().unwrap() else { unreachable!("it is bound to IPv4") };
        drop(listener);
        let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        match tcp(server, source(0)) {
            Ok(stream) => assert!(stream.take_error().unwrap().is_some_and(refused)),
            Err(error) => assert!(refused(error)),
        }
    }
}
