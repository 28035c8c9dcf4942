//! Many connections that do nothing.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use crate::address::Address;
use crate::dial;

/// How many connections are opened before one is heard of: fewer than the queue of a listener holds.
const BATCH: usize = 1000;

const PATIENCE: Duration = Duration::from_secs(5);

/// What is said, of as many bytes as in the other benchmarks.
const MESSAGE: [u8; 64] = *b"Is there anybody who still knows me, after all this quiet time?\n";

/// Connections to an echo server, of which nobody expects anything. They are reset when this is dropped, so that no
/// port is kept for a minute.
pub struct Crowd {
    streams: Vec<TcpStream>,
    server: SocketAddrV4,
    ports: usize,
}

impl Crowd {
    /// None yet.
    pub fn new(server: &Address) -> Result<Self, String> {
        let Address::Tcp(SocketAddr::V4(server)) = *server else {
            return Err(format!("{server} is not an IPv4 address"));
        };
        let range = "/proc/sys/net/ipv4/ip_local_port_range";
        let range = fs::read_to_string(range).map_err(|error| format!("{range}: {error}"))?;
        Ok(Crowd { streams: Vec::new(), server, ports: ports_of_an_address(&range)? })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Opens so many more, and says something on each `if_spoken`. When this returns, the server has accepted them all.
    pub fn open(&mut self, count: usize, if_spoken: bool) -> Result<(), String> {
        self.streams.reserve_exact(count);
        for opened in 1..=count {
            let number = self.len();
            let failure = |error: io::Error| format!("connection {number}: {error}");
            let mut stream = dial::tcp_that_resets(self.server, source(number / self.ports)).map_err(failure)?;
            if if_spoken {
                echo(&mut stream).map_err(failure)?;
            }
            self.streams.push(stream);
            if opened % BATCH == 0 || opened == count {
                self.probe(1)?;
            }
        }
        Ok(())
    }

    /// Says so much on one more connection, which is then closed: it was accepted, so those before it were, too.
    pub fn probe(&self, messages: usize) -> Result<(), String> {
        let probe = || -> io::Result<()> {
            let mut stream = dial::tcp_that_resets(self.server, Ipv4Addr::LOCALHOST)?;
            (0..messages).try_for_each(|_| echo(&mut stream))
        };
        probe().map_err(|error| format!("a connection beside {} others: {error}", self.len()))
    }

    /// Holds that the server still knows them, by about so many that lie evenly among all. They are idle no more.
    pub fn wake(&mut self, sample: usize) -> Result<(), String> {
        let step = (self.len() / sample).max(1);
        for (number, stream) in self.streams.iter_mut().enumerate().step_by(step) {
            echo(stream).map_err(|error| format!("connection {number} was forgotten: {error}"))?;
        }
        Ok(())
    }
}

fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let mut answer = [0; MESSAGE.len()];
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&MESSAGE)?;
    stream.read_exact(&mut answer)?;
    match answer == MESSAGE {
        true => Ok(()),
        false => Err(io::Error::other("the answer is another one")),
    }
}

/// How many connections one address may open: half of its ports, as the kernel searches long for the last ones.
fn ports_of_an_address(range: &str) -> Result<usize, String> {
    let bounds: Vec<usize> = range.split_whitespace().flat_map(str::parse).collect();
    match bounds[..] {
        [low, high] if low < high => Ok((high - low).div_ceil(2)),
        _ => Err(format!("{range:?} is no range of ports")),
    }
}

/// All of 127/8 is this machine, so that there are ports enough for any number of connections.
fn source(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (index / 250) as u8, (index % 250 + 1) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn addresses_have_half_of_their_ports() {
        assert_eq!(ports_of_an_address("32768\t60999\n"), Ok(14116));
        assert!(ports_of_an_address("1024").is_err());
        assert!(ports_of_an_address("2 1").is_err());
    }

    #[test]
    fn no_two_sources_are_the_same() {
        let mut all: Vec<Ipv4Addr> = (0..10_000).map(source).collect();
        assert!(all.iter().all(|it| it.is_loopback() && !matches!(it.octets()[3], 0 | 255)));
        all.dedup();
        assert_eq!(all.len(), 10_000);
    }

    /// Echoes on the connections that come, one after the other as far as they speak, and says where they come from.
    fn serve(accepted: usize, spoiled: bool) -> (Address, thread::JoinHandle<Vec<SocketAddr>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let server = thread::spawn(move || {
            let mut peers = Vec::new();
            let mut threads = Vec::new();
            for _ in 0..accepted {
                let (mut stream, peer) = listener.accept().unwrap();
                peers.push(peer);
                threads.push(thread::spawn(move || {
                    let mut bytes = [0; 64];
                    while stream.read_exact(&mut bytes).is_ok() {
                        bytes[63] ^= u8::from(spoiled);
                        if stream.write_all(&bytes).is_err() {
                            break;
                        }
                    }
                }));
            }
            threads.into_iter().for_each(|it| it.join().unwrap());
            peers
        });
        (address, server)
    }

    #[test]
    fn a_crowd_is_accepted_and_remembered() {
        let (address, server) = serve(6, false);
        let mut crowd = Crowd::new(&address).unwrap();
        crowd.ports = 2;
        crowd.open(5, true).unwrap();
        crowd.wake(2).unwrap();
        assert_eq!(crowd.len(), 5);
        drop(crowd);
        let sources: Vec<String> = server.join().unwrap().iter().map(|peer| peer.ip().to_string()).collect();
        assert_eq!(sources, ["127.1.0.1", "127.1.0.1", "127.1.0.2", "127.1.0.2", "127.1.0.3", "127.0.0.1"]);
    }

    #[test]
    fn another_answer_is_an_error() {
        let (address, server) = serve(1, true);
        let refusal = Crowd::new(&address).unwrap().open(1, true).unwrap_err();
        assert_eq!(refusal, "connection 0: the answer is another one");
        server.join().unwrap();
    }
}
