//! tokio, on one thread, as a proxy.

use std::io;
use std::net::SocketAddr;

use nyario_bench_peers::{listen, start_proxy};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

async fn pass(mut client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn serve() -> io::Result<()> {
    let (upstream, address) = start_proxy();
    let listener = listen(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(pass(stream, upstream));
    }
}

fn main() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve())
}
