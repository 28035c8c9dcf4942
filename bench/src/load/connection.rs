//! One connection of the load generator.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::iter;
use std::time::Instant;

use crate::plan::{Kind, Plan};
use crate::stream::Stream;
use crate::wire::{Answers, Script};

/// What has been heard at once.
#[derive(Default)]
pub struct Heard {
    /// How many messages are answered.
    pub answers: usize,
    /// Whether the connection has come to its end, and was meant to.
    pub over: bool,
}

/// A connection, what it still has to say, and what it waits for.
pub struct Connection {
    pub stream: Stream,
    pub waits_for_room: bool,
    /// When the messages that are not answered yet were due to be sent.
    pub asked_at: VecDeque<Instant>,
    said: usize,
    to_say: usize,
    answers: Answers,
    one_message: bool,
    finished: bool,
}

impl Connection {
    /// One that speaks the script from message `index` on.
    pub fn new(stream: Stream, plan: &Plan, script: &Script, index: usize) -> Self {
        let origin = index * script.message();
        Connection {
            stream,
            waits_for_room: false,
            asked_at: VecDeque::with_capacity(plan.pipeline.get()),
            said: origin,
            to_say: 0,
            answers: Answers::new(plan.kind.workload(), origin),
            one_message: plan.kind == Kind::Churn,
            finished: false,
        }
    }

    /// Whether it has something to say for which there was no room.
    pub fn is_stuck(&self) -> bool {
        self.to_say > 0
    }

    /// Sends so many messages more, as far as there is room; their time runs from `since`.
    pub fn ask(&mut self, script: &Script, messages: usize, since: Instant) -> io::Result<()> {
        self.asked_at.extend(iter::repeat_n(since, messages));
        self.to_say += messages * script.message();
        while self.to_say > 0 {
            match self.stream.write(script.at(self.said, self.to_say)) {
                Ok(size) => {
                    self.said += size;
                    self.to_say -= size;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Hears what has come, until a short read shows that there is no more; where the connection has
    /// ended, until that shows.
    pub fn hear(&mut self, script: &Script, ended: bool, window: &mut [u8]) -> Result<Heard, String> {
        let mut heard = Heard::default();
        loop {
            match self.stream.read(window) {
                // Only now is its life over: before, the server might forget to close.
                Ok(0) if self.finished => return Ok(Heard { answers: 1, over: true }),
                Ok(0) => return Err("the server closed the connection".into()),
                Ok(size) => {
                    let answers = self.answers.hear(script, self.said, &window[..size])?;
                    if !self.one_message {
                        heard.answers += answers;
                    } else if answers > 0 {
                        self.stream.finish().map_err(|error| error.to_string())?;
                        self.finished = true;
                    }
                    if size < window.len() && !ended {
                        return Ok(heard);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(heard),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Asked;
    use crate::wire::WINDOW;
    use std::num::NonZeroUsize;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn plan(kind: Kind) -> Plan {
        let plan = Asked::default().plan(Duration::ZERO, Duration::ZERO).unwrap();
        Plan { kind, connections: NonZeroUsize::MIN, ..plan }
    }

    /// A connection that has asked, and its peer, which waits for nothing.
    fn asked(kind: Kind, script: &Script, messages: usize) -> (Connection, UnixStream) {
        let (own, peer) = UnixStream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        peer.set_nonblocking(true).unwrap();
        let mut connection = Connection::new(Stream::Unix(own), &plan(kind), script, 7);
        connection.ask(script, messages, Instant::now()).unwrap();
        (connection, peer)
    }

    fn hear(connection: &mut Connection, script: &Script) -> Result<(usize, bool), String> {
        connection.hear(script, false, &mut vec![0; WINDOW]).map(|heard| (heard.answers, heard.over))
    }

    /// Sends back what has come, and says how much that was; the peer's end is 0.
    fn echo(peer: &mut UnixStream) -> Option<usize> {
        let mut bytes = vec![0; 16_384];
        let size = peer.read(&mut bytes).ok()?;
        peer.write_all(&bytes[..size]).unwrap();
        Some(size)
    }

    #[test]
    fn a_life_counts_when_both_sides_have_ended_it() {
        let script = Script::echo(64);
        let (mut connection, mut peer) = asked(Kind::Churn, &script, 1);
        assert_eq!((echo(&mut peer), echo(&mut peer)), (Some(64), None));
        assert_eq!(hear(&mut connection, &script), Ok((0, false)), "the peer may forget to close");
        assert_eq!(echo(&mut peer), Some(0), "the client ends first");
        drop(peer);
        assert_eq!(hear(&mut connection, &script), Ok((1, true)));
    }

    #[test]
    fn a_life_that_ends_early_or_says_too_much_has_failed() {
        let script = Script::echo(64);
        let (mut connection, mut peer) = asked(Kind::Churn, &script, 1);
        peer.read_exact(&mut [0; 64]).unwrap();
        peer.write_all(&script.at(7 * 64, 63)[..63]).unwrap();
        drop(peer);
        assert_eq!(hear(&mut connection, &script), Ok((0, false)));
        assert!(hear(&mut connection, &script).unwrap_err().contains("closed"));

        let (mut connection, mut peer) = asked(Kind::Churn, &script, 1);
        echo(&mut peer).unwrap();
        hear(&mut connection, &script).unwrap();
        peer.write_all(b"!").unwrap();
        assert!(hear(&mut connection, &script).unwrap_err().contains("more bytes"));
    }

    #[test]
    fn chunks_go_out_as_there_is_room_and_all_come_back() {
        let script = Script::echo(65_536);
        let (mut connection, mut peer) = asked(Kind::Stream, &script, 16);
        assert!(connection.is_stuck(), "a socket has no room for a mebibyte");
        let mut answers = 0;
        while let Some(1..) = echo(&mut peer) {
            answers += hear(&mut connection, &script).unwrap().0;
            connection.ask(&script, 0, Instant::now()).unwrap();
        }
        assert_eq!((answers, connection.is_stuck()), (16, false));
    }
}
