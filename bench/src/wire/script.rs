//! What is said.

use crate::address::Address;

/// The most that is written, read or compared at once.
pub const WINDOW: usize = 64 * 1024;

/// A prime, so that no usual message size divides it and neighbouring messages always differ; small, so
/// that what the client remembers does not push the server out of a cache they share.
const ECHO_PERIOD: usize = 4093;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_continues_across_its_period_and_its_window() {
        let script = Script::echo(64);
        let whole: Vec<u8> = (0..3 * ECHO_PERIOD).map(|at| script.at(at, 1)[0]).collect();
        assert_eq!(script.at(4000, 1000), &whole[4000..5000]);
        assert_eq!(script.at(0, 64), script.at(ECHO_PERIOD, 64));
        assert_ne!(script.at(0, 64), script.at(64, 64));
        assert_eq!(script.at(ECHO_PERIOD - 1, usize::MAX).len(), WINDOW);
    }
}
