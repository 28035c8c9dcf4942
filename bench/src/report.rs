//! The report: what was measured, sorted into sections of one workload each.

use std::collections::BTreeMap;

use crate::measurement::{Figures, Load, Measurement};
use crate::plan::Kind;

pub mod page;
pub mod plot;

/// One workload, with a column for each number of connections.
pub struct Section<'a> {
    /// What it is headed by.
    pub title: String,
    /// The name of its plot, without an ending.
    pub file: String,
    /// Its columns, by the number of connections.
    pub columns: Vec<&'a Measurement>,
    /// The names of its servers, the cheapest first.
    pub servers: Vec<&'a str>,
}

impl<'a> Section<'a> {
    /// The sections of these measurements, none of which may be of the same load as another.
    pub fn all(measurements: &'a [Measurement]) -> Result<Vec<Self>, String> {
        let mut sections: BTreeMap<_, BTreeMap<usize, &Measurement>> = BTreeMap::new();
        for measurement in measurements {
            let load = &measurement.load;
            let key = (!load.same_core, load.workload, load.pipeline, load.size, &load.field);
            if sections.entry(key).or_default().insert(load.connections, measurement).is_some() {
                return Err(format!("{} over {} connections was measured twice", title(load), load.connections));
            }
        }
        Ok(sections.into_values().map(|columns| Section::of(columns.into_values().collect())).collect())
    }

    fn of(columns: Vec<&'a Measurement>) -> Self {
        let load = &columns[0].load;
        Section { title: title(load), file: file(load), servers: ranked(&columns), columns }
    }

    /// The columns between which the cost of a message should be flat: 50 connections, and the most there are.
    pub fn growth(&self) -> Option<(&'a Measurement, &'a Measurement)> {
        let (few, many) = (self.columns.iter().find(|it| it.load.connections == 50)?, self.columns.last()?);
        (many.load.connections > few.load.connections).then_some((*few, *many))
    }

    /// What a server has shown in a column.
    pub fn figures(column: &'a Measurement, server: &str) -> Option<&'a Figures> {
        column.servers.iter().find(|figures| figures.name == server)
    }
}

/// Every server of these columns, by the mean of its ratios; those that were never measured come last.
fn ranked<'a>(columns: &[&'a Measurement]) -> Vec<&'a str> {
    let mut ratios: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for column in columns {
        for figures in &column.servers {
            ratios.entry(&figures.name).or_default().extend(figures.ratio.map(|it| it.median));
        }
        for failure in &column.failed {
            ratios.entry(&failure.name).or_default();
        }
    }
    let mean = |ratios: &[f64]| match ratios.len() {
        0 => f64::INFINITY,
        count => ratios.iter().sum::<f64>() / count as f64,
    };
    let mut servers: Vec<(&str, f64)> = ratios.into_iter().map(|(name, ratios)| (name, mean(&ratios))).collect();
    servers.sort_by(|one, other| one.1.total_cmp(&other.1));
    servers.into_iter().map(|(name, _)| name).collect()
}

fn title(load: &Load) -> String {
    let size = load.size.map(|size| format!("{size} B")).unwrap_or_default();
    let what = match load.workload {
        Kind::Echo => format!("Echo of {size}"),
        Kind::Http => "HTTP".into(),
        Kind::Churn => format!("Churn: connect, one echo of {size}, close"),
        Kind::Stream => format!("Stream of {size} chunks"),
        Kind::Proxy => format!("Proxy of {size} messages"),
    };
    let pipeline = match (load.pipeline, load.workload) {
        (1, _) => String::new(),
        (ahead, Kind::Stream) => format!(", {ahead} ahead"),
        (batch, _) => format!(", pipelined, {batch} in one go"),
    };
    let place = if load.same_core { "" } else { ", on two cores" };
    let field = load.field.as_ref().map(|field| format!(" ({field})")).unwrap_or_default();
    format!("{what}{pipeline}{place}{field}")
}

fn file(load: &Load) -> String {
    let mut name = load.workload.to_string();
    if let Some(size) = load.size {
        name += &format!("-{size}");
    }
    if load.pipeline > 1 {
        name += &format!("-x{}", load.pipeline);
    }
    if !load.same_core {
        name += "-two-cores";
    }
    if let Some(field) = &load.field {
        name += &format!("-{}", field.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::measurement::{Failure, Latency};
    use crate::stats::Spread;

    /// A measurement on one core of servers with these ratios.
    pub(super) fn measured(workload: Kind, connections: usize, ratios: &[(&str, f64)]) -> Measurement {
        let figures = |&(name, ratio): &(&str, f64)| Figures {
            name: name.into(),
            nyario: name.starts_with("nyario"),
            rounds: 3,
            cpu_us: Spread { min: 4.0, median: 5.0 * ratio, max: 8.0 },
            ratio: Some(Spread { min: ratio - 0.01, median: ratio, max: ratio + 0.02 }),
            messages_per_second: 1e5,
            latency: None,
            resident_bytes: 3.0 * 1024.0 * 1024.0,
            round_trip_ns: None,
        };
        Measurement {
            date: "2026-01-31".into(),
            machine: Machine { kernel: "6.18.1".into(), processor: "Some Processor".into(), cores: 2 },
            versions: vec!["nyario 0.1.0".into()],
            load: Load {
                workload,
                connections,
                size: (workload != Kind::Http).then_some(64),
                pipeline: 1,
                same_core: true,
                field: None,
                seconds: 0.5,
                rounds: 3,
            },
            floor: "floor".into(),
            servers: ratios.iter().map(figures).collect(),
            failed: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The same with client and server apart.
    pub(super) fn apart(mut measurement: Measurement) -> Measurement {
        measurement.load.same_core = false;
        for figures in &mut measurement.servers {
            figures.latency = Some(Latency { p50_us: 40.0, p99_us: 90.0, p999_us: 1200.0 });
            figures.round_trip_ns = Some(51.0);
        }
        measurement
    }

    #[test]
    fn a_section_is_a_workload_and_a_column_a_number_of_connections() {
        let measurements = [
            measured(Kind::Http, 50, &[("floor", 1.0)]),
            measured(Kind::Echo, 500, &[("floor", 1.0)]),
            apart(measured(Kind::Echo, 50, &[("floor", 1.0)])),
            measured(Kind::Echo, 50, &[("floor", 1.0)]),
        ];
        let sections = Section::all(&measurements).unwrap();
        let names: Vec<&str> = sections.iter().map(|it| it.file.as_str()).collect();
        assert_eq!(names, ["echo-64", "http", "echo-64-two-cores"]);
        let columns: Vec<usize> = sections[0].columns.iter().map(|it| it.load.connections).collect();
        assert_eq!(columns, [50, 500]);
    }

    #[test]
    fn sizes_batches_and_fields_have_sections_of_their_own() {
        let mut measurements = vec![measured(Kind::Echo, 50, &[]); 4];
        measurements[3].load.field = Some("Ruby".into());
        measurements[1].load.size = Some(1024);
        measurements[2].load.pipeline = 16;
        let sections = Section::all(&measurements).unwrap();
        let names: Vec<&str> = sections.iter().map(|it| it.file.as_str()).collect();
        assert_eq!(names, ["echo-64", "echo-64-ruby", "echo-1024", "echo-64-x16"]);
        assert_eq!(sections[1].title, "Echo of 64 B (Ruby)");
        assert_eq!(sections[3].title, "Echo of 64 B, pipelined, 16 in one go");
    }

    #[test]
    fn the_same_load_twice_is_refused() {
        let measurements = vec![measured(Kind::Churn, 50, &[]); 2];
        let refusal = Section::all(&measurements).err().unwrap();
        assert!(refusal.contains("over 50 connections was measured twice"), "{refusal}");
    }

    #[test]
    fn servers_are_ranked_by_all_columns_and_those_that_failed_are_last() {
        let mut few = measured(Kind::Echo, 50, &[("slow", 1.3), ("floor", 1.0), ("mixed", 0.7)]);
        let many = measured(Kind::Echo, 500, &[("floor", 1.0), ("mixed", 1.5), ("slow", 1.4)]);
        few.failed.push(Failure { name: "a broken one".into(), why: "it broke".into() });
        assert_eq!(ranked(&[&few, &many]), ["floor", "mixed", "slow", "a broken one"]);
    }
}
