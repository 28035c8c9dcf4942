//! Measures timers, channels, pipes between two fibers and wake-ups of a loop by another thread, beside tokio and Go,
//! and prints a table of each.

#![deny(missing_docs)]

use std::path::PathBuf;
use std::process::ExitCode;

use nyario_bench::args::{Args, refuse};
use nyario_bench::programs::{Measure, Program, Rounds};

const USAGE: &str = "nyario-small [--rounds N] [--root DIR]";

/// What every other figure is divided by comes first: the peer that is there wherever nyario can be built.
const PROGRAMS: [Program; 4] = [
    Program { name: "tokio", file: "small-tokio", backend: None },
    Program { name: "Go", file: "small-go", backend: None },
    Program { name: "nyario uring", file: "small-nyario", backend: Some("uring") },
    Program { name: "nyario epoll", file: "small-nyario", backend: Some("epoll") },
];

const MEASURES: &[Measure] = &[
    ("expire", "a timer of a million, armed and expired"),
    ("cancel", "a timer, armed and cancelled at once (goal: 50)"),
    ("channel", "a message through a channel without room, to the other fiber"),
    ("socketpair", "a byte through a socketpair, to the other fiber"),
    ("pipe", "a byte through a pipe, to the other fiber"),
    ("wake", "a loop that sleeps is woken by another thread of the same core: time until the code runs"),
    ("wake_cpu", "the same: processor time of both threads"),
];

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
    println!(
        "processor time unless it says otherwise, medians of {count} rounds, ratios to {} of the same round",
        PROGRAMS[0].name
    );
    for (measure, (_, title)) in MEASURES.iter().enumerate() {
        println!("\n{title}\n{:16} {:>10} {:>7} {:>13}", "", "ns", "ratio", "min..max");
        for (row, name) in rounds.names().iter().enumerate() {
            let (nanos, ratio) = rounds.figure(row, measure);
            let range = format!("{:.2}..{:.2}", ratio.min, ratio.max);
            println!("{name:16} {nanos:>10.1} {:>7.2} {range:>13}", ratio.median);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(Args::of_process()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error, USAGE),
    }
}
