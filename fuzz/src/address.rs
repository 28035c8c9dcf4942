//! What people write where an address is wanted.

use nyario_core::net::Address;

/// Parses; what is understood means the same once more when it is written out.
pub fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Address::parse(text) {
        Ok(Address::Unix(path)) => assert!(!path.is_empty() && path.len() < 108 && !path.contains(&0)),
        Ok(inet) => assert_eq!(Address::parse(&inet.to_string()), Ok(inet)),
        Err(error) => assert!([libc::EINVAL, libc::ENAMETOOLONG].contains(&error.0)),
    }
}
