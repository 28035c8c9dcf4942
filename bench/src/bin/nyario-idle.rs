//! Measures what a connection costs a server while nothing comes of it, and prints one table.

#![deny(missing_docs)]

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use nyario_bench::args::{Args, refuse, status};
use nyario_bench::idle::{self, Case, Figures};
use nyario_bench::{cores, process};

const USAGE: &str = "nyario-idle [--connections N] [--root DIR]";

struct Options {
    connections: usize,
    root: PathBuf,
}

fn options(mut args: Args) -> Result<Options, String> {
    let mut options = Options { connections: 10_000, root: ".".into() };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--connections" => options.connections = args.value::<NonZeroUsize>(&arg)?.get(),
            "--root" => options.root = args.value(&arg)?,
            _ => return Err(format!("{arg}?")),
        }
    }
    Ok(options)
}

fn print(case: &Case, figures: &Figures) {
    let Figures { resident, proportional, tables, kernel, cpu } = figures;
    let (goal, met) = match case.goal {
        Some(goal) => (format!("{goal:.0}"), if *resident <= goal { "met" } else { "not met" }),
        None => ("-".into(), ""),
    };
    let name = case.row.name;
    println!("{name:18} {resident:>9.0} {goal:>6} {met:8} {proportional:>9.0} {tables:>7.0} {kernel:>8.0} {cpu:>9.2}");
}

fn run(options: &Options) -> Result<bool, String> {
    let root = fs::canonicalize(&options.root).map_err(|error| format!("{}: {error}", options.root.display()))?;
    process::raise_file_limit().map_err(|error| format!("the file limit: {error}"))?;
    let core = *cores::usable().map_err(|error| error.to_string())?.first().ok_or("there is no core")?;
    println!("{} idle connections; bytes for each of them", options.connections);
    println!(
        "{:18} {:>9} {:>6} {:8} {:>9} {:>7} {:>8} {:>9}",
        "", "resident", "goal", "", "prop.", "tables", "kernel", "CPU ms/s"
    );
    let mut well = true;
    for case in idle::cases() {
        if !root.join(&case.row.file).is_file() {
            println!("left out: {} ({} is not there)", case.row.name, case.row.file.display());
            continue;
        }
        match idle::measure(&case, &root, core, options.connections) {
            Ok(figures) => print(&case, &figures),
            Err(why) => {
                println!("FAILED {}: {why}", case.row.name);
                well = false;
            }
        }
    }
    println!("kernel: its objects at both ends, whoever they belong to, so the machine has to be quiet");
    Ok(well)
}

fn main() -> ExitCode {
    let options = match options(Args::of_process()) {
        Ok(options) => options,
        Err(error) => return refuse(&error, USAGE),
    };
    status(run(&options))
}
