//! The answers of an HTTP server.

const HEAD_MAX: usize = 16 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// The HTTP answer that is arriving.
#[derive(Default)]
pub struct HttpAnswer {
    head: Vec<u8>,
    body_left: usize,
    /// The body of the first answer, which all others have to repeat.
    body: Vec<u8>,
    has_body: bool,
}

impl HttpAnswer {
    /// How many answers end in these bytes.
    pub fn hear(&mut self, mut bytes: &[u8]) -> Result<usize, String> {
        let mut answers = 0;
        while let [byte, rest @ ..] = bytes {
            if self.body_left > 0 {
                let (body, rest) = bytes.split_at(self.body_left.min(bytes.len()));
                answers += usize::from(self.hear_body(body)?);
                bytes = rest;
                continue;
            }
            self.head.push(*byte);
            bytes = rest;
            if self.head.ends_with(HEAD_END) {
                self.body_left = body_size(&self.head)?;
                self.head.clear();
                if self.has_body && self.body_left != self.body.len() {
                    return Err("the body of an answer has another size than the first one's".into());
                }
                self.has_body |= self.body_left == 0;
                answers += usize::from(self.body_left == 0);
            } else if self.head.len() == HEAD_MAX {
                return Err("the head of an answer does not end".into());
            }
        }
        Ok(answers)
    }

    /// Whether the body ends here.
    fn hear_body(&mut self, bytes: &[u8]) -> Result<bool, String> {
        let at = self.body.len() - if self.has_body { self.body_left } else { 0 };
        self.body_left -= bytes.len();
        if !self.has_body {
            self.body.extend(bytes);
            self.has_body = self.body_left == 0;
        } else if self.body[at..][..bytes.len()] != *bytes {
            return Err("the body of an answer is not the first one's".into());
        }
        Ok(self.body_left == 0)
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
        assert_eq!(HttpAnswer::default().hear(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Ok(1));
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

    #[test]
    fn every_answer_has_the_body_of_the_first() {
        let hear = |second: &str| {
            let both = [ANSWER, second.as_bytes()].concat();
            (1..=both.len()).map(move |cut| {
                let mut answer = HttpAnswer::default();
                both.chunks(cut).try_fold(0, |heard, bytes| answer.hear(bytes).map(|more| heard + more))
            })
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Length: ";
        assert!(hear(&format!("{head}5\r\n\r\nhello")).all(|heard| heard == Ok(2)));
        assert!(
            hear(&format!("{head}5\r\n\r\nhellO")).all(|heard| heard.is_err_and(|it| it.contains("not the first")))
        );
        assert!(hear(&format!("{head}4\r\n\r\nhell")).all(|heard| heard.is_err_and(|it| it.contains("another size"))));
        let mut empty = HttpAnswer::default();
        assert_eq!(empty.hear(format!("{head}0\r\n\r\n").as_bytes()), Ok(1));
        assert!(empty.hear(ANSWER).is_err());
        assert!(hear(&format!("{head}0\r\n\r\n")).all(|heard| heard.is_err_and(|it| it.contains("another size"))));
    }
}
