//! What a connection says, and whether what it hears is right.

use std::fmt;
use std::str::FromStr;

use crate::address::Address;

/// The most that is written, read or compared at once.
pub const WINDOW: usize = 64 * 1024;

/// A prime, so that no usual message size divides it and neighbouring messages always differ; small, so
/// that what the client remembers does not push the server out of a cache they share.
const ECHO_PERIOD: usize = 4093;

const HEAD_MAX: usize = 16 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What the server is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// To send every byte back.
    Echo,
    /// To answer GET requests over connections that stay open.
    Http,
}

impl FromStr for Workload {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "echo" => Ok(Workload::Echo),
            "http" => Ok(Workload::Http),
            _ => Err("a workload is echo or http"),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Workload::Echo => "echo",
            Workload::Http => "http",
        })
    }
}

/// Everything that is ever said: one text, repeated without end, of which each connection speaks from a
/// place of its own. A message that is lost, doubled, or answered to the wrong connection therefore shows.
pub struct Script {
    text: Vec<u8>,
    period: usize,
    message: usize,
}

impl Script {
    /// Echo messages of `size` bytes.
    pub fn echo(size: usize) -> Self {
        let mut state = 1_u32;
        let noise = (0..ECHO_PERIOD).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        Script::of(noise.collect(), size)
    }

    /// The request that wrk would send.
    pub fn http(address: &Address) -> Self {
        let host = match address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(_) => "localhost".into(),
        };
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        let size = request.len();
        Script::of(request, size)
    }

    fn of(once: Vec<u8>, message: usize) -> Self {
        let period = once.len();
        let text = once.into_iter().cycle().take(period + WINDOW).collect();
        Script { text, period, message }
    }

    /// The size of one message.
    pub fn message(&self) -> usize {
        self.message
    }

    /// What stands at `position`: `size` bytes or a window of them, whichever is less.
    pub fn at(&self, position: usize, size: usize) -> &[u8] {
        &self.text[position % self.period..][..size.min(WINDOW)]
    }
}

/// What one connection has heard so far.
pub enum Answers {
    /// The same bytes as were said, up to this position.
    Echo(usize),
    /// Whole answers, and the beginning of one.
    Http(HttpAnswer),
}

impl Answers {
    /// Those of a connection that speaks the script from `origin` on.
    pub fn new(workload: Workload, origin: usize) -> Self {
        match workload {
            Workload::Echo => Answers::Echo(origin),
            Workload::Http => Answers::Http(HttpAnswer::default()),
        }
    }

    /// Hears at most a window of bytes, and says how many answers end in them. `origin` is where the
    /// connection began to speak and `said` where it has come to.
    pub fn hear(&mut self, script: &Script, origin: usize, said: usize, bytes: &[u8]) -> Result<usize, String> {
        match self {
            Answers::Echo(heard) => {
                if *heard + bytes.len() > said {
                    return Err("more bytes came back than were sent".into());
                }
                let expected = script.at(*heard, bytes.len());
                if let Some(at) = bytes.iter().zip(expected).position(|(came, sent)| came != sent) {
                    return Err(format!(
                        "byte {} came back as {:#04x}, but {:#04x} was sent",
                        *heard - origin + at,
                        bytes[at],
                        expected[at]
                    ));
                }
                let before = (*heard - origin) / script.message;
                *heard += bytes.len();
                Ok((*heard - origin) / script.message - before)
            }
            Answers::Http(answer) => answer.hear(bytes),
        }
    }
}

/// The HTTP answer that is arriving.
#[derive(Default)]
pub struct HttpAnswer {
    head: Vec<u8>,
    body_left: usize,
}

impl HttpAnswer {
    fn hear(&mut self, mut bytes: &[u8]) -> Result<usize, String> {
        let mut answers = 0;
        while let [byte, rest @ ..] = bytes {
            if self.body_left > 0 {
                let skip = self.body_left.min(bytes.len());
                self.body_left -= skip;
                answers += usize::from(self.body_left == 0);
                bytes = &bytes[skip..];
                continue;
            }
            self.head.push(*byte);
            bytes = rest;
            if self.head.ends_with(HEAD_END) {
                self.body_left = body_size(&self.head)?;
                self.head.clear();
                answers += usize::from(self.body_left == 0);
            } else if self.head.len() == HEAD_MAX {
                return Err("the head of an answer does not end".into());
            }
        }
        Ok(answers)
    }
}

fn body_size(head: &[u8]) -> Result<usize, String> {
    let head = str::from_utf8(head).map_err(|_| "the head of an answer is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !(status.starts_with("HTTP/1.1 200 ") || status.starts_with("HTTP/1.0 200 ")) {
        return Err(format!("the answer is {status:?}, not 200"));
    }
    lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .ok_or("the answer has no Content-Length")?
        .1
        .trim()
        .parse()
        .map_err(|_| "the answer's Content-Length is not a number".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length:  5 \r\n\r\nhello";

    #[test]
    fn the_script_continues_across_its_period_and_its_window() {
        let script = Script::echo(64);
        let whole: Vec<u8> = (0..3 * ECHO_PERIOD).map(|at| script.at(at, 1)[0]).collect();
        assert_eq!(script.at(4000, 1000), &whole[4000..5000]);
        assert_eq!(script.at(0, 64), script.at(ECHO_PERIOD, 64));
        assert_ne!(script.at(0, 64), script.at(64, 64));
        assert_eq!(script.at(ECHO_PERIOD - 1, usize::MAX).len(), WINDOW);
    }

    #[test]
    fn echoes_are_counted_however_they_are_cut() {
        let script = Script::echo(64);
        for cut in 1..200 {
            let mut answers = Answers::new(Workload::Echo, 640);
            let heard: usize =
                script.at(640, 640).chunks(cut).map(|bytes| answers.hear(&script, 640, 1280, bytes).unwrap()).sum();
            assert_eq!(heard, 10);
        }
    }

    #[test]
    fn echoes_that_differ_are_told_apart() {
        let script = Script::echo(64);
        let mut bytes = script.at(64, 64).to_vec();
        let hear = |said, bytes: &[u8]| Answers::Echo(64).hear(&script, 64, said, bytes);
        assert_eq!(hear(128, &bytes), Ok(1));
        assert!(hear(127, &bytes).unwrap_err().contains("more bytes"));
        assert!(hear(128, script.at(0, 64)).unwrap_err().contains("byte 0 came back"));
        bytes[63] ^= 1;
        assert!(hear(128, &bytes).unwrap_err().contains("byte 63 came back"));
    }

    #[test]
    fn http_answers_are_counted_however_they_are_cut() {
        let three = ANSWER.repeat(3);
        for cut in 1..=three.len() {
            let mut answer = HttpAnswer::default();
            let heard: usize = three.chunks(cut).map(|bytes| answer.hear(bytes).unwrap()).sum();
            assert_eq!(heard, 3, "cut every {cut} bytes");
        }
    }

    #[test]
    fn an_answer_is_whole_only_with_its_body() {
        let mut answer = HttpAnswer::default();
        assert_eq!(answer.hear(&ANSWER[..ANSWER.len() - 1]), Ok(0));
        assert_eq!(answer.hear(b"o"), Ok(1));
        assert_eq!(answer.hear(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Ok(1));
    }

    #[test]
    fn bad_answers_are_refused() {
        for (answer, why) in [
            ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "503"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "no Content-Length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not a number"),
            ("hello\r\n\r\n", "not 200"),
        ] {
            let refusal = HttpAnswer::default().hear(answer.as_bytes()).unwrap_err();
            assert!(refusal.contains(why), "{refusal}");
        }
        let endless = HttpAnswer::default().hear(&[b'x'; HEAD_MAX]).unwrap_err();
        assert!(endless.contains("does not end"), "{endless}");
    }
}
