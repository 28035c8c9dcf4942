//! What there is to say of a fiber, and how it is said.

use super::name::Name;
use super::table::FiberId;
use crate::sys::Fd;
use std::fmt;

/// A fiber as somebody finds it who looks.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name for programs.
    pub id: FiberId,
    /// Its name for people, which may be empty.
    pub name: Name,
    /// What it does.
    pub state: State,
    /// In how many nanoseconds its deadline is met, below 0 when it has passed.
    pub deadline: Option<i64>,
}

/// What a fiber does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It is the one that looks.
    Running,
    /// It runs in its turn.
    Ready,
    /// It waits.
    Waiting {
        /// The name of the call that it waits in, or of what it waits for.
        what: &'static str,
        /// The descriptors that it waits on: none, one, or several.
        fds: Vec<Fd>,
        /// For how many nanoseconds, to 10 ms; what the loop has done in one turn does not count.
        nanos: u64,
    },
}

const MILLI: u64 = 1_000_000;

impl fmt::Display for Report {
    /// One line, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fiber {}", self.id.word())?;
        if !self.name.is_empty() {
            write!(f, " {:?}", self.name)?;
        }
        match &self.state {
            State::Running => write!(f, ": running")?,
            State::Ready => write!(f, ": ready")?,
            State::Waiting { what, fds, nanos } => {
                write!(f, ": in {what}")?;
                for (place, fd) in fds.iter().enumerate() {
                    write!(f, "{} {fd}", if place == 0 { " on fd" } else { "," })?;
                }
                write!(f, " for {} ms", nanos / MILLI)?;
            }
        }
        match self.deadline.map(|nanos| nanos.div_euclid(MILLI as i64)) {
            None => Ok(()),
            Some(gone) if gone < 0 => write!(f, ", deadline {} ms ago", -gone),
            Some(left) => write!(f, ", deadline in {left} ms"),
        }
    }
}
