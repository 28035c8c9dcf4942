//! Measures what a switch from fiber to fiber costs, and what a fiber that is spawned and joined, beside other
//! libraries' fibers, and prints one table.

#![deny(missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nyario_bench::args::{Args, refuse};
use nyario_bench::cores;
use nyario_bench::order::shuffled;
use nyario_bench::stats::{Spread, median};

const USAGE: &str = "nyario-fibers [--rounds N] [--root DIR]";

/// What every other figure is divided by: a bare switch, with neither loop nor queue.
const BASE: &str = "Boost.Context";

/// The programs of `bench/fibers`, each of which prints lines of what it measured and nanoseconds.
const PROGRAMS: [(&str, &str); 6] = [
    (BASE, "fibers-boost-context"),
    ("nyario", "fibers-nyario"),
    ("nyario, static", "fibers-nyario-static"),
    ("Boost.Fiber", "fibers-boost-fiber"),
    ("Go", "fibers-go"),
    ("tokio", "fibers-tokio"),
];

/// What is measured, as the programs call it and as the table does.
const MEASURES: [(&str, &str); 2] = [("switch", "switch ns"), ("spawn", "spawn and join ns")];

type Figures = BTreeMap<String, f64>;

/// Runs one program.
fn measure(program: &Path) -> Result<Figures, String> {
    let output = Command::new(program).output().map_err(|error| format!("{}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("{} ended with {}", program.display(), output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let figure = |line: &str| {
        let (name, nanos) = line.split_once(' ')?;
        Some((name.to_owned(), nanos.parse().ok()?))
    };
    let figures = text.lines().map(|line| figure(line).ok_or(format!("{} printed '{line}'", program.display())));
    let figures: Figures = figures.collect::<Result<_, _>>()?;
    match MEASURES.iter().find(|(name, _)| !figures.contains_key(*name)) {
        Some((name, _)) => Err(format!("{} measured no {name}", program.display())),
        None => Ok(figures),
    }
}

fn print(rows: &[(&str, PathBuf)], rounds: &[Vec<Figures>]) {
    println!(
        "{:16} {}",
        "",
        MEASURES.map(|(_, title)| format!("{title:>18} {:>7} {:>13}", "ratio", "min..max")).join(" ")
    );
    for (row, (name, _)) in rows.iter().enumerate() {
        let columns = MEASURES.map(|(measure, _)| {
            let nanos = median(&mut rounds.iter().map(|round| round[row][measure]).collect::<Vec<_>>());
            let pairs = rounds.iter().map(|round| (round[row][measure], round[0][measure]));
            let ratio = Spread::of_ratios(pairs).expect("there was a round");
            let range = format!("{:.2}..{:.2}", ratio.min, ratio.max);
            format!("{nanos:>18.1} {:>7.2} {range:>13}", ratio.median)
        });
        println!("{name:16} {}", columns.join(" "));
    }
}

fn run(mut args: Args) -> Result<(), String> {
    let (mut count, mut root) = (7, PathBuf::from("."));
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => count = args.value::<std::num::NonZeroUsize>(&arg)?.get(),
            "--root" => root = args.value(&arg)?,
            _ => return Err(format!("{arg}?")),
        }
    }
    let rows: Vec<(&str, PathBuf)> =
        PROGRAMS.iter().map(|(name, file)| (*name, root.join("target/bench").join(file))).collect();
    let (rows, absent): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, program)| program.is_file());
    for (name, program) in absent {
        println!("left out: {name} ({} is not there)", program.display());
    }
    if rows.first().is_none_or(|(name, _)| *name != BASE) {
        return Err(format!("there is no {BASE} to compare with"));
    }
    let core = *cores::usable().map_err(|error| error.to_string())?.last().ok_or("there is no core")?;
    cores::pin(core).map_err(|error| format!("the placement: {error}"))?;
    let mut rounds = Vec::new();
    for round in 1..=count {
        eprintln!("round {round} of {count}");
        let mut figures = vec![Figures::new(); rows.len()];
        for row in shuffled(rows.len()) {
            figures[row] = measure(&rows[row].1)?;
        }
        rounds.push(figures);
    }
    println!("processor time, medians of {count} rounds, ratios to {BASE} of the same round");
    print(&rows, &rounds);
    Ok(())
}

fn main() -> ExitCode {
    match run(Args::of_process()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error, USAGE),
    }
}
