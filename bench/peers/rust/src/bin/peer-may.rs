//! may, with one worker.

use std::io::{self, Read, Write};

use may::go;
use may::net::{TcpListener, TcpStream};
use nyario_bench_peers::{Heads, READ_SIZE, Workload, announce, answers, start};

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let size = stream.read(&mut buffer)?;
        if size == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..size])?;
    }
}

fn http(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    let mut heads = Heads::default();
    loop {
        let size = stream.read(&mut buffer)?;
        if size == 0 {
            return Ok(());
        }
        stream.write_all(answers(heads.count(&buffer[..size])))?;
    }
}

fn serve() -> io::Result<()> {
    let (workload, address) = start();
    let listener = TcpListener::bind(address)?;
    announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        match workload {
            Workload::Echo => go!(move || echo(stream)),
            Workload::Http => go!(move || http(stream)),
        };
    }
}

fn main() -> io::Result<()> {
    may::config().set_workers(1);
    go!(serve).join().expect("it does not panic")
}
