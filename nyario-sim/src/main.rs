//! Runs nyario's core over the model kernel: `nyario-sim --seed N` runs what the seed says, and makes what fails small.
//!
//! The process that is called supervises; workers run the plans, so that a crash or a hang is a failure like any other.

mod args;
mod shrink;
mod worker;

use args::Args;
use nyario_core::driver::BackendKind;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match Args::parse() {
        Ok(args) => args,
        Err(error) => {
            eprintln!("nyario-sim: {error}\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let all = vec![BackendKind::Epoll, BackendKind::Uring, BackendKind::Kqueue];
    let backends = args.backend.map_or(all, |backend| vec![backend]);
    if args.worker {
        backends.into_iter().for_each(|backend| worker::work(&args, backend));
        return ExitCode::SUCCESS;
    }
    let failures = backends.into_iter().filter(|&backend| !supervise(&args, backend)).count();
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a worker and, if it fails, finds out how little it takes for that.
fn supervise(args: &Args, backend: BackendKind) -> bool {
    let report = shrink::watch(args, backend, args.journal);
    if report.well {
        print!("{}", report.output);
        return true;
    }
    println!("{}", report.output.lines().last().unwrap_or("a worker failed and said nothing"));
    let seed = report.seed().unwrap_or(args.seed);
    println!("{}: replay with --backend {0} --seed {seed}; looking for something smaller", backend.name());
    let failing = Args { seed, operations: None, ..args.clone() };
    let small = shrink::shrink(&failing, backend);
    println!("{}", shrink::watch(&small, backend, true).output);
    println!("replay with {}", small.words(backend).join(" "));
    false
}
