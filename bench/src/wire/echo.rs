//! What an echo server sends back.

use super::script::Script;

/// The same bytes as were said, as far as they have come.
pub struct Echoes {
    origin: usize,
    heard: usize,
}

impl Echoes {
    /// Those of a connection that speaks the script from `origin` on.
    pub fn new(origin: usize) -> Self {
        Echoes { origin, heard: origin }
    }

    /// How many messages end in these bytes, which are a window at most. `said` is where the connection has come to.
    pub fn hear(&mut self, script: &Script, said: usize, bytes: &[u8]) -> Result<usize, String> {
        if self.heard + bytes.len() > said {
            return Err("more bytes came back than were sent".into());
        }
        let expected = script.at(self.heard, bytes.len());
        if let Some(at) = bytes.iter().zip(expected).position(|(came, sent)| came != sent) {
            return Err(format!(
                "byte {} came back as {:#04x}, but {:#04x} was sent",
                self.heard - self.origin + at,
                bytes[at],
                expected[at]
            ));
        }
        let before = self.messages(script);
        self.heard += bytes.len();
        Ok(self.messages(script) - before)
    }

    fn messages(&self, script: &Script) -> usize {
        (self.heard - self.origin) / script.message()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_are_counted_however_they_are_cut() {
        let script = Script::echo(64);
        for cut in 1..200 {
            let mut echoes = Echoes::new(640);
            let heard: usize =
                script.at(640, 640).chunks(cut).map(|bytes| echoes.hear(&script, 1280, bytes).unwrap()).sum();
            assert_eq!(heard, 10);
        }
    }

    #[test]
    fn chunks_as_large_as_a_window_are_checked_to_the_last_byte() {
        let script = Script::echo(65_536);
        let mut echoes = Echoes::new(65_536);
        let mut chunk = script.at(65_536, 65_536).to_vec();
        assert_eq!(echoes.hear(&script, 4 * 65_536, &chunk), Ok(1));
        let refusal = echoes.hear(&script, 4 * 65_536, &chunk).unwrap_err();
        assert!(refusal.contains("byte 65536 came back"), "the same chunk twice: {refusal}");
        chunk = script.at(2 * 65_536, 65_536).to_vec();
        chunk[65_535] ^= 1;
        assert!(echoes.hear(&script, 4 * 65_536, &chunk).unwrap_err().contains("byte 131071 came back"));
    }

    #[test]
    fn echoes_that_differ_are_told_apart() {
        let script = Script::echo(64);
        let mut bytes = script.at(64, 64).to_vec();
        let hear = |said, bytes: &[u8]| Echoes::new(64).hear(&script, said, bytes);
        assert_eq!(hear(128, &bytes), Ok(1));
        assert!(hear(127, &bytes).unwrap_err().contains("more bytes"));
        assert!(hear(128, script.at(0, 64)).unwrap_err().contains("byte 0 came back"));
        bytes[63] ^= 1;
        assert!(hear(128, &bytes).unwrap_err().contains("byte 63 came back"));
    }
}
