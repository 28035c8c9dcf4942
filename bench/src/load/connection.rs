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
