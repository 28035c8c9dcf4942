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
    let socket = bound(source, libc::SOCK_NONBLOCK)?;
    match connect(&socket, server) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Connects, from any port of `source`; the connection is reset when it is closed, so that no port is kept for a minute.
pub fn tcp_that_resets(server: SocketAddrV4, source: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = bound(source, 0)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 })?;
    connect(&socket, server)?;
    Ok(socket.into())
}

/// A socket with that address, and no port yet: the port is chosen when the peer is known, and may then be one that is in
/// use with others.
fn bound(source: Ipv4Addr, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointer.
    let fd = checked(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags, 0) })?;
    // SAFETY: the kernel has just made this descriptor, and nothing else knows of it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1_i32)?;
    let (name, size) = name(SocketAddrV4::new(source, 0));
    // SAFETY: the call reads `size` bytes, which are those of `name`.
    checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const name).cast(), size) })?;
    Ok(socket)
}

fn connect(socket: &OwnedFd, server: SocketAddrV4) -> io::Result<()> {
    let (name, size) = name(server);
    // SAFETY: the call reads `size` bytes, which are those of `name`.
    checked(unsafe { libc::connect(socket.as_raw_fd(), (&raw const name).cast(), size) }).map(drop)
}

fn set<T>(socket: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let size = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the call reads `size` bytes, which are those of `value`.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const *value).cast(), size) }).map(drop)
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

fn checked(result: i32) -> io::Result<i32> {
    match result {
        0.. => Ok(result),
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
            Ok(stream) => {
                let mut fds = [libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLOUT, revents: 0 }];
                // SAFETY: the entry outlives the call.
                assert_eq!(unsafe { libc::poll(fds.as_mut_ptr(), 1, -1) }, 1);
                assert!(stream.take_error().unwrap().is_some_and(refused));
            }
            Err(error) => assert!(refused(error)),
        }
    }
}
