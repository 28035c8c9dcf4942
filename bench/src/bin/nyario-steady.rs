//! Puts load on nyario and the floor for a minute each, in turns, and prints whether the cost of a message stays the same.

#![deny(missing_docs)]

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use nyario_bench::args::{Args, refuse, status};
use nyario_bench::compare::Placement;
use nyario_bench::plan::{Asked, Kind, Plan};
use nyario_bench::server::{self, FLOOR};
use nyario_bench::steady::Steady;
use nyario_bench::{cores, process};

const USAGE: &str = "nyario-steady [--slices N] [--seconds S] [--root DIR]";
const WARMUP: Duration = Duration::from_millis(200);

struct Options {
    plan: Plan,
    slices: NonZeroUsize,
    root: PathBuf,
}

fn options(mut args: Args) -> Result<Options, String> {
    let mut asked = Asked::default();
    let mut seconds = Duration::from_secs(5);
    let mut slices = NonZeroUsize::new(12).expect("twelve is not zero");
    let mut root = ".".into();
    while let Some(arg) = args.next() {
        if asked.read(&arg, &mut args)? {
            continue;
        }
        match arg.as_str() {
            "--seconds" => seconds = args.seconds(&arg)?,
            "--slices" => slices = args.value(&arg)?,
            "--root" => root = args.value(&arg)?,
            _ => return Err(format!("{arg}?")),
        }
    }
    let plan = asked.plan(WARMUP, seconds)?;
    match plan.kind {
        Kind::Echo | Kind::Http => Ok(Options { plan, slices, root }),
        Kind::Churn | Kind::Stream | Kind::Proxy => Err("a steady load is echo or http".into()),
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let root = fs::canonicalize(&options.root).map_err(|error| format!("{}: {error}", options.root.display()))?;
    process::raise_file_limit().map_err(|error| format!("the file limit: {error}"))?;
    let core = *cores::usable().map_err(|error| error.to_string())?.first().ok_or("there is no core")?;
    let mut rows = server::rows(options.plan.kind.workload());
    rows.retain(|row| row.is_nyario() || row.name == FLOOR);
    rows.retain(|row| {
        let there = root.join(&row.file).is_file();
        if !there {
            println!("left out: {} ({} is not there)", row.name, row.file.display());
        }
        there
    });
    if rows.first().is_none_or(|row| row.name != FLOOR) {
        return Err(format!("there is no {FLOOR} to compare with"));
    }
    Placement::SameCore(core).take().map_err(|error| format!("the placement: {error}"))?;
    let Options { plan, slices, .. } = options;
    println!("{}, {} connections, {slices} slices of {} s", plan.kind, plan.connections, plan.seconds.as_secs_f64());
    print!("{}", Steady::run(&rows, &root, core, plan, slices.get())?);
    Ok(true)
}

fn main() -> ExitCode {
    let options = match options(Args::of_process()) {
        Ok(options) => options,
        Err(error) => return refuse(&error, &format!("{USAGE} {}", Asked::USAGE)),
    };
    status(run(&options))
}
