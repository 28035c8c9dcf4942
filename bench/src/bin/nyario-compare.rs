//! Measures nyario and the floors side by side and prints one table.

#![deny(missing_docs)]

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use nyario_bench::args::{Args, refuse};
use nyario_bench::compare::{Comparison, Placement};
use nyario_bench::load::Plan;
use nyario_bench::server::{self, FLOOR, PEER, Row};
use nyario_bench::wire::Workload;
use nyario_bench::{cores, peers, process};

const USAGE: &str = "nyario-compare [--workload echo|http] [--same-core | --two-cores] \
                     [--connections N] [--size BYTES] [--rounds N] [--seconds S] [--warmup S] \
                     [--only NAME,NAME] [--peers | --ruby LIB] [--root DIR]";

/// Who is compared.
enum Field {
    /// What this tree has.
    Own,
    /// nyario in C and the servers of others.
    Peers,
    /// What Ruby has, with the gem's library in that folder.
    Ruby(String),
}

struct Options {
    plan: Plan,
    same_core: bool,
    rounds: NonZeroUsize,
    only: Option<Vec<String>>,
    field: Field,
    root: PathBuf,
}

fn options(mut args: Args) -> Result<Options, String> {
    let mut options = Options {
        plan: Plan {
            workload: Workload::Echo,
            connections: NonZeroUsize::new(50).expect("fifty is not zero"),
            size: NonZeroUsize::new(64).expect("sixty-four is not zero"),
            pipeline: NonZeroUsize::MIN,
            warmup: Duration::from_millis(300),
            seconds: Duration::from_millis(500),
            pid: None,
        },
        same_core: true,
        rounds: NonZeroUsize::new(11).expect("eleven is not zero"),
        only: None,
        field: Field::Own,
        root: ".".into(),
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--workload" => options.plan.workload = args.value(&arg)?,
            "--connections" => options.plan.connections = args.value(&arg)?,
            "--size" => options.plan.size = args.value(&arg)?,
            "--rounds" => options.rounds = args.value(&arg)?,
            "--seconds" => options.plan.seconds = args.seconds(&arg)?,
            "--warmup" => options.plan.warmup = args.seconds(&arg)?,
            "--same-core" => options.same_core = true,
            "--two-cores" => options.same_core = false,
            "--only" => {
                let names: String = args.value(&arg)?;
                options.only = Some(names.split(',').map(|name| name.trim().into()).collect());
            }
            "--peers" => options.field = Field::Peers,
            "--ruby" => options.field = Field::Ruby(args.value(&arg)?),
            "--root" => options.root = args.value(&arg)?,
            _ => return Err(format!("{arg}?")),
        }
    }
    Ok(options)
}

fn chosen(options: &Options, root: &Path) -> Result<Vec<Row>, String> {
    let workload = options.plan.workload;
    let mut rows = match &options.field {
        Field::Own => server::rows(workload),
        Field::Peers => peers::rows(workload),
        Field::Ruby(lib) => server::ruby_rows(workload, lib),
    };
    if let Some(only) = &options.only {
        if let Some(name) = only.iter().find(|name| rows.iter().all(|row| row.name != **name)) {
            let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
            return Err(format!("there is no {name:?}, only {}", names.join(", ")));
        }
        // Without the floor of the same round no figure would repeat.
        rows.retain(|row| row.name == FLOOR || only.iter().any(|name| name == row.name));
    }
    rows.retain(|row| {
        let there = root.join(&row.file).is_file();
        if !there {
            let package = row.package.map(|package| format!("; Debian has it in {package}")).unwrap_or_default();
            println!("left out: {} ({} is not there{package})", row.name, row.file.display());
        }
        there
    });
    Ok(rows)
}

fn placement(same_core: bool) -> Result<Placement, String> {
    match (same_core, cores::usable().map_err(|error| error.to_string())?.as_slice()) {
        (true, [core, ..]) => Ok(Placement::SameCore(*core)),
        (false, [server, client, ..]) => Ok(Placement::TwoCores { server: *server, client: *client }),
        _ => Err("there is only one core to run on".into()),
    }
}

fn print_header(options: &Options) -> Result<(), String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").map_err(|error| error.to_string())?;
    let date = Command::new("date").args(["-u", "+%F"]).output().map_err(|error| error.to_string())?;
    let plan = &options.plan;
    println!("Linux {}, {}", kernel.trim(), String::from_utf8_lossy(&date.stdout).trim());
    let size = match plan.workload {
        Workload::Echo => format!(" of {} B", plan.size),
        Workload::Http => String::new(),
    };
    let placement = if options.same_core { "the same core" } else { "two cores" };
    println!(
        "{}{size}, {} connections, {placement}, {} rounds of {} s",
        plan.workload,
        plan.connections,
        options.rounds,
        plan.seconds.as_secs_f64()
    );
    Ok(())
}

fn run(options: &Options) -> Result<bool, String> {
    let root = fs::canonicalize(&options.root).map_err(|error| format!("{}: {error}", options.root.display()))?;
    let rows = chosen(options, &root)?;
    if rows.is_empty() {
        return Err("there is nothing to compare".into());
    }
    process::raise_file_limit().map_err(|error| format!("the file limit: {error}"))?;
    let placement = placement(options.same_core)?;
    placement.take().map_err(|error| format!("the placement: {error}"))?;
    print_header(options)?;
    let bases: &[&str] = if matches!(options.field, Field::Ruby(_)) { &[FLOOR, PEER] } else { &[FLOOR] };
    let comparison = Comparison::run(&rows, bases, &root, placement, &options.plan, options.rounds.get());
    print!("{comparison}");
    Ok(!comparison.failed())
}

fn main() -> ExitCode {
    let options = match options(Args::of_process()) {
        Ok(options) => options,
        Err(error) => return refuse(&error, USAGE),
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
