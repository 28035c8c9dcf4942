//! Makes a failure small: leaves out whatever it does not need, as long as it stays the same failure.

use crate::args::Args;
use nyario_core::driver::BackendKind;
use nyario_sim::program::Cut;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long to go on at most.
const TIME: Duration = Duration::from_secs(120);

/// What a worker said at its end.
pub struct Report {
    pub well: bool,
    pub output: String,
}

impl Report {
    /// Where it failed, which tells one failure from another.
    fn place(&self) -> &str {
        let line = self.output.lines().rev().find(|line| line.starts_with("seed ")).unwrap_or("");
        line.split_once(" failed at ").map_or("", |(_, rest)| rest.split(": ").next().unwrap_or(""))
    }

    /// The seed that failed.
    pub fn seed(&self) -> Option<u64> {
        let line = self.output.lines().rev().find(|line| line.starts_with("seed "))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

/// Runs a worker to its end.
pub fn watch(args: &Args, backend: BackendKind, journal: bool) -> Report {
    let mut words = args.words(backend);
    words.push("--worker".into());
    if journal {
        words.push("--journal".into());
    }
    let program = std::env::current_exe().expect("a running program has a file");
    let worker = Command::new(program).args(words).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let worker = worker.expect("a worker can be started");
    Report { well: worker.status.success(), output: String::from_utf8_lossy(&worker.stdout).into_owned() }
}

/// The smallest failing plan that was found in time.
pub fn shrink(args: &Args, backend: BackendKind) -> Args {
    let begun = Instant::now();
    let mut best = Args { operations: None, ..args.clone() };
    let first = watch(&best, backend, false);
    if first.well {
        return best;
    }
    let place = first.place().to_string();
    let same = |args: &Args| {
        let report = watch(args, backend, false);
        !report.well && report.place() == place
    };
    // Leaving things out shifts the kernel's choices, so each attempt is made with a few of its seeds.
    let attempt = |best: &Args, cuts: &[_]| {
        let smaller = Args { without: best.without.iter().chain(cuts).copied().collect(), ..best.clone() };
        let kernels = [best.kernel, Some(1), Some(2), Some(3), Some(4)];
        kernels.into_iter().map(|kernel| Args { kernel, ..smaller.clone() }).find(|args| same(args))
    };
    // Whole fibers and the like first: they take most of the rest with them.
    let (steps, coarse): (Vec<Cut>, Vec<Cut>) =
        args.plan(backend).cuts().into_iter().partition(|cut| matches!(cut, Cut::Step(..)));
    for cut in coarse {
        if begun.elapsed() < TIME {
            best = attempt(&best, &[cut]).unwrap_or(best);
        }
    }
    let mut left = steps;
    left.retain(|cut| !matches!(cut, Cut::Step(fiber, _) if best.without.contains(&Cut::Fiber(*fiber))));
    let mut size = left.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut progress = false;
        while at < left.len() && begun.elapsed() < TIME {
            let chunk: Vec<_> = left[at..(at + size).min(left.len())].to_vec();
            match attempt(&best, &chunk) {
                Some(smaller) => {
                    best = smaller;
                    left.drain(at..at + chunk.len());
                    progress = true;
                }
                None => at += chunk.len(),
            }
        }
        if begun.elapsed() >= TIME || (size == 1 && !progress) {
            return best;
        }
        size = size.div_ceil(2).max(1);
    }
}
