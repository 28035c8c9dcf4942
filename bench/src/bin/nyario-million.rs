//! Gives one loop a million connections that say nothing, and measures what those beside them notice of it.

#![deny(missing_docs)]

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nyario_bench::args::{Args, refuse, status};
use nyario_bench::idle::{self, Case, Watch};
use nyario_bench::load::{self, Outcome};
use nyario_bench::memory::Machine;
use nyario_bench::million::allowed;
use nyario_bench::plan::{Kind, Plan};
use nyario_bench::{cores, crowd::Crowd};

const USAGE: &str = "nyario-million [--connections N] [--active N] [--memory GIB] [--only NAME,NAME] [--root DIR]";

/// Between two looks at the memory that is left.
const STEP: usize = 10_000;

/// How many of them are asked at the end whether they are still known.
const SAMPLE: usize = 1000;

const MIB: u64 = 1 << 20;

struct Options {
    connections: usize,
    active: NonZeroUsize,
    /// How many bytes of the machine's memory may be in use, whoever uses them.
    memory: u64,
    only: Vec<String>,
    root: PathBuf,
}

fn options(mut args: Args) -> Result<Options, String> {
    let mut options = Options {
        connections: 1_000_000,
        active: NonZeroUsize::new(16).expect("sixteen is not zero"),
        memory: Machine::now()?.total * 3 / 5,
        only: ["C uring lazy", "C epoll lazy"].map(String::from).to_vec(),
        root: ".".into(),
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--connections" => options.connections = args.value::<NonZeroUsize>(&arg)?.get(),
            "--active" => options.active = args.value(&arg)?,
            "--memory" => options.memory = args.value::<u64>(&arg)? << 30,
            "--only" => {
                let names: String = args.value(&arg)?;
                options.only = names.split(',').map(|name| name.trim().into()).collect();
            }
            "--root" => options.root = args.value(&arg)?,
            _ => return Err(format!("{arg}?")),
        }
    }
    Ok(options)
}

fn echo(watch: &Watch, active: NonZeroUsize) -> Result<Outcome, String> {
    let plan = Plan {
        kind: Kind::Echo,
        connections: active,
        size: NonZeroUsize::new(64).expect("sixty-four is not zero"),
        pipeline: NonZeroUsize::MIN,
        warmup: Duration::from_millis(300),
        seconds: Duration::from_secs(2),
        pid: Some(watch.server().pid()),
    };
    let outcome = load::run(watch.server().address(), &plan)?;
    match &outcome.first_error {
        Some(error) => Err(format!("{} failed, first {error}", outcome.errors)),
        None => Ok(outcome),
    }
}

fn print(when: &str, outcome: &Outcome) {
    let micros = |share| outcome.latencies.micros(share);
    println!(
        "  {when:16} p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us, {:.0} messages/s, {:.2} us of processor time for each",
        micros(0.5),
        micros(0.99),
        micros(0.999),
        outcome.rate(),
        outcome.cpu_micros().unwrap_or(f64::NAN)
    );
}

/// Opens as many as there is memory for.
fn open(crowd: &mut Crowd, wanted: usize, memory: u64) -> Result<(), String> {
    let begun = Instant::now();
    while crowd.len() < wanted {
        let used = Machine::now()?.used();
        if used >= memory {
            println!(
                "  stopped at {}: {} MiB of the machine's memory are in use; --memory allows more",
                crowd.len(),
                used / MIB
            );
            break;
        }
        crowd.open(STEP.min(wanted - crowd.len()), false)?;
        if crowd.len().is_multiple_of(10 * STEP) {
            eprintln!("{} after {:.0} s, {} MiB in use", crowd.len(), begun.elapsed().as_secs_f64(), used / MIB);
        }
    }
    match crowd.is_empty() {
        true => Err("there is no memory for any".into()),
        false => Ok(()),
    }
}

fn measure(case: &Case, options: &Options, root: &Path, core: usize, wanted: usize) -> Result<(), String> {
    println!("{}", case.row.name);
    let (watch, mut crowd) = Watch::start(&case.row, root, core)?;
    let alone = echo(&watch, options.active)?;
    print("with none idle", &alone);
    let begun = Instant::now();
    let outcome = open(&mut crowd, wanted, options.memory).and_then(|()| {
        let seconds = begun.elapsed().as_secs_f64();
        let count = crowd.len();
        println!("  {count} idle connections, opened in {seconds:.0} s");
        let figures = watch.figures(count)?;
        println!(
            "  bytes for each: {:.0} resident, {:.0} of page tables, {:.0} of the kernel's objects at both ends",
            figures.resident, figures.tables, figures.kernel
        );
        println!("  {:.2} ms of processor time in a second of quiet", figures.cpu);
        let among = echo(&watch, options.active)?;
        print("among them", &among);
        let ratio = |share| among.latencies.micros(share) / alone.latencies.micros(share);
        println!("  {:16} p50 {:.2}, p99 {:.2}", "ratio", ratio(0.5), ratio(0.99));
        crowd.wake(SAMPLE)?;
        println!("  every one of about {SAMPLE} still answers");
        Ok(())
    });
    drop(crowd);
    // How a server ends says more than that its connections broke.
    watch.stop()?;
    outcome
}

fn run(options: &Options) -> Result<bool, String> {
    let root = fs::canonicalize(&options.root).map_err(|error| format!("{}: {error}", options.root.display()))?;
    let (mut cases, names) = (idle::cases(), idle::cases());
    cases.retain(|case| options.only.iter().any(|name| name == case.row.name));
    if let Some(name) = options.only.iter().find(|name| names.iter().all(|case| case.row.name != **name)) {
        let names: Vec<&str> = names.iter().map(|case| case.row.name).collect();
        return Err(format!("there is no {name:?}, only {}", names.join(", ")));
    }
    let (count, needs) = allowed(options.connections)?;
    for need in &needs {
        println!("{} connections need {need}", options.connections);
    }
    if count == 0 {
        return Err("this machine allows none".into());
    }
    let machine = Machine::now()?;
    println!(
        "{count} connections need some 9 KiB of the kernel's memory each, {} MiB; {} MiB are in use and {} MiB may be",
        count as u64 * 9 / 1024,
        machine.used() / MIB,
        options.memory / MIB
    );
    let [server, .., client] = *cores::usable().map_err(|error| error.to_string())? else {
        return Err("there is only one core to run on".into());
    };
    cores::pin(client).map_err(|error| format!("the placement: {error}"))?;
    let mut well = true;
    for case in cases {
        if let Err(why) = measure(&case, options, &root, server, count) {
            println!("FAILED {}: {why}", case.row.name);
            well = false;
        }
    }
    Ok(well)
}

fn main() -> ExitCode {
    let options = match options(Args::of_process()) {
        Ok(options) => options,
        Err(error) => return refuse(&error, USAGE),
    };
    status(run(&options))
}
