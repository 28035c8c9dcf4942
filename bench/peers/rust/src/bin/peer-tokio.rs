//! tokio, on one thread.

use std::io;

use nyario_bench_peers::{Heads, READ_SIZE, Workload, answers, listen, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let size = stream.read(&mut buffer).await?;
        if size == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..size]).await?;
    }
}

async fn http(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    let mut heads = Heads::default();
    loop {
        let size = stream.read(&mut buffer).await?;
        if size == 0 {
            return Ok(());
        }
        stream.write_all(answers(heads.count(&buffer[..size]))).await?;
    }
}

async fn serve() -> io::Result<()> {
    let (workload, address) = start();
    let listener = listen(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        match workload {
            Workload::Echo => tokio::spawn(echo(stream)),
            Workload::Http => tokio::spawn(http(stream)),
        };
    }
}

fn main() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve())
}
