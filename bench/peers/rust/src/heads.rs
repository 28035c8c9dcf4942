//! Where the heads of requests end.

use memchr::memchr;

const BLANK: &[u8; 4] = b"\r\n\r\n";

/// Counts the request heads of one connection. A GET has no body, so none is skipped.
#[derive(Default)]
pub struct Heads {
    /// How much of the blank line the bytes before ended with, because a head may be split anywhere.
    seen: usize,
}

impl Heads {
    /// How many heads end in these bytes.
    pub fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut heads = 0;
        while let [byte, rest @ ..] = bytes {
            if self.seen == 0 && *byte != BLANK[0] {
                let Some(skip) = memchr(BLANK[0], rest) else {
                    break;
                };
                bytes = &rest[skip..];
                continue;
            }
            self.seen = if *byte == BLANK[self.seen] { self.seen + 1 } else { usize::from(*byte == BLANK[0]) };
            if self.seen == BLANK.len() {
                self.seen = 0;
                heads += 1;
            }
            bytes = rest;
        }
        heads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_however_they_are_cut() {
        let three = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".repeat(3);
        for cut in 1..=three.len() {
            let mut heads = Heads::default();
            let count: usize = three.chunks(cut).map(|bytes| heads.count(bytes)).sum();
            assert_eq!(count, 3, "cut every {cut} bytes");
        }
    }

    #[test]
    fn what_is_no_blank_line_ends_no_head() {
        for text in ["\r\n", "\r\n\n\r\n", "\r\r\n", "\r\n\r", "\n\r\n\r", "\r\n \r\n"] {
            assert_eq!(Heads::default().count(text.as_bytes()), 0, "{text:?}");
        }
        assert_eq!(Heads::default().count(b"\r\r\n\r\n"), 1);
        assert_eq!(Heads::default().count(b"\r\n\r\r\n\r\n"), 1);
    }
}
