//! The load generator: one thread that keeps every connection busy and believes no answer.

use std::io;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::plan::Plan;
use crate::process::Meter;
use crate::stats::Latencies;
use crate::wire::{Script, Workload};

mod connection;
mod crowd;
mod session;

use crowd::Crowd;
pub use session::Session;

/// How long an answer that is due when the measurement ends may take before its connection counts as
/// forgotten: far longer than any server needs, because it is lost wake-ups that this looks for.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

/// What a run has shown.
pub struct Outcome {
    /// How long was measured.
    pub window: Duration,
    /// The answers within that time, with how long each took.
    pub latencies: Latencies,
    /// What the server used, where a process was named.
    pub server: Option<Usage>,
    /// How many connections failed.
    pub errors: usize,
    /// What happened to the first of them.
    pub first_error: Option<String>,
}

/// What a server used while it was measured.
#[derive(Clone, Copy)]
pub struct Usage {
    /// Its processor time.
    pub cpu: Duration,
    /// Its resident memory in bytes, at the end.
    pub resident: u64,
}

impl Outcome {
    /// Answers per second.
    pub fn rate(&self) -> f64 {
        self.latencies.count() as f64 / self.window.as_secs_f64()
    }

    /// The server's microseconds of processor time per answer.
    pub fn cpu_micros(&self) -> Option<f64> {
        let usage = self.server?;
        Some(usage.cpu.as_nanos() as f64 / 1e3 / self.latencies.count() as f64)
    }
}

/// What is said to the server at `address`.
pub fn script(address: &Address, plan: &Plan) -> Script {
    match plan.kind.workload() {
        Workload::Echo | Workload::Proxy => Script::echo(plan.size.get()),
        Workload::Http => Script::http(address),
    }
}

/// Puts load on the server at `address`. An error means that nothing could be measured; connections that
/// fail are counted in the outcome.
pub fn run(address: &Address, plan: &Plan) -> Result<Outcome, String> {
    let io = |error: io::Error| error.to_string();
    let script = script(address, plan);
    let mut crowd = Crowd::connect(address, plan, &script).map_err(io)?;
    crowd.begin().map_err(io)?;
    crowd.drive(plan.warmup, true, &mut Latencies::new()).map_err(io)?;
    if crowd.outstanding == 0 {
        return Err(crowd.first_error.unwrap_or_default());
    }

    let watch = |error| format!("the server's process cannot be watched: {error}");
    let meter = plan.pid.map(Meter::start).transpose().map_err(watch)?;
    let mut latencies = Latencies::new();
    let begun = Instant::now();
    crowd.drive(plan.seconds, true, &mut latencies).map_err(io)?;
    let window = begun.elapsed();
    let usage = |meter: Meter| Ok(Usage { cpu: meter.cpu()?, resident: meter.resident()? });
    let server = meter.map(usage).transpose().map_err(watch)?;

    crowd.drive(ANSWER_PATIENCE, false, &mut Latencies::new()).map_err(io)?;
    crowd.blame_silent(ANSWER_PATIENCE);
    if latencies.count() == 0 {
        let why = crowd.first_error.unwrap_or_else(|| "the server is too slow".into());
        return Err(format!("no answer came while it was measured: {why}"));
    }
    Ok(Outcome { window, latencies, server, errors: crowd.errors, first_error: crowd.first_error })
}
