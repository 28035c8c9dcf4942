//! Whether a server costs as much after a minute under load as at first: one process and the same connections all the
//! time, in slices between which the others have theirs, each divided by the floor's of the same turn.

use std::fmt;
use std::path::Path;

use crate::plan::Plan;
use crate::server::Row;
use crate::stats::{Spread, median};
use crate::turns;

/// One slice of one server.
#[derive(Clone, Copy)]
struct Slice {
    /// Microseconds of processor time per message.
    cpu: f64,
    /// Its memory in bytes, at the end.
    resident: u64,
}

/// The slices of every server, in the order of the rows, the floor first.
pub struct Steady {
    names: Vec<&'static str>,
    slices: Vec<Vec<Slice>>,
}

impl Steady {
    /// Gives each server of `rows`, the first of which is the floor, so many slices of the plan's time.
    pub fn run(rows: &[Row], root: &Path, core: usize, plan: &Plan, slices: usize) -> Result<Self, String> {
        let names = rows.iter().map(|row| row.name).collect();
        let mut steady = Steady { names, slices: vec![Vec::new(); rows.len()] };
        let mut failure = None;
        turns::take(rows, root, core, plan, slices, |place, slice| match slice {
            Ok((messages, usage)) => {
                steady.slices[place].push(Slice { cpu: turns::micros(usage.cpu, messages), resident: usage.resident })
            }
            Err(why) => failure = Some(format!("{}: {why}", rows[place].name)),
        });
        failure.map_or(Ok(()), Err)?;
        Ok(steady)
    }

    /// A server's ratios to the floor, slice by slice; the floor's to its own first.
    fn ratios(&self, row: usize) -> Vec<f64> {
        let floor = &self.slices[0];
        let base = |slice: usize| if row == 0 { floor[0].cpu } else { floor[slice].cpu };
        self.slices[row].iter().enumerate().map(|(slice, it)| it.cpu / base(slice)).collect()
    }
}

/// What stands for the beginning and for the end: the median of the first quarter and of the last, as a single slice may have
/// met a neighbour.
fn ends(values: &[f64]) -> (f64, f64) {
    let quarter = values.len().div_ceil(4);
    (median(&mut values[..quarter].to_vec()), median(&mut values[values.len() - quarter..].to_vec()))
}

impl fmt::Display for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:18} {:>8} {:>7} {:>7} {:>10}", "server", "CPU us", "first", "last", "last/first")?;
        writeln!(f, " {:>13} {:>17}  slice by slice", "min..max", "RSS KiB")?;
        for (row, name) in self.names.iter().enumerate() {
            let (slices, ratios) = (&self.slices[row], self.ratios(row));
            let cpu = median(&mut slices.iter().map(|it| it.cpu).collect::<Vec<_>>());
            let (first, last) = ends(&ratios);
            let spread = Spread::of(ratios.iter().copied()).ok_or(fmt::Error)?;
            let resident = |slice: &Slice| slice.resident / 1024;
            let memory = format!("{} -> {}", resident(&slices[0]), resident(&slices[slices.len() - 1]));
            write!(f, "{name:18} {cpu:>8.2} {first:>7.3} {last:>7.3} {:>10.3}", last / first)?;
            write!(f, " {:>13} {memory:>17} ", format!("{:.3}..{:.3}", spread.min, spread.max))?;
            ratios.iter().try_for_each(|ratio| write!(f, " {ratio:.2}"))?;
            writeln!(f)?;
        }
        writeln!(f, "Ratios are to the floor's slice of the same turn; the floor's are to its first one.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(cpu: &[f64]) -> Vec<Slice> {
        cpu.iter().zip(1..).map(|(&cpu, turn)| Slice { cpu, resident: turn << 20 }).collect()
    }

    #[test]
    fn a_slice_is_divided_by_the_floors_of_the_same_turn_and_the_floor_by_its_first() {
        let steady = Steady { names: vec!["floor", "other"], slices: vec![slices(&[4.0, 8.0]), slices(&[5.0, 9.0])] };
        assert_eq!(steady.ratios(0), [1.0, 2.0]);
        assert_eq!(steady.ratios(1), [1.25, 1.125]);
        let table = steady.to_string();
        let other = table.lines().nth(2).unwrap();
        for part in ["1.250", "1.125", "0.900", "1024 -> 2048", "1.25 1.12"] {
            assert!(other.contains(part), "{part}: {other}");
        }
    }

    #[test]
    fn an_end_is_the_median_of_a_quarter() {
        assert_eq!(ends(&[1.0, 9.0, 2.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 3.0, 0.0, 4.0]), (2.0, 3.0));
        assert_eq!(ends(&[1.0, 2.0]), (1.0, 2.0));
        assert_eq!(ends(&[1.0]), (1.0, 1.0));
    }
}
