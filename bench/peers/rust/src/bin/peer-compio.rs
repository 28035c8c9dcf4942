//! compio, over io_uring.

use std::io;

use compio::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{Runtime, spawn};
use nyario_bench_peers::{Heads, READ_SIZE, Workload, answers, listen, start};

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(READ_SIZE);
    loop {
        buffer.clear();
        let BufResult(size, filled) = stream.read(buffer).await;
        if size? == 0 {
            return Ok(());
        }
        let BufResult(written, sent) = stream.write_all(filled).await;
        written?;
        buffer = sent;
    }
}

async fn http(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(READ_SIZE);
    let mut heads = Heads::default();
    loop {
        buffer.clear();
        let BufResult(size, filled) = stream.read(buffer).await;
        if size? == 0 {
            return Ok(());
        }
        let BufResult(written, _) = stream.write_all(answers(heads.count(&filled))).await;
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
            Workload::Echo => spawn(echo(stream)).detach(),
            Workload::Http => spawn(http(stream)).detach(),
        }
    }
}

fn main() -> io::Result<()> {
    Runtime::new()?.block_on(serve())
}
