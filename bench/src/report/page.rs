//! The report as a page of Markdown.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::Section;
use crate::measurement::Measurement;
use crate::plan::Kind;

const MEASURED: &str = "\
What counts is the processor time of the server per message, in the kernel and outside, while client and server share one
core: that repeats where throughput over loopback does not. Each round runs every server once, in an order of its own (echo
and HTTP over up to 500 connections: all servers stay, and take twenty short turns each), and each figure is a ratio to
`FLOOR` in the same round, which is the least that one thread of C can do with epoll. The tables have the median over
the rounds and, in brackets, the smallest and the largest ratio; beside the floor's 1 stand its microseconds. Where the
brackets are wide, the machine was not quiet, and differences as small as they are mean nothing.
\"4096 over 50\" is the ratio over 4096 connections divided by that over 50: what more connections cost a server beyond what
they cost the floor, and in the floor's row what they cost the floor.

The client checks every byte of what comes back, and a server that answers wrongly, closes early or forgets a connection has
failed and has no figure. Sections \"on two cores\" have client and server apart, and throughput and latency besides; runs
during which the distance of the cores changed are left out. [bench/README.md](../bench/README.md) says more, and how to
measure again.
";

/// What the ratios of HTTP compare.
const HEADS: &str = "\
nyario, Go, node, hyper, nginx and all of Ruby's servers parse each head; the floors, tokio, compio, monoio, may and libuv
look only for where it ends.
";

/// Writes the page about these sections, whose plots are in `folder` beside it.
pub fn write(measurements: &[Measurement], sections: &[Section<'_>], folder: &str) -> String {
    let mut page = String::new();
    write_all(&mut page, measurements, sections, folder).expect("a string takes all that is written");
    page
}

/// As many as that, in words.
pub fn connections(count: usize) -> String {
    format!("{count} connection{}", if count == 1 { "" } else { "s" })
}

fn write_all(page: &mut String, measurements: &[Measurement], sections: &[Section<'_>], folder: &str) -> fmt::Result {
    let distinct = |of: &dyn Fn(&Measurement) -> Vec<String>| {
        measurements.iter().flat_map(of).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ")
    };
    writeln!(page, "# Performance\n\nWritten by `make bench-report`.\n")?;
    writeln!(page, "- Date: {}", distinct(&|it| vec![it.date.clone()]))?;
    writeln!(page, "- Kernel: {}", distinct(&|it| vec![format!("Linux {}", it.machine.kernel)]))?;
    let processor = |it: &Measurement| vec![format!("{}, {} cores", it.machine.processor, it.machine.cores)];
    writeln!(page, "- Processor: {}", distinct(&processor))?;
    writeln!(page, "- Versions: {}", distinct(&|it| it.versions.clone()))?;
    let runs = |it: &Measurement| vec![format!("{} of {} s", it.load.rounds, it.load.seconds)];
    writeln!(page, "- Rounds: {}", distinct(&runs))?;
    let floor = distinct(&|it| vec![it.floor.clone()]);
    writeln!(page, "\n## How it was measured\n\n{}", MEASURED.replace("FLOOR", &floor).trim_end())?;
    for section in sections {
        writeln!(page, "\n## {}\n\n![{}]({folder}/{}.svg)\n", section.title, section.title, section.file)?;
        if section.columns.iter().any(|column| column.load.workload == Kind::Http) {
            writeln!(page, "{HEADS}")?;
        }
        write_ratios(page, section)?;
        for column in &section.columns {
            write_latencies(page, section, column)?;
        }
        write_absent(page, section)?;
    }
    Ok(())
}

fn write_ratios(page: &mut String, section: &Section<'_>) -> fmt::Result {
    write!(page, "| server |")?;
    for column in &section.columns {
        write!(page, " {} |", connections(column.load.connections))?;
    }
    let growth = section.growth();
    if let Some((few, many)) = growth {
        write!(page, " {} over {} |", many.load.connections, few.load.connections)?;
    }
    let last = section.columns.last().map_or(0, |column| column.load.connections);
    let columns = section.columns.len() + usize::from(growth.is_some()) + 1;
    writeln!(page, " MiB with {last} |\n|---|{}", "---:|".repeat(columns))?;
    for server in &section.servers {
        write!(page, "| {} |", cell(server))?;
        for column in &section.columns {
            write!(page, " {} |", ratio(column, server))?;
        }
        if let Some((few, many)) = growth {
            match grown(few, many, server) {
                Some(growth) => write!(page, " {growth:.2} |")?,
                None => write!(page, " |")?,
            }
        }
        let resident = section.columns.last().and_then(|column| Section::figures(column, server));
        match resident {
            Some(figures) => writeln!(page, " {:.1} |", figures.resident_bytes / (1024.0 * 1024.0))?,
            None => writeln!(page, " |")?,
        }
    }
    Ok(())
}

fn ratio(column: &Measurement, server: &str) -> String {
    match Section::figures(column, server) {
        Some(figures) if column.floor == server => format!("1 ({:.2} us)", figures.cpu_us.median),
        Some(figures) => match figures.ratio {
            Some(it) => format!("{:.3} ({:.3}..{:.3})", it.median, it.min, it.max),
            None => format!("({:.2} us)", figures.cpu_us.median),
        },
        None if column.failed.iter().any(|failure| failure.name == server) => "failed".into(),
        None => String::new(),
    }
}

/// How much more a message costs over `many` connections than over `few`, as a ratio to the floor's; the floor's own as it
/// is.
fn grown(few: &Measurement, many: &Measurement, server: &str) -> Option<f64> {
    let (few_figures, many_figures) = (Section::figures(few, server)?, Section::figures(many, server)?);
    if few.floor == server {
        return Some(many_figures.cpu_us.median / few_figures.cpu_us.median);
    }
    Some(many_figures.ratio?.median / few_figures.ratio?.median)
}

fn write_latencies(page: &mut String, section: &Section<'_>, column: &Measurement) -> fmt::Result {
    let rows: Vec<_> = section
        .servers
        .iter()
        .filter_map(|server| Section::figures(column, server))
        .filter_map(|figures| Some((figures, figures.latency?)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "\n| {} | messages/s | p50 us | p99 us | p99.9 us | trip ns |",
        connections(column.load.connections)
    )?;
    writeln!(page, "|---|{}", "---:|".repeat(5))?;
    for (figures, latency) in rows {
        let trip = figures.round_trip_ns.map(|it| format!("{it:.0}")).unwrap_or_default();
        writeln!(
            page,
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {trip} |",
            cell(&figures.name),
            figures.messages_per_second,
            latency.p50_us,
            latency.p99_us,
            latency.p999_us
        )?;
    }
    Ok(())
}

/// Why a server has no figures: a table that is silent about it would be taken for whole.
fn write_absent(page: &mut String, section: &Section<'_>) -> fmt::Result {
    for column in &section.columns {
        for failure in &column.failed {
            let connections = connections(column.load.connections);
            writeln!(page, "\n{} failed with {connections}: {}.", failure.name, failure.why.replace('\n', " "))?;
        }
    }
    let left_out: BTreeSet<&str> = section.columns.iter().flat_map(|it| &it.left_out).map(String::as_str).collect();
    if !left_out.is_empty() {
        writeln!(page, "\nNot there when it was measured: {}.", left_out.into_iter().collect::<Vec<_>>().join(", "))?;
    }
    Ok(())
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apart, measured};
    use super::*;
    use crate::measurement::Failure;

    fn page(measurements: &[Measurement]) -> String {
        write(measurements, &Section::all(measurements).unwrap(), "performance")
    }

    #[test]
    fn a_table_has_the_ratios_and_their_spread() {
        let page = page(&[
            measured(Kind::Echo, 50, &[("floor", 1.0), ("nyario", 0.8)]),
            measured(Kind::Echo, 500, &[("floor", 1.0)]),
        ]);
        for line in [
            "## Echo of 64 B",
            "![Echo of 64 B](performance/echo-64.svg)",
            "| server | 50 connections | 500 connections | 500 over 50 | MiB with 500 |",
            "|---|---:|---:|---:|---:|",
            "| nyario | 0.800 (0.790..0.820) |  | | |",
            "| floor | 1 (5.00 us) | 1 (5.00 us) | 1.00 | 3.0 |",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
        assert!(!page.contains("p99"), "{page}");
    }

    #[test]
    fn what_differs_between_measurements_is_all_there() {
        let mut measurements = [measured(Kind::Echo, 50, &[]), measured(Kind::Http, 50, &[])];
        measurements[1].date = "2026-02-01".into();
        measurements[1].versions.push("ruby 4.0".into());
        let page = page(&measurements);
        for line in ["- Date: 2026-01-31; 2026-02-01", "- Versions: nyario 0.1.0; ruby 4.0", "- Kernel: Linux 6.18.1"] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
    }

    #[test]
    fn what_more_connections_cost_is_beyond_what_they_cost_the_floor() {
        let few = measured(Kind::Echo, 50, &[("floor", 1.0), ("nyario", 0.8)]);
        let mut many = measured(Kind::Echo, 4096, &[("floor", 1.2), ("nyario", 1.0)]);
        many.servers[0].ratio = few.servers[0].ratio;
        let own = page(&[few.clone(), many.clone(), measured(Kind::Echo, 1, &[("floor", 1.0)])]);
        let line = "| nyario |  | 0.800 (0.790..0.820) | 1.000 (0.990..1.020) | 1.25 | 3.0 |";
        assert!(own.lines().any(|it| it == line), "{own}");
        assert!(own.lines().any(|it| it.starts_with("| floor |") && it.ends_with("| 1.20 | 3.0 |")), "{own}");
        for alone in [few, many] {
            let connections = alone.load.connections;
            let head = format!("| server | {connections} connections | MiB with {connections} |");
            assert!(page(&[alone]).contains(&head), "{head}");
        }
    }

    #[test]
    fn sections_of_http_say_who_parses_heads() {
        assert!(page(&[measured(Kind::Http, 50, &[("floor", 1.0)])]).contains(HEADS));
        assert!(!page(&[measured(Kind::Echo, 50, &[("floor", 1.0)])]).contains("parse"));
    }

    #[test]
    fn latencies_stand_where_there_were_two_cores() {
        let page = page(&[apart(measured(Kind::Http, 50, &[("floor", 1.0)]))]);
        for line in [
            "## HTTP, on two cores",
            "| 50 connections | messages/s | p50 us | p99 us | p99.9 us | trip ns |",
            "| floor | 100000 | 40 | 90 | 1200 | 51 |",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
    }

    #[test]
    fn those_without_figures_are_named() {
        let mut measurement = measured(Kind::Echo, 1, &[("floor", 1.0)]);
        measurement
            .failed
            .push(Failure { name: "broken".into(), why: "1 failed, first connection 0: it broke".into() });
        measurement.left_out.push("not built".into());
        let page = page(&[measurement]);
        for line in [
            "| broken | failed | |",
            "broken failed with 1 connection: 1 failed, first connection 0: it broke.",
            "Not there when it was measured: not built.",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
    }
}
