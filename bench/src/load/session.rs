//! Connections that stay while the load on them comes and goes.

use std::io;
use std::time::Duration;

use super::crowd::Crowd;
use super::{ANSWER_PATIENCE, Usage};
use crate::address::Address;
use crate::plan::Plan;
use crate::process::Meter;
use crate::stats::Latencies;
use crate::wire::Script;

/// The connections to one server.
pub struct Session<'a> {
    crowd: Crowd<'a>,
    plan: &'a Plan,
}

impl<'a> Session<'a> {
    /// Connects to the server at `address`. The plan names its process.
    pub fn open(address: &'a Address, plan: &'a Plan, script: &'a Script) -> Result<Self, String> {
        let crowd = Crowd::connect(address, plan, script).map_err(|error| error.to_string())?;
        Ok(Session { crowd, plan })
    }

    /// Puts load on them for the plan's time, after its warm-up, and waits for the last answer. Says how many messages were
    /// answered in that time and what the server used for them.
    pub fn load(&mut self) -> Result<(u64, Usage), String> {
        let io = |error: io::Error| error.to_string();
        self.crowd.begin().map_err(io)?;
        self.drive(self.plan.warmup, true)?;
        let pid = self.plan.pid.expect("a process was named");
        let meter = Meter::start(pid).map_err(io)?;
        let messages = self.drive(self.plan.seconds, true)?;
        let usage = Usage { cpu: meter.cpu().map_err(io)?, resident: meter.resident().map_err(io)? };
        self.drive(ANSWER_PATIENCE, false)?;
        self.crowd.blame_silent(ANSWER_PATIENCE);
        match &self.crowd.first_error {
            Some(error) => Err(format!("{} failed, first {error}", self.crowd.errors)),
            None if messages == 0 => Err("no answer came while it was measured".into()),
            None => Ok((messages, usage)),
        }
    }

    fn drive(&mut self, time: Duration, go_on: bool) -> Result<u64, String> {
        let mut latencies = Latencies::new();
        self.crowd.drive(time, go_on, &mut latencies).map_err(|error| error.to_string())?;
        Ok(latencies.count())
    }
}
