//! Names that people give to fibers.

use crate::sys::Errno;

/// What a fiber is called in what people read: up to 63 bytes of text without control characters.
#[derive(Clone, Copy)]
pub struct Name {
    length: u8,
    bytes: [u8; Name::MOST],
}

impl Name {
    /// The longest name, in bytes.
    pub const MOST: usize = 63;

    /// A name of that text; empty is none.
    ///
    /// # Errors
    ///
    /// `ENAMETOOLONG` past [`MOST`](Self::MOST) bytes; `EINVAL` for text with control characters, which would break the
    /// line that it is printed on.
    pub fn new(text: &str) -> Result<Name, Errno> {
        if text.len() > Name::MOST {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        if text.contains(char::is_control) {
            return Err(Errno(libc::EINVAL));
        }
        let mut name = Name { length: text.len() as u8, ..Name::default() };
        name.bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(name)
    }

    /// Its bytes. Async-signal-safe.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length.into()]
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("made of text")
    }

    /// Whether it is none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl Default for Name {
    fn default() -> Name {
        Name { length: 0, bytes: [0; Name::MOST] }
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}
