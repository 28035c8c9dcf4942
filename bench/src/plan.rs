//! What load to put on a server.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::args::Args;
use crate::wire::Workload;

/// How many chunks of a stream are on their way at once. A stream has no end, but what it keeps on its way has to have one,
/// or the client would write until it had no memory left, and the server would be measured from cold caches.
const STREAM_AHEAD: usize = 16;

/// What the client does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Sends messages and waits until they have come back.
    Echo,
    /// Sends requests and waits for their answers.
    Http,
    /// Connects, sends one message, hears it, and closes; then begins anew.
    Churn,
    /// Sends large messages and does not wait for them.
    Stream,
    /// Sends messages through a proxy and waits until they have come back.
    Proxy,
}

impl Kind {
    /// What the server has to do for it.
    pub fn workload(self) -> Workload {
        match self {
            Kind::Echo | Kind::Churn | Kind::Stream => Workload::Echo,
            Kind::Http => Workload::Http,
            Kind::Proxy => Workload::Proxy,
        }
    }
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "echo" => Ok(Kind::Echo),
            "http" => Ok(Kind::Http),
            "churn" => Ok(Kind::Churn),
            "stream" => Ok(Kind::Stream),
            "proxy" => Ok(Kind::Proxy),
            _ => Err("a workload is echo, http, churn, stream or proxy"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Echo => "echo",
            Kind::Http => "http",
            Kind::Churn => "churn",
            Kind::Stream => "stream",
            Kind::Proxy => "proxy",
        })
    }
}

/// What load to put on a server.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the client does.
    pub kind: Kind,
    /// How many connections there are at once.
    pub connections: NonZeroUsize,
    /// The size of a message that comes back.
    pub size: NonZeroUsize,
    /// How many messages of a connection are on their way at once.
    pub pipeline: NonZeroUsize,
    /// How long the server runs under load before the measurement.
    pub warmup: Duration,
    /// How long is measured.
    pub seconds: Duration,
    /// The process whose processor time and memory are wanted.
    pub pid: Option<u32>,
}

impl Plan {
    /// How many messages follow when `answers` have come and `due` are still to come.
    pub fn next(&self, answers: usize, due: usize) -> usize {
        match self.kind {
            Kind::Stream => answers,
            // All in one go, or how many go together would be up to how the server cuts its answers.
            Kind::Echo | Kind::Http | Kind::Proxy if answers > 0 && due == 0 => self.pipeline.get(),
            Kind::Echo | Kind::Http | Kind::Churn | Kind::Proxy => 0,
        }
    }
}

/// What the command line says of a plan. What it leaves open is up to the workload.
#[derive(Default)]
pub struct Asked {
    kind: Option<Kind>,
    connections: Option<NonZeroUsize>,
    size: Option<NonZeroUsize>,
    pipeline: Option<NonZeroUsize>,
}

impl Asked {
    /// How its options are used.
    pub const USAGE: &str =
        "[--workload echo|http|churn|stream|proxy] [--connections N] [--size BYTES] [--pipeline MESSAGES]";

    /// Reads `option` where it is one of a plan's.
    pub fn read(&mut self, option: &str, args: &mut Args) -> Result<bool, String> {
        match option {
            "--workload" => self.kind = Some(args.value(option)?),
            "--connections" => self.connections = Some(args.value(option)?),
            "--size" => self.size = Some(args.value(option)?),
            "--pipeline" => self.pipeline = Some(args.value(option)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The plan, with so much time.
    pub fn plan(&self, warmup: Duration, seconds: Duration) -> Result<Plan, String> {
        let kind = self.kind.unwrap_or(Kind::Echo);
        let (connections, size, pipeline) = match kind {
            Kind::Stream => (4, 65_536, STREAM_AHEAD),
            Kind::Echo | Kind::Http | Kind::Churn | Kind::Proxy => (50, 64, 1),
        };
        if kind == Kind::Churn && self.pipeline.is_some() {
            return Err("a connection that has one message has no pipeline".into());
        }
        let number = |asked: Option<NonZeroUsize>, usual| {
            asked.unwrap_or_else(|| NonZeroUsize::new(usual).expect("what is usual is not zero"))
        };
        Ok(Plan {
            kind,
            connections: number(self.connections, connections),
            size: number(self.size, size),
            pipeline: number(self.pipeline, pipeline),
            warmup,
            seconds,
            pid: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &'static str) -> Result<Plan, String> {
        let (mut args, mut asked) = (Args::of(line), Asked::default());
        while let Some(arg) = args.next() {
            assert_eq!(asked.read(&arg, &mut args), Ok(true));
        }
        asked.plan(Duration::ZERO, Duration::from_secs(1))
    }

    fn numbers(line: &'static str) -> (usize, usize, usize) {
        let plan = plan(line).unwrap();
        (plan.connections.get(), plan.size.get(), plan.pipeline.get())
    }

    #[test]
    fn what_is_left_open_is_up_to_the_workload() {
        assert_eq!(numbers(""), (50, 64, 1));
        assert_eq!(numbers("--workload http --pipeline 16"), (50, 64, 16));
        assert_eq!(numbers("--workload stream"), (4, 65_536, 16));
        assert_eq!(numbers("--connections 2 --workload stream --size 100"), (2, 100, 16));
        assert!(plan("--workload churn --pipeline 2").unwrap_err().contains("no pipeline"));
    }

    #[test]
    fn workloads_are_read_as_they_are_written() {
        for kind in [Kind::Echo, Kind::Http, Kind::Churn, Kind::Stream, Kind::Proxy] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("ftp".parse::<Kind>().is_err());
    }

    #[test]
    fn a_batch_follows_a_batch_and_a_chunk_a_chunk() {
        let batches = plan("--pipeline 16").unwrap();
        assert_eq!((batches.next(10, 6), batches.next(6, 0), batches.next(0, 0)), (0, 16, 0));
        let chunks = plan("--workload stream").unwrap();
        assert_eq!((chunks.next(2, 14), chunks.next(0, 16)), (2, 0));
        assert_eq!(plan("--workload churn").unwrap().next(1, 0), 0);
    }
}
