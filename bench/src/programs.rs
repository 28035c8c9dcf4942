//! Programs that measure themselves: each prints lines of what it measured and nanoseconds. They run in turn, each
//! round in an order of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cores;
use crate::order::shuffled;
use crate::stats::{Spread, median};

/// One of them, of `target/bench`.
#[derive(Clone, Copy)]
pub struct Program {
    /// What the table calls it.
    pub name: &'static str,
    /// Its file.
    pub file: &'static str,
    /// Where it is to run with one backend of nyario's.
    pub backend: Option<&'static str>,
}

/// What is measured, as the programs call it and as the table does.
pub type Measure = (&'static str, &'static str);

type Figures = BTreeMap<String, f64>;

/// All rounds of those that are there. The first one is what the others are divided by.
pub struct Rounds {
    names: Vec<&'static str>,
    measures: &'static [Measure],
    rounds: Vec<Vec<Figures>>,
}

impl Rounds {
    /// Runs each program `count` times, all on one core.
    pub fn run(programs: &[Program], measures: &'static [Measure], root: &Path, count: usize) -> Result<Self, String> {
        let file = |program: &Program| root.join("target/bench").join(program.file);
        let (rows, absent) = programs.iter().partition::<Vec<&Program>, _>(|program| file(program).is_file());
        for program in absent {
            println!("left out: {} ({} is not there)", program.name, file(program).display());
        }
        if rows.first().map(|row| row.name) != programs.first().map(|program| program.name) {
            return Err(format!("there is no {} to compare with", programs[0].name));
        }
        let core = *cores::usable().map_err(|error| error.to_string())?.last().ok_or("there is no core")?;
        cores::pin(core).map_err(|error| format!("the placement: {error}"))?;
        let mut rounds = Vec::new();
        for round in 1..=count {
            eprintln!("round {round} of {count}");
            let mut figures = vec![Figures::new(); rows.len()];
            for row in shuffled(rows.len()) {
                figures[row] = measure(file(rows[row]), rows[row].backend, measures)?;
            }
            rounds.push(figures);
        }
        Ok(Rounds { names: rows.iter().map(|row| row.name).collect(), measures, rounds })
    }

    /// Each program's name.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The nanoseconds that a program took for something, the median, and their ratio to the first program's of the same
    /// round.
    pub fn figure(&self, row: usize, measure: usize) -> (f64, Spread) {
        let (key, _) = self.measures[measure];
        let nanos = median(&mut self.rounds.iter().map(|round| round[row][key]).collect::<Vec<_>>());
        let pairs = self.rounds.iter().map(|round| (round[row][key], round[0][key]));
        (nanos, Spread::of_ratios(pairs).expect("there was a round"))
    }
}

fn measure(program: PathBuf, backend: Option<&str>, measures: &[Measure]) -> Result<Figures, String> {
    let name = program.display();
    let mut command = Command::new(&program);
    command.envs(backend.map(|backend| ("NYARIO_BACKEND", backend)));
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    parse(&String::from_utf8_lossy(&output.stdout), measures).map_err(|why| format!("{name} {why}"))
}

fn parse(text: &str, measures: &[Measure]) -> Result<Figures, String> {
    let figure = |line: &str| {
        let (name, nanos) = line.split_once(' ')?;
        Some((name.to_owned(), nanos.parse().ok()?))
    };
    let figures = text.lines().map(|line| figure(line).ok_or(format!("printed '{line}'")));
    let figures: Figures = figures.collect::<Result<_, _>>()?;
    match measures.iter().find(|(name, _)| !figures.contains_key(*name)) {
        Some((name, _)) => Err(format!("measured no {name}")),
        None => Ok(figures),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURES: &[Measure] = &[("switch", "a switch"), ("spawn", "a spawn")];

    #[test]
    fn what_a_program_prints_is_read_or_it_is_blamed() {
        let figures = parse("spawn 20\nswitch 1.5\nmore 3\n", MEASURES).unwrap();
        assert_eq!((figures["switch"], figures["spawn"]), (1.5, 20.0));
        assert_eq!(parse("switch 1.5\n", MEASURES), Err("measured no spawn".into()));
        assert_eq!(parse("switch fast\n", MEASURES), Err("printed 'switch fast'".into()));
    }

    #[test]
    fn ratios_are_to_the_first_program_of_the_same_round() {
        let figures = |nanos: f64| Figures::from([("switch".to_owned(), nanos), ("spawn".to_owned(), 1.0)]);
        let round = |base, other| vec![figures(base), figures(other)];
        let rounds = vec![round(10.0, 20.0), round(100.0, 300.0), round(1.0, 1.0)];
        let rounds = Rounds { names: vec!["base", "other"], measures: MEASURES, rounds };
        assert_eq!(rounds.figure(1, 0), (20.0, Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(rounds.figure(0, 0).1, Spread { min: 1.0, median: 1.0, max: 1.0 });
    }

    #[test]
    fn a_program_has_to_end_well() {
        let refusal = measure("/bin/false".into(), None, MEASURES).unwrap_err();
        assert!(refusal.starts_with("/bin/false ended with exit status: 1"), "{refusal}");
        let refusal = measure("/bin/true".into(), None, MEASURES).unwrap_err();
        assert_eq!(refusal, "/bin/true measured no switch");
    }
}
