//! Measures what a switch from fiber to fiber costs, and what a fiber that is spawned and joined, beside other
//! libraries' fibers, and prints one table.

#![deny(missing_docs)]

use std::path::PathBuf;
use std::process::ExitCode;

use nyario_bench::args::{Args, refuse};
use nyario_bench::programs::{Measure, Program, Rounds};

const USAGE: &str = "nyario-fibers [--rounds N] [--root DIR]";

const fn program(name: &'static str, file: &'static str) -> Program {
    Program { name, file, backend: None }
}

/// What every other figure is divided by comes first: a bare switch, with neither loop nor queue.
const PROGRAMS: [Program; 6] = [
    program("Boost.Context", "fibers-boost-context"),
    program("nyario", "fibers-nyario"),
    program("nyario, static", "fibers-nyario-static"),
    program("Boost.Fiber", "fibers-boost-fiber"),
    program("Go", "fibers-go"),
    program("tokio", "fibers-tokio"),
];

const MEASURES: &[Measure] = &[("switch", "switch ns"), ("spawn", "spawn and join ns")];

fn print(rounds: &Rounds) {
    let titles: Vec<String> =
        MEASURES.iter().map(|(_, title)| format!("{title:>18} {:>7} {:>13}", "ratio", "min..max")).collect();
    println!("{:16} {}", "", titles.join(" "));
    for (row, name) in rounds.names().iter().enumerate() {
        let columns: Vec<String> = (0..MEASURES.len())
            .map(|measure| {
                let (nanos, ratio) = rounds.figure(row, measure);
                let range = format!("{:.2}..{:.2}", ratio.min, ratio.max);
                format!("{nanos:>18.1} {:>7.2} {range:>13}", ratio.median)
            })
            .collect();
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
    let rounds = Rounds::run(&PROGRAMS, MEASURES, &root, count)?;
    println!("processor time, medians of {count} rounds, ratios to {} of the same round", PROGRAMS[0].name);
    print(&rounds);
    Ok(())
}

fn main() -> ExitCode {
    match run(Args::of_process()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error, USAGE),
    }
}
