//! Where a server listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// A place on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A loopback address and a port.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return Ok(Address::Unix(text.into()));
        }
        let malformed = || format!("{text:?} is neither host:port nor the path of a unix socket");
        let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
        let port = port.parse().map_err(|_| malformed())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // Names are not resolved: a load generator must not be led off this machine by a resolver.
        let host = match host {
            "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            _ => host.parse().ok(),
        };
        match host {
            Some(host) if host.is_loopback() => Ok(Address::Tcp(SocketAddr::new(host, port))),
            _ => Err(format!("{text:?} is not a loopback address, and load is only put on this machine")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_on_this_machine_are_read_as_they_are_written() {
        for text in ["127.0.0.1:80", "127.9.9.9:1", "[::1]:8080", "/run/x.sock", "./x"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("localhost:7".parse::<Address>().unwrap().to_string(), "127.0.0.1:7");
    }

    #[test]
    fn other_machines_are_refused() {
        for text in ["10.0.0.1:80", "0.0.0.0:80", "example.com:80", "[2001:db8::1]:80"] {
            let refusal = text.parse::<Address>().unwrap_err();
            assert!(refusal.contains("not a loopback address"), "{refusal}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536"] {
            let refusal = text.parse::<Address>().unwrap_err();
            assert!(refusal.contains("neither host:port"), "{refusal}");
        }
    }
}
