//! monoio, over io_uring.

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder, spawn};
use nyario_bench_peers::{Heads, READ_SIZE, Workload, answers, listen, start};

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(READ_SIZE);
    loop {
        buffer.clear();
        let (size, filled) = stream.read(buffer).await;
        if size? == 0 {
            return Ok(());
        }
        let (written, sent) = stream.write_all(filled).await;
        written?;
        buffer = sent;
    }
}

async fn http(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(READ_SIZE);
    let mut heads = Heads::default();
    loop {
        buffer.clear();
        let (size, filled) = stream.read(buffer).await;
        if size? == 0 {
            return Ok(());
        }
        let (written, _) = stream.write_all(answers(heads.count(&filled))).await;
        written?;
        buffer = filled;
    }
}

async fn serve() -> io::Result<()> {
    let (workload, address) = start();
    let listener = TcpListener::from_std(listen(address)?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        match workload {
            Workload::Echo => spawn(echo(stream)),
            Workload::Http => spawn(http(stream)),
        };
    }
}

fn main() -> io::Result<()> {
    RuntimeBuilder::<IoUringDriver>::new().build()?.block_on(serve())
}
