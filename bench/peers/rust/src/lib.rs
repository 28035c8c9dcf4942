//! What the servers on Rust's runtimes share: the command line, the listening socket, the answers and the end.

mod heads;

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

pub use heads::Heads;

/// How much one read takes at most.
pub const READ_SIZE: usize = 16 * 1024;

const BACKLOG: i32 = 4096;

const ANSWER: &[u8; 78] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n";

/// As many as one read can ask for, so that a pipelined batch is one write.
static ANSWERS: [[u8; ANSWER.len()]; READ_SIZE / 4] = [*ANSWER; READ_SIZE / 4];

/// So many answers, one after the other.
pub fn answers(count: usize) -> &'static [u8] {
    ANSWERS[..count].as_flattened()
}

/// What the server does.
#[derive(Clone, Copy)]
pub enum Workload {
    Echo,
    Http,
}

/// What the command line asks for, from a process that SIGTERM will end.
pub fn start() -> (Workload, SocketAddr) {
    end_on_sigterm();
    let mut args = std::env::args().skip(1);
    let workload = match args.next().as_deref() {
        Some("echo") => Some(Workload::Echo),
        Some("http") => Some(Workload::Http),
        _ => None,
    };
    let address = args.next().and_then(|address| address.parse().ok());
    workload.zip(address).unwrap_or_else(|| {
        eprintln!("usage: echo|http HOST:PORT");
        std::process::exit(2)
    })
}

/// The server to pass bytes on to, and where to listen, from a process that SIGTERM will end.
pub fn start_proxy() -> (SocketAddr, SocketAddr) {
    end_on_sigterm();
    let mut args = std::env::args().skip(1).map(|address| address.parse().ok());
    args.next().flatten().zip(args.next().flatten()).unwrap_or_else(|| {
        eprintln!("usage: UPSTREAM HOST:PORT");
        std::process::exit(2)
    })
}

/// A listening socket, which is announced. What it accepts inherits TCP_NODELAY.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    announce(listener.local_addr()?);
    Ok(listener)
}

/// Says that connecting works from now on.
pub fn announce(address: SocketAddr) {
    println!("listening on {address}");
}

/// Nothing is buffered, so there is nothing to unwind.
fn end_on_sigterm() {
    extern "C" fn end(_: libc::c_int) {
        // SAFETY: it ends the process, and a signal handler may.
        unsafe { libc::_exit(0) }
    }
    let end: extern "C" fn(libc::c_int) = end;
    // SAFETY: the handler makes one system call, and touches nothing that it could have interrupted.
    unsafe { libc::signal(libc::SIGTERM, end as libc::sighandler_t) };
}
