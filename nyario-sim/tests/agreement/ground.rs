//! What scripts stand on: a kernel, the few things that are not in its seam, and a place to tell what it answered.

use nyario_core::net;
use nyario_core::sys::{Fd, Kernel, Linux};
use nyario_sim::model::Model;
use std::os::fd::IntoRawFd;

pub trait Ground: Kernel {
    fn datagram_pair(&self) -> (Fd, Fd);
    /// An empty file, opened twice: where to read, where to write.
    fn new_file(&self) -> (Fd, Fd);
    fn half_close(&self, fd: Fd, how: i32) -> i32;

    fn unix_pair(&self) -> (Fd, Fd) {
        let mut ends = [0; 2];
        assert_eq!(self.socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, &mut ends), 0);
        ends.into()
    }
    fn new_pipe(&self) -> (Fd, Fd) {
        let mut ends = [0; 2];
        assert_eq!(Kernel::pipe(self, &mut ends), 0);
        ends.into()
    }

    /// Lets arrive what is on its way.
    fn settle(&self) {
        self.poll(&mut [], Some(3_000_000));
    }

    /// A connection over the loopback, accepted.
    fn connection(&self) -> (Fd, Fd) {
        let (listener, client) = self.call_on();
        let server = self.accept(listener, libc::SOCK_CLOEXEC);
        assert!(server >= 0);
        self.close(listener);
        (client, server)
    }

    /// A listener and a client that has connected to it.
    fn call_on(&self) -> (Fd, Fd) {
        let (listener, port) = self.listener();
        let client = self.dial(port);
        self.settle();
        (listener, client)
    }

    fn listener(&self) -> (Fd, u16) {
        let fd = net::listen(self, "127.0.0.1:0").unwrap();
        let flags = self.flags(fd);
        self.set_flags(fd, flags | libc::O_NONBLOCK);
        let Ok(net::Address::Inet(address)) = net::Address::of_socket(self, fd) else { panic!("an inet address") };
        (fd, address.port())
    }

    fn dial(&self, port: u16) -> Fd {
        let fd = self.socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        assert!(fd >= 0);
        let result = self.connect_to(fd, port);
        assert!(result == 0 || result == -libc::EINPROGRESS);
        fd
    }

    fn connect_to(&self, fd: Fd, port: u16) -> i32 {
        let address = address(port);
        // SAFETY: the address outlives the call.
        unsafe { self.connect(fd, (&raw const address).cast(), size_of_val(&address) as u32) }
    }

    fn put(&self, fd: Fd, bytes: &[u8]) -> isize {
        // SAFETY: the bytes are borrowed for the call.
        unsafe { self.send(fd, bytes.as_ptr(), bytes.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) }
    }

    fn take(&self, fd: Fd, room: usize) -> (isize, Vec<u8>) {
        let mut bytes = vec![0; room];
        // SAFETY: as above.
        let result = unsafe { self.recv(fd, bytes.as_mut_ptr(), room, libc::MSG_DONTWAIT) };
        bytes.truncate(result.max(0) as usize);
        (result, bytes)
    }

    fn put_stream(&self, fd: Fd, bytes: &[u8]) -> isize {
        let iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: as above.
        unsafe { self.writev(fd, &iov, 1, libc::RWF_NOWAIT) }
    }

    fn take_stream(&self, fd: Fd, room: usize) -> (isize, Vec<u8>) {
        let mut bytes = vec![0; room];
        let iov = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: room };
        // SAFETY: as above.
        let result = unsafe { self.readv(fd, &iov, 1, libc::RWF_NOWAIT) };
        bytes.truncate(result.max(0) as usize);
        (result, bytes)
    }

    /// What a poll for everything says.
    fn bits(&self, fd: Fd) -> i16 {
        let events = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP | libc::POLLPRI;
        let mut fds = [libc::pollfd { fd, events, revents: 0 }];
        self.poll(&mut fds, Some(0));
        fds[0].revents
    }
}

pub fn address(port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(std::net::Ipv4Addr::LOCALHOST).to_be() },
        sin_zero: [0; 8],
    }
}

impl Ground for Model {
    fn datagram_pair(&self) -> (Fd, Fd) {
        Model::datagram_pair(self, false)
    }
    fn new_file(&self) -> (Fd, Fd) {
        let (reader, writer, _) = self.regular();
        (reader, writer)
    }
    fn half_close(&self, fd: Fd, how: i32) -> i32 {
        self.shutdown(fd, how)
    }
}

impl Ground for Linux {
    fn datagram_pair(&self) -> (Fd, Fd) {
        let mut fds = [0; 2];
        // SAFETY: there is room for the two.
        assert_eq!(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, fds.as_mut_ptr()) }, 0);
        fds.into()
    }
    fn new_file(&self) -> (Fd, Fd) {
        // SAFETY: the name ends with a NUL.
        let writer = unsafe { libc::memfd_create(c"agreement".as_ptr(), 0) };
        let reader = std::fs::File::open(format!("/proc/self/fd/{writer}")).expect("an open file has a path");
        (reader.into_raw_fd(), writer)
    }
    fn half_close(&self, fd: Fd, how: i32) -> i32 {
        // SAFETY: a call without memory.
        let result = unsafe { libc::shutdown(fd, how) };
        if result < 0 { -std::io::Error::last_os_error().raw_os_error().expect("it has just failed") } else { 0 }
    }
}

/// What a kernel answered.
#[derive(Default)]
pub struct Told {
    pub lines: Vec<String>,
    /// The kernel has nothing to run the script on.
    pub skipped: bool,
}

impl Told {
    pub fn tell(&mut self, what: &str, answer: impl std::fmt::Debug) {
        self.lines.push(format!("{what}: {answer:x?}"));
    }
}
