//! The comparison: every server in every round, in an order of its own, each divided by the floor of the
//! same round.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::cores;
use crate::load::{self, Usage};
use crate::measurement::{Failure, Figures, Latency};
use crate::order::shuffled;
use crate::plan::{Kind, Plan};
use crate::server::{self, Row, Server};
use crate::stats::{Spread, median};
use crate::turns;

/// Between the two ends of a run, and between a run and its floor, the distance of the cores may differ
/// by this much.
const TRIP_TOLERANCE: f64 = 1.5;

/// How often a run is tried before its round goes without it.
const ATTEMPTS: usize = 4;

/// How many slices make a round where the servers run side by side: what disturbs a shared machine comes and goes within
/// milliseconds, and between that and a round's length.
const SLICES: u32 = 20;

/// Which cores the two sides run on.
#[derive(Clone, Copy)]
pub enum Placement {
    /// Both on one, where they take turns.
    SameCore(usize),
    /// Each on its own.
    TwoCores {
        /// The server's.
        server: usize,
        /// The client's.
        client: usize,
    },
}

impl Placement {
    fn server(self) -> usize {
        match self {
            Placement::SameCore(core) => core,
            Placement::TwoCores { server, .. } => server,
        }
    }

    /// Where the server behind a proxy is at home: not with the proxy, whose core is measured.
    fn upstream(self) -> usize {
        match self {
            Placement::SameCore(core) => core,
            Placement::TwoCores { client, .. } => client,
        }
    }

    /// Puts this thread, which is the client, and by inheritance the servers, where they belong.
    pub fn take(self) -> std::io::Result<()> {
        match self {
            Placement::SameCore(core) => cores::pin(core).and_then(|()| cores::batch()),
            Placement::TwoCores { client, .. } => cores::pin(client),
        }
    }

    fn round_trip(self) -> Result<Option<f64>, String> {
        match self {
            Placement::SameCore(_) => Ok(None),
            Placement::TwoCores { server, client } => {
                cores::round_trip(client, server).map(Some).map_err(|error| error.to_string())
            }
        }
    }
}

/// One run of one server.
#[derive(Clone, Copy, Default)]
struct Sample {
    cpu: f64,
    rate: f64,
    /// Of the answers, where each was timed: the median, and the hundredth and the thousandth from the end.
    latency: Option<[f64; 3]>,
    resident: f64,
    round_trip: Option<f64>,
}

/// What became of one row: a sample for each round in which it could be measured, or why it failed.
struct Record {
    name: &'static str,
    nyario: bool,
    samples: Vec<Option<Sample>>,
    failure: Option<String>,
}

/// What the slices of one server have come to since its last round was whole.
#[derive(Clone, Copy, Default)]
struct Gathered {
    slices: u32,
    messages: u64,
    cpu: Duration,
}

impl Gathered {
    /// Takes a slice in; the round's sample once it is whole.
    fn add(&mut self, messages: u64, usage: Usage, plan: &Plan) -> Option<Sample> {
        self.slices += 1;
        self.messages += messages;
        self.cpu += usage.cpu;
        if self.slices < SLICES {
            return None;
        }
        let Gathered { messages, cpu, .. } = std::mem::take(self);
        Some(Sample {
            cpu: turns::micros(cpu, messages),
            rate: messages as f64 / plan.seconds.as_secs_f64(),
            latency: None,
            resident: usage.resident as f64,
            round_trip: None,
        })
    }
}

impl Record {
    fn of(row: &Row) -> Self {
        Record { name: row.name, nyario: row.is_nyario(), samples: Vec::new(), failure: None }
    }
}

/// All rounds of all rows.
pub struct Comparison {
    records: Vec<Record>,
    bases: &'static [&'static str],
    same_core: bool,
}

impl Comparison {
    /// Runs every row `rounds` times, and divides by each of `bases`. A row that fails is not run again.
    pub fn run(
        rows: &[Row],
        bases: &'static [&'static str],
        root: &Path,
        placement: Placement,
        plan: &Plan,
        rounds: usize,
    ) -> Self {
        let mut records: Vec<Record> = rows.iter().map(Record::of).collect();
        for round in 1..=rounds {
            eprintln!("round {round} of {rounds}");
            for index in shuffled(rows.len()) {
                let (row, record) = (&rows[index], &mut records[index]);
                if record.failure.is_some() {
                    continue;
                }
                match measure(row, root, placement, plan) {
                    Ok(sample) => record.samples.push(sample),
                    Err(why) => record.failure = Some(why),
                }
            }
        }
        let same_core = matches!(placement, Placement::SameCore(_));
        Comparison { records, bases, same_core }
    }

    /// As [`run`](Self::run), with all servers running side by side on one core and taking turns: see [`turns`].
    pub fn side_by_side(
        rows: &[Row],
        bases: &'static [&'static str],
        root: &Path,
        core: usize,
        plan: &Plan,
        rounds: usize,
    ) -> Self {
        let mut records: Vec<Record> = rows.iter().map(Record::of).collect();
        let mut gathered = vec![Gathered::default(); rows.len()];
        let slice = Plan { warmup: plan.warmup / SLICES, seconds: plan.seconds / SLICES, ..plan.clone() };
        turns::take(rows, root, core, &slice, rounds * SLICES as usize, |place, slice| match slice {
            Ok((messages, usage)) => {
                records[place].samples.extend(gathered[place].add(messages, usage, plan).map(Some))
            }
            Err(why) => records[place].failure = Some(why),
        });
        Comparison { records, bases, same_core: true }
    }

    /// The servers that failed.
    pub fn failed(&self) -> Vec<Failure> {
        let failure = |record: &Record| Some(Failure { name: record.name.into(), why: record.failure.clone()? });
        self.records.iter().filter_map(failure).collect()
    }

    /// What the servers that were measured have shown, divided by the first of the bases.
    pub fn figures(&self) -> Vec<Figures> {
        self.records.iter().filter_map(|record| self.figures_of(record)).collect()
    }

    fn figures_of(&self, record: &Record) -> Option<Figures> {
        let samples: Vec<Sample> = record.samples.iter().flatten().copied().collect();
        let all = |of: fn(&Sample) -> f64| Spread::of(samples.iter().map(of));
        let middle = |of| all(of).map(|it| it.median);
        let timed = |at: usize| Spread::of(samples.iter().filter_map(|it| Some(it.latency?[at]))).map(|it| it.median);
        let latency = (|| Some(Latency { p50_us: timed(0)?, p99_us: timed(1)?, p999_us: timed(2)? }))();
        Some(Figures {
            name: record.name.into(),
            nyario: record.nyario,
            rounds: samples.len(),
            cpu_us: all(|it| it.cpu)?,
            ratio: self.bases.first().and_then(|base| self.ratio(record, base)),
            messages_per_second: middle(|it| it.rate)?,
            latency: latency.filter(|_| !self.same_core),
            resident_bytes: middle(|it| it.resident)?,
            round_trip_ns: Spread::of(samples.iter().filter_map(|it| it.round_trip)).map(|it| it.median),
        })
    }

    fn ratio(&self, record: &Record, base: &str) -> Option<Spread> {
        let base = self.records.iter().find(|record| record.name == base)?;
        let pairs = record.samples.iter().zip(&base.samples).filter_map(|pair| match pair {
            (Some(own), Some(base)) if alike(own.round_trip, base.round_trip) => Some((own.cpu, base.cpu)),
            _ => None,
        });
        Spread::of_ratios(pairs)
    }
}

/// One run, or none where the cores moved during every attempt.
fn measure(row: &Row, root: &Path, placement: Placement, plan: &Plan) -> Result<Option<Sample>, String> {
    for _ in 0..ATTEMPTS {
        let upstream = match plan.kind {
            Kind::Proxy => Some(Server::start(&server::upstream(), root, placement.upstream())?),
            _ => None,
        };
        let server = match &upstream {
            Some(upstream) => Server::start_before(upstream.address(), row, root, placement.server())?,
            None => Server::start(row, root, placement.server())?,
        };
        let before = placement.round_trip()?;
        let plan = Plan { pid: Some(server.pid()), ..plan.clone() };
        let outcome = load::run(server.address(), &plan);
        let after = placement.round_trip()?;
        // How a server ends says more than that its connections broke.
        server.stop()?;
        upstream.map_or(Ok(()), Server::stop)?;
        let outcome = outcome?;
        if let Some(error) = &outcome.first_error {
            return Err(format!("{} failed, first {error}", outcome.errors));
        }
        if alike(before, after) {
            let usage = outcome.server.expect("a process was named");
            return Ok(Some(Sample {
                cpu: outcome.cpu_micros().expect("a process was named"),
                rate: outcome.rate(),
                latency: Some([0.5, 0.99, 0.999].map(|part| outcome.latencies.micros(part))),
                resident: usage.resident as f64,
                round_trip: before.zip(after).map(|(before, after)| before.midpoint(after)),
            }));
        }
    }
    Ok(None)
}

fn alike(one: Option<f64>, other: Option<f64>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one.max(other) <= TRIP_TOLERANCE * one.min(other))
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:18} {:>8}", "server", "CPU us")?;
        for base in self.bases {
            write!(f, " {:>11} {:>13}", format!("/{}", base.replace(' ', "_")), "min..max")?;
        }
        write!(f, " {:>11} {:>9} {:>9} {:>9}", "messages/s", "p50 us", "p99 us", "p99.9 us")?;
        writeln!(f, " {:>8} {:>9} {:>6}", "RSS KiB", "trip ns", "rounds")?;
        for record in &self.records {
            self.write_row(f, record)?;
        }
        if self.same_core {
            writeln!(f, "In brackets: client and server shared a core, so throughput and latency mean nothing.")?;
        }
        for record in &self.records {
            if let Some(why) = &record.failure {
                writeln!(f, "FAILED {}: {why}", record.name)?;
            }
        }
        Ok(())
    }
}

impl Comparison {
    fn write_row(&self, f: &mut fmt::Formatter<'_>, record: &Record) -> fmt::Result {
        let samples: Vec<Sample> = record.samples.iter().flatten().copied().collect();
        if samples.is_empty() {
            return writeln!(f, "{:18} not measured", record.name);
        }
        let middle = |of: fn(&Sample) -> f64| median(&mut samples.iter().map(of).collect::<Vec<_>>());
        let vague = |value: f64| match self.same_core {
            true => format!("({value:.0})"),
            false => format!("{value:.0}"),
        };
        write!(f, "{:18} {:>8.2}", record.name, middle(|it| it.cpu))?;
        for base in self.bases {
            let (ratio, range) = match self.ratio(record, base) {
                Some(it) => (format!("{:.3}", it.median), format!("{:.3}..{:.3}", it.min, it.max)),
                None => ("-".into(), "-".into()),
            };
            write!(f, " {ratio:>11} {range:>13}")?;
        }
        write!(f, " {:>11}", vague(middle(|it| it.rate)))?;
        for part in 0..3 {
            let mut timed: Vec<f64> = samples.iter().filter_map(|it| Some(it.latency?[part])).collect();
            let text = if timed.is_empty() { "-".into() } else { vague(median(&mut timed)) };
            write!(f, " {text:>9}")?;
        }
        let mut trips: Vec<f64> = samples.iter().filter_map(|it| it.round_trip).collect();
        let trip = match trips.is_empty() {
            true => "-".into(),
            false => format!("{:.0}", median(&mut trips)),
        };
        let resident = middle(|it| it.resident) / 1024.0;
        writeln!(f, " {resident:>8.0} {trip:>9} {:>6}", samples.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &'static str, cpu: &[Option<(f64, f64)>]) -> Record {
        let sample = |(cpu, trip)| Sample { cpu, round_trip: Some(trip), latency: Some([1.0; 3]), ..Sample::default() };
        let samples = cpu.iter().map(|it| it.map(sample)).collect();
        Record { name, nyario: false, samples, failure: None }
    }

    #[test]
    fn a_ratio_is_to_the_floor_of_the_same_round_and_state() {
        let floor = [Some((5.0, 50.0)), Some((10.0, 300.0)), None, Some((5.0, 50.0))];
        let other = [Some((4.0, 60.0)), Some((9.0, 310.0)), Some((1.0, 50.0)), Some((9.0, 300.0))];
        let records = vec![record("other", &other), record("floor", &floor)];
        let comparison = Comparison { records, bases: &["floor"], same_core: false };
        let ratio = comparison.ratio(&comparison.records[0], "floor").unwrap();
        assert_eq!((ratio.min, ratio.max), (0.8, 0.9));
    }

    #[test]
    fn a_round_is_made_of_slices_each_of_which_counts_by_its_messages() {
        let plan = crate::plan::Asked::default().plan(Duration::ZERO, Duration::from_millis(500)).unwrap();
        let mut gathered = Gathered::default();
        for round in 1..=2 {
            for slice in 1..=SLICES {
                let messages = u64::from(100 * slice);
                let usage = Usage { cpu: Duration::from_micros(300), resident: 4096 };
                let sample = gathered.add(messages, usage, &plan);
                assert_eq!(sample.is_some(), slice == SLICES, "round {round}");
                if let Some(sample) = sample {
                    let all = f64::from(100 * SLICES * (SLICES + 1) / 2);
                    assert_eq!((sample.cpu, sample.rate), (f64::from(300 * SLICES) / all, all / 0.5));
                }
            }
        }
    }

    #[test]
    fn figures_are_of_the_rounds_that_could_be_used() {
        let floor = [Some((5.0, 50.0)), Some((10.0, 60.0)), None];
        let other = [Some((4.0, 50.0)), None, Some((6.0, 70.0))];
        let records = vec![record("floor", &floor), record("other", &other), record("none", &[None])];
        let figures = Comparison { records, bases: &["floor"], same_core: false }.figures();
        assert_eq!(figures.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["floor", "other"]);
        assert_eq!(figures[1].rounds, 2);
        assert_eq!(figures[1].cpu_us, Spread { min: 4.0, median: 5.0, max: 6.0 });
        assert_eq!(figures[1].ratio, Some(Spread { min: 0.8, median: 0.8, max: 0.8 }));
        assert_eq!(figures[1].round_trip_ns, Some(60.0));
    }

    #[test]
    fn latencies_are_kept_only_where_they_mean_something() {
        let figures = |same_core| {
            let records = vec![record("floor", &[Some((5.0, 50.0))])];
            Comparison { records, bases: &["floor"], same_core }.figures()
        };
        assert!(figures(false)[0].latency.is_some());
        assert!(figures(true)[0].latency.is_none());
    }

    #[test]
    fn distances_are_alike_within_the_tolerance_or_unknown() {
        assert!(alike(Some(100.0), Some(150.0)) && alike(Some(150.0), Some(100.0)));
        assert!(!alike(Some(100.0), Some(151.0)) && !alike(Some(151.0), Some(100.0)));
        assert!(alike(None, None));
    }

    #[test]
    fn an_order_has_everyone_once() {
        let mut order = shuffled(50);
        assert_ne!(order, (0..50).collect::<Vec<_>>());
        order.sort();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
