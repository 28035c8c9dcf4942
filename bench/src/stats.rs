//! The arithmetic of repeated measurements.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The middle of some numbers, or the mean of the two middle ones.
///
/// # Panics
///
/// Where there are none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() % 2 {
        1 => values[half],
        _ => values[half - 1].midpoint(values[half]),
    }
}

/// How some numbers are spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The middle one.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// The spread of some numbers; where there are none, there is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        if values.is_empty() {
            return None;
        }
        let median = median(&mut values);
        Some(Spread { min: values[0], median, max: values[values.len() - 1] })
    }

    /// The spread of the ratios of each pair.
    pub fn of_ratios(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        Spread::of(pairs.into_iter().map(|(value, base)| value / base))
    }
}

/// How long answers took.
pub struct Latencies(Histogram<u64>);

impl Latencies {
    const MAX: Duration = Duration::from_secs(3600);

    /// None yet.
    pub fn new() -> Self {
        let max = Self::MAX.as_nanos() as u64;
        Latencies(Histogram::new_with_max(max, 3).expect("the bound is valid"))
    }

    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(latency.as_nanos().try_into().unwrap_or(u64::MAX));
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The microseconds within which this share of the answers came.
    pub fn micros(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&mut [3.0]), 3.0);
        assert_eq!(median(&mut [9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        // The medians of the columns, 20 and 10, would give 2: the noise that a round's runs share must
        // cancel before anything else is done.
        let spread = Spread::of_ratios([(10.0, 10.0), (20.0, 10.0), (80.0, 100.0)]).unwrap();
        assert_eq!(spread, Spread { min: 0.8, median: 1.0, max: 2.0 });
        assert_eq!(Spread::of_ratios([]), None);
    }

    #[test]
    fn latencies_are_ranked() {
        let mut latencies = Latencies::new();
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros));
        }
        latencies.record(Duration::MAX);
        assert_eq!(latencies.count(), 1001);
        for (share, micros) in [(0.5, 501.0), (0.99, 991.0), (0.999, 1000.0)] {
            let measured = latencies.micros(share);
            assert!((measured / micros - 1.0).abs() < 0.002, "{share}: {measured}");
        }
        assert!(latencies.micros(1.0) >= Latencies::MAX.as_micros() as f64);
    }
}
