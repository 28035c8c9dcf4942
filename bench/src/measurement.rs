//! What a comparison has measured, as it is written to a file and read by the report.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::plan::Kind;
use crate::stats::Spread;

/// One comparison: where and how it was made, and its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The day, as 2026-01-31.
    pub date: String,
    /// Where it was made.
    pub machine: Machine,
    /// Of what: names and numbers.
    pub versions: Vec<String>,
    /// How the load was put on, and for how long.
    pub load: Load,
    /// The server that the others are divided by.
    pub floor: String,
    /// The servers that were measured.
    pub servers: Vec<Figures>,
    /// Those that failed, and why.
    pub failed: Vec<Failure>,
    /// Those that are not there.
    pub left_out: Vec<String>,
}

/// The load, and where both sides ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// What the client did.
    pub workload: Kind,
    /// Over how many connections.
    pub connections: usize,
    /// With messages of that size; requests have their own.
    pub size: Option<usize>,
    /// How many messages of a connection were on their way at once.
    pub pipeline: usize,
    /// Whether client and server shared a core.
    pub same_core: bool,
    /// Whose servers these are, where they are not this tree's own.
    pub field: Option<String>,
    /// How long each run took.
    pub seconds: f64,
    /// How many runs each server had.
    pub rounds: usize,
}

/// What one server has shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// What the table calls it.
    pub name: String,
    /// Whether it runs on nyario.
    pub nyario: bool,
    /// How many rounds could be used.
    pub rounds: usize,
    /// Microseconds of processor time per message.
    pub cpu_us: Spread,
    /// The same, divided by the floor's of the same round.
    pub ratio: Option<Spread>,
    /// How much it did in its time; this means nothing where it shared its core with the client.
    pub messages_per_second: f64,
    /// How long answers took, where that means something.
    pub latency: Option<Latency>,
    /// Its memory at the end.
    pub resident_bytes: f64,
    /// How far apart the cores were, where there were two.
    pub round_trip_ns: Option<f64>,
}

/// Microseconds within which these shares of the answers came.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them.
    pub p50_us: f64,
    /// All but one of a hundred.
    pub p99_us: f64,
    /// All but one of a thousand.
    pub p999_us: f64,
}

/// A server that could not be measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What the table calls it.
    pub name: String,
    /// What happened.
    pub why: String,
}

impl Measurement {
    /// Writes it to a file.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads it from a file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let figures = r#"{"name": "a server", "nyario": true, "rounds": 3, "cpu_us": {"min": 4.5, "median": 5.0, "max": 6.0},
            "ratio": null, "messages_per_second": 1e5, "latency": {"p50_us": 40.0, "p99_us": 90.0, "p999_us": 99.5},
            "resident_bytes": 1048576.0, "round_trip_ns": 51.25}"#;
        let text = format!(
            r#"{{"date": "2026-01-31", "machine": {{"kernel": "6.18", "processor": "one", "cores": 2}}, "versions": [],
            "load": {{"workload": "churn", "connections": 50, "size": 64, "pipeline": 1, "same_core": false,
            "field": "Ruby", "seconds": 0.5, "rounds": 3}}, "floor": "floor", "servers": [{figures}],
            "failed": [{{"name": "another", "why": "it broke"}}], "left_out": ["a third"]}}"#
        );
        let file = std::env::temp_dir().join(format!("nyario-measurement-{}", std::process::id()));
        fs::write(&file, text).unwrap();
        let read = Measurement::read(&file).unwrap();
        assert_eq!((read.load.workload, read.load.size), (Kind::Churn, Some(64)));
        assert_eq!(read.servers[0].latency.unwrap().p999_us, 99.5);
        read.write(&file).unwrap();
        assert_eq!(Measurement::read(&file), Ok(read));
        fs::write(&file, "{}").unwrap();
        assert!(Measurement::read(&file).unwrap_err().starts_with(&file.display().to_string()));
        fs::remove_file(&file).unwrap();
    }
}
