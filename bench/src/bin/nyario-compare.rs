//! Measures nyario and the floors side by side and prints one table.

#![deny(missing_docs)]

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nyario_bench::args::{Args, refuse, status};
use nyario_bench::compare::{Comparison, Placement};
use nyario_bench::machine::{self, Machine};
use nyario_bench::measurement::{Load, Measurement};
use nyario_bench::plan::{Asked, Kind, Plan};
use nyario_bench::server::{self, FLOOR, PEER, Row};
use nyario_bench::wire::Workload;
use nyario_bench::{cores, peers, process};

const USAGE: &str = "nyario-compare [--same-core | --side-by-side | --two-cores] [--rounds N] [--seconds S] [--only NAME,NAME] \
                     [--warmup S] [--peers | --ruby LIB] [--root DIR] \
                     [--json FILE] [--about VERSION]";

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
    /// All servers run all the time and take turns.
    side_by_side: bool,
    rounds: NonZeroUsize,
    only: Option<Vec<String>>,
    field: Field,
    root: PathBuf,
    /// Where to write the figures for the report.
    json: Option<PathBuf>,
    /// Versions that it should name and cannot find out.
    about: Vec<String>,
}

fn options(mut args: Args) -> Result<Options, String> {
    let mut asked = Asked::default();
    let mut warmup = Duration::from_millis(300);
    let mut seconds = Duration::from_millis(500);
    let (mut same_core, mut side_by_side) = (true, false);
    let mut rounds = NonZeroUsize::new(11).expect("eleven is not zero");
    let mut field = Field::Own;
    let (mut only, mut json, mut about) = (None, None, Vec::new());
    let mut root = ".".into();
    while let Some(arg) = args.next() {
        if asked.read(&arg, &mut args)? {
            continue;
        }
        match arg.as_str() {
            "--rounds" => rounds = args.value(&arg)?,
            "--seconds" => seconds = args.seconds(&arg)?,
            "--warmup" => warmup = args.seconds(&arg)?,
            "--same-core" => (same_core, side_by_side) = (true, false),
            "--side-by-side" => (same_core, side_by_side) = (true, true),
            "--two-cores" => (same_core, side_by_side) = (false, false),
            "--only" => {
                let names: String = args.value(&arg)?;
                only = Some(names.split(',').map(|name| name.trim().into()).collect());
            }
            "--peers" => field = Field::Peers,
            "--ruby" => field = Field::Ruby(args.value(&arg)?),
            "--root" => root = args.value(&arg)?,
            "--json" => json = Some(args.value(&arg)?),
            "--about" => about.push(args.value(&arg)?),
            _ => return Err(format!("{arg}?")),
        }
    }
    let plan = asked.plan(warmup, seconds)?;
    if side_by_side && !matches!(plan.kind, Kind::Echo | Kind::Http) {
        return Err("only echo and HTTP have slices to be taken side by side".into());
    }
    Ok(Options { plan, same_core, side_by_side, rounds, only, field, root, json, about })
}

/// The rows that are to run, and the names of those that are not there.
fn chosen(options: &Options, root: &Path) -> Result<(Vec<Row>, Vec<String>), String> {
    let workload = options.plan.kind.workload();
    let mut rows = match &options.field {
        Field::Own => server::rows(workload),
        Field::Peers => peers::rows(workload),
        Field::Ruby(_) if workload == Workload::Proxy => return Err("Ruby has no proxies".into()),
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
    let mut left_out = Vec::new();
    rows.retain(|row| {
        let there = root.join(&row.file).is_file();
        if !there {
            let package = row.package.map(|package| format!("; Debian has it in {package}")).unwrap_or_default();
            println!("left out: {} ({} is not there{package})", row.name, row.file.display());
            left_out.push(row.name.to_string());
        }
        there
    });
    Ok((rows, left_out))
}

fn placement(same_core: bool) -> Result<Placement, String> {
    match (same_core, cores::usable().map_err(|error| error.to_string())?.as_slice()) {
        (true, [core, ..]) => Ok(Placement::SameCore(*core)),
        (false, [server, client, ..]) => Ok(Placement::TwoCores { server: *server, client: *client }),
        _ => Err("there is only one core to run on".into()),
    }
}

fn load(options: &Options) -> Load {
    let plan = &options.plan;
    Load {
        workload: plan.kind,
        connections: plan.connections.get(),
        size: (plan.kind.workload() != Workload::Http).then(|| plan.size.get()),
        pipeline: plan.pipeline.get(),
        same_core: options.same_core,
        field: match options.field {
            Field::Own => None,
            Field::Peers => Some("peers".into()),
            Field::Ruby(_) => Some("Ruby".into()),
        },
        seconds: plan.seconds.as_secs_f64(),
        rounds: options.rounds.get(),
    }
}

fn versions(options: &Options, rows: &[Row], root: &Path) -> Vec<String> {
    let mut versions = options.about.clone();
    versions.extend(machine::programs(rows, root));
    // Where Ruby's servers run there are other compilers, and they have built none of them.
    if !matches!(options.field, Field::Ruby(_)) {
        versions.extend(machine::tools(root));
    }
    versions
}

fn print_header(machine: &Machine, date: &str, load: &Load) {
    println!("Linux {}, {date}", machine.kernel);
    let size = load.size.map(|size| format!(" of {size} B")).unwrap_or_default();
    let pipeline = match (load.pipeline, load.workload) {
        (1, _) => String::new(),
        (ahead, Kind::Stream) => format!(", {ahead} ahead"),
        (batch, _) => format!(", {batch} in one go"),
    };
    let placement = if load.same_core { "the same core" } else { "two cores" };
    println!(
        "{}{size}{pipeline}, {} connections, {placement}, {} rounds of {} s",
        load.workload, load.connections, load.rounds, load.seconds
    );
}

fn run(options: &Options) -> Result<bool, String> {
    let root = fs::canonicalize(&options.root).map_err(|error| format!("{}: {error}", options.root.display()))?;
    let (rows, left_out) = chosen(options, &root)?;
    if rows.is_empty() {
        return Err("there is nothing to compare".into());
    }
    let (machine, date, load) = (Machine::this()?, machine::date()?, load(options));
    let versions = versions(options, &rows, &root);
    process::raise_file_limit().map_err(|error| format!("the file limit: {error}"))?;
    let placement = placement(options.same_core)?;
    placement.take().map_err(|error| format!("the placement: {error}"))?;
    print_header(&machine, &date, &load);
    let bases: &[&str] = if matches!(options.field, Field::Ruby(_)) { &[FLOOR, PEER] } else { &[FLOOR] };
    let (plan, rounds) = (&options.plan, options.rounds.get());
    let comparison = match placement {
        Placement::SameCore(core) if options.side_by_side => {
            Comparison::side_by_side(&rows, bases, &root, core, plan, rounds)
        }
        _ => Comparison::run(&rows, bases, &root, placement, plan, rounds),
    };
    print!("{comparison}");
    let (floor, servers, failed) = (FLOOR.into(), comparison.figures(), comparison.failed());
    let well = failed.is_empty();
    if let Some(file) = &options.json {
        Measurement { date, machine, versions, load, floor, servers, failed, left_out }.write(file)?;
    }
    Ok(well)
}

fn main() -> ExitCode {
    let options = match options(Args::of_process()) {
        Ok(options) => options,
        Err(error) => return refuse(&error, &format!("{USAGE} {}", Asked::USAGE)),
    };
    status(run(&options))
}
