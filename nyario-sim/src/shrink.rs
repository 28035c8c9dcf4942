//! Makes a failure small: leaves out whatever it does not need, as long as it stays the same failure.

use crate::args::Args;
use nyario_core::driver::BackendKind;
use nyario_sim::program::Cut;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long to go on at most.
const TIME: Duration = Duration::from_secs(120);
/// A worker that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(20);

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
    let patience = if args.operations.is_some() { None } else { Some(PATIENCE) };
    let mut words = args.words(backend);
    words.push("--worker".into());
    if journal {
        words.push("--journal".into());
    }
    let program = std::env::current_exe().expect("a running program has a file");
    let output = std::env::temp_dir().join(format!("nyario-sim-{}", std::process::id()));
    let file = std::fs::File::create(&output).expect("a file for the worker's output");
    let mut child =
        Command::new(program).args(words).stdout(file).stdin(Stdio::null()).spawn().expect("a worker can be started");
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break Some(status),
            None if patience.is_some_and(|patience| begun.elapsed() > patience) => {
                child.kill().expect("a child can be ended");
                child.wait().expect("a child can be waited for");
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let text = std::fs::read(&output).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    std::fs::remove_file(&output).ok();
    match status {
        Some(status) => Report { well: status.success(), output: text },
        None => Report { well: false, output: format!("{text}\nseed {} failed at a hang: \n", args.seed) },
    }
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
