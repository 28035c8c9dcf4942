//! What a connection says, and whether what it hears is right.

use std::fmt;

mod echo;
mod http;
mod script;

pub use script::{Script, WINDOW};

/// What the server is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// To send every byte back.
    Echo,
    /// To answer GET requests over connections that stay open.
    Http,
    /// To pass every byte on to a server that sends it back.
    Proxy,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Workload::Echo => "echo",
            Workload::Http => "http",
            Workload::Proxy => "proxy",
        })
    }
}

/// What one connection has heard so far.
pub enum Answers {
    /// The same bytes as were said.
    Echo(echo::Echoes),
    /// Whole answers, and the beginning of one.
    Http(http::HttpAnswer),
}

impl Answers {
    /// Those of a connection that speaks the script from `origin` on.
    pub fn new(workload: Workload, origin: usize) -> Self {
        match workload {
            Workload::Echo | Workload::Proxy => Answers::Echo(echo::Echoes::new(origin)),
            Workload::Http => Answers::Http(http::HttpAnswer::default()),
        }
    }

    /// Hears at most a window of bytes, and says how many answers end in them. `said` is where the connection has come
    /// to.
    pub fn hear(&mut self, script: &Script, said: usize, bytes: &[u8]) -> Result<usize, String> {
        match self {
            Answers::Echo(echoes) => echoes.hear(script, said, bytes),
            Answers::Http(answer) => answer.hear(bytes),
        }
    }
}
