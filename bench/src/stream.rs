//! Connections to the server.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::dial;

/// A connection that never blocks.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Tcp(stream))
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(stream))
            }
        }
    }

    /// Begins the connection that is the `index`th in the life of this process. What is said to it meanwhile finds no room.
    pub fn dial(address: &Address, index: usize) -> io::Result<Self> {
        match address {
            Address::Tcp(SocketAddr::V4(address)) => {
                let stream = dial::tcp(*address, dial::source(index))?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            _ => Stream::connect(address),
        }
    }

    /// Says that nothing more will be said.
    pub fn finish(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Connects `count` times, one after the other, and gives up on those that are not there in time. A
    /// thread of its own does it because connecting to a unix socket whose queue is full knows no
    /// time-out; it stays behind where that happens.
    pub fn connect_many(address: &Address, count: usize, patience: Duration) -> Vec<io::Result<Self>> {
        let deadline = Instant::now() + patience;
        let (connected, streams) = mpsc::channel();
        let address = address.clone();
        thread::spawn(move || {
            for _ in 0..count {
                if connected.send(Stream::connect(&address)).is_err() {
                    break;
                }
            }
        });
        (0..count)
            .map(|_| {
                streams
                    .recv_timeout(deadline.saturating_duration_since(Instant::now()))
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            })
            .collect()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }
}
