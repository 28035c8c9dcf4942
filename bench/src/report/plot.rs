//! A section as a drawing: a bar for each server, beside each other for each number of connections.

use std::fmt::{self, Display, Write};

use super::Section;
use crate::measurement::Measurement;
use crate::stats::Spread;

const ROW: f64 = 22.0;
const BAR: f64 = 13.0;
const TOP: f64 = 58.0;
const BOTTOM: f64 = 30.0;
const MARGIN: f64 = 14.0;
/// Wider than most letters are, as nothing here can measure a font.
const LETTER: f64 = 7.2;
/// The room for the figures, right of the bars.
const FIGURE: f64 = 44.0;
/// Between a column and the next.
const GAP: f64 = 22.0;
/// What all bars of a drawing share.
const BARS: f64 = 640.0;
const BARS_MIN: f64 = 100.0;
const BARS_MAX: f64 = 420.0;

/// A longer bar is cut, because those that matter would have no length beside it.
const LONGEST: f64 = 2.5;
const SHORTEST: f64 = 1.25;

/// It has a ground of its own: what shows a drawing need not know which scheme its reader prefers. No variables, as not
/// everything that shows drawings knows them.
const STYLE: &str = "\
    text { font: 12px system-ui, 'DejaVu Sans', sans-serif; fill: #1f2328; }\n\
    text.title { font-weight: bold; font-size: 14px; }\n\
    text.faint { fill: #59636e; }\n\
    .ground { fill: #ffffff; } .bar { fill: #9fb0c3; } .ours { fill: #6ea8fe; } .floor { fill: #d0d5db; }\n\
    .grid { stroke: #d8dee4; } .one { stroke: #1f2328; stroke-dasharray: 3 3; } .whisker { stroke: #1f2328; fill: none; }\n\
    @media (prefers-color-scheme: dark) {\n\
    text { fill: #e6edf3; }\n\
    text.faint { fill: #9198a1; }\n\
    .ground { fill: #0d1117; } .bar { fill: #52647a; } .ours { fill: #2f74d0; } .floor { fill: #3d444d; }\n\
    .grid { stroke: #2a313c; } .one, .whisker { stroke: #e6edf3; }\n\
    }\n";

/// Draws a section.
pub fn draw(section: &Section<'_>) -> String {
    Drawing::new(section).draw().expect("a string takes all that is written")
}

struct Drawing<'a> {
    section: &'a Section<'a>,
    names: f64,
    bars: f64,
    longest: f64,
}

impl<'a> Drawing<'a> {
    fn new(section: &'a Section<'a>) -> Self {
        let letters = section.servers.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        let bars = (BARS / section.columns.len() as f64).clamp(BARS_MIN, BARS_MAX);
        let ratios = section.columns.iter().flat_map(|column| &column.servers).filter_map(|figures| figures.ratio);
        let longest = ratios.map(|ratio| ratio.max).fold(SHORTEST, f64::max).min(LONGEST);
        Drawing { section, names: MARGIN + LETTER * letters as f64 + 10.0, bars, longest }
    }

    /// How far from the left end of its bar a ratio is.
    fn x(&self, ratio: f64) -> f64 {
        self.bars * ratio.min(self.longest) / self.longest
    }

    fn draw(&self) -> Result<String, fmt::Error> {
        let columns = &self.section.columns;
        let width = self.names + (self.bars + FIGURE + GAP) * columns.len() as f64 - GAP + MARGIN;
        let width = width.max(2.0 * MARGIN + (LETTER + 1.6) * self.section.title.chars().count() as f64);
        let height = TOP + ROW * self.section.servers.len() as f64 + BOTTOM;
        let title = Escaped(&self.section.title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
             <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
             <text class=\"title\" x=\"{MARGIN}\" y=\"22\">{title}</text>\n"
        );
        for (index, name) in self.section.servers.iter().enumerate() {
            let (x, y) = (self.names - 10.0, middle(index) + 4.0);
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", Escaped(name))?;
        }
        for (index, column) in columns.iter().enumerate() {
            writeln!(
                svg,
                "<g transform=\"translate({:.1} 0)\">",
                self.names + (self.bars + FIGURE + GAP) * index as f64
            )?;
            self.column(&mut svg, column)?;
            writeln!(svg, "</g>")?;
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }

    fn column(&self, svg: &mut String, column: &Measurement) -> fmt::Result {
        let foot = TOP + ROW * self.section.servers.len() as f64;
        let heading = super::page::connections(column.load.connections);
        writeln!(svg, "<text class=\"faint\" x=\"0\" y=\"{:.1}\">{heading}</text>", TOP - 10.0)?;
        let mut tick = 0.0;
        while tick <= self.longest {
            let (class, x) = (if tick == 1.0 { "one" } else { "grid" }, self.x(tick));
            writeln!(svg, "<path class=\"{class}\" d=\"M{x:.1} {:.1}V{foot:.1}\"/>", TOP - 4.0)?;
            let y = foot + 16.0;
            writeln!(svg, "<text class=\"faint\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{tick}</text>")?;
            tick += 0.5;
        }
        for (index, name) in self.section.servers.iter().enumerate() {
            let y = middle(index);
            let figures = Section::figures(column, name);
            let Some((figures, ratio)) = figures.and_then(|figures| Some((figures, figures.ratio?))) else {
                let failed = column.failed.iter().any(|it| it.name == **name);
                self.figure(svg, "faint", if failed { "failed" } else { "\u{2013}" }, y)?;
                continue;
            };
            let class = match figures.nyario {
                _ if column.floor == **name => "floor",
                true => "ours",
                false => "bar",
            };
            self.bar(svg, class, &ratio, y)?;
        }
        Ok(())
    }

    fn bar(&self, svg: &mut String, class: &str, ratio: &Spread, y: f64) -> fmt::Result {
        let (top, end) = (y - BAR / 2.0, self.x(ratio.median));
        if ratio.median > self.longest {
            // An arrow, because it goes on.
            let shoulder = end - BAR / 2.0;
            writeln!(
                svg,
                "<path class=\"{class}\" d=\"M0 {top:.1}H{shoulder:.1}L{end:.1} {y:.1}L{shoulder:.1} {:.1}H0Z\"/>",
                top + BAR
            )?;
        } else {
            writeln!(svg, "<rect class=\"{class}\" y=\"{top:.1}\" width=\"{end:.1}\" height=\"{BAR}\"/>")?;
        }
        let (min, max) = (self.x(ratio.min), self.x(ratio.max));
        if ratio.max > ratio.min && ratio.min < self.longest {
            write!(svg, "<path class=\"whisker\" d=\"M{min:.1} {:.1}v6m0 -3H{max:.1}", y - 3.0)?;
            writeln!(svg, "{}\"/>", if ratio.max > self.longest { "" } else { "m0 -3v6" })?;
        }
        let digits = if ratio.median < 9.995 { 2 } else { 1 };
        self.figure(svg, "figure", &format!("{:.digits$}", ratio.median), y)
    }

    /// Figures stand in a column of their own, where no line crosses them.
    fn figure(&self, svg: &mut String, class: &str, text: &str, y: f64) -> fmt::Result {
        let (x, y) = (self.bars + FIGURE, y + 4.0);
        writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>")
    }
}

fn middle(row: usize) -> f64 {
    TOP + ROW * (row as f64 + 0.5)
}

struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '<' => f.write_str("&lt;"),
            '&' => f.write_str("&amp;"),
            letter => f.write_char(letter),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::measured;
    use super::*;
    use crate::measurement::Failure;
    use crate::plan::Kind;

    fn drawn(measurement: Measurement) -> String {
        draw(&Section::all(&[measurement]).unwrap()[0])
    }

    /// The value of `attribute` in the line that has `mark`.
    fn attribute(svg: &str, mark: &str, attribute: &str) -> f64 {
        let line = svg.lines().find(|line| line.contains(mark)).unwrap();
        let value = line.split_once(&format!(" {attribute}=\"")).unwrap().1;
        value.split_once('"').unwrap().0.parse().unwrap()
    }

    #[test]
    fn a_bar_is_as_long_as_its_ratio() {
        let svg = drawn(measured(Kind::Echo, 50, &[("floor", 1.0), ("nyario", 0.8), ("other", 1.2)]));
        let width = |class: &str| attribute(&svg, &format!("class=\"{class}\" y"), "width");
        assert!((width("ours") / width("floor") - 0.8).abs() < 0.001);
        assert!((width("bar") / width("floor") - 1.2).abs() < 0.001);
        let line = svg.lines().find(|line| line.contains("class=\"one\"")).unwrap();
        assert!(line.contains(&format!("M{:.1} ", width("floor"))), "{line}");
    }

    #[test]
    fn a_whisker_goes_from_the_least_to_the_most() {
        let svg = drawn(measured(Kind::Echo, 50, &[("floor", 1.0)]));
        let (unit, whisker) =
            (BARS_MAX / SHORTEST, svg.lines().find(|line| line.contains("class=\"whisker\"")).unwrap());
        assert!(whisker.contains(&format!("M{:.1} ", 0.99 * unit)), "{whisker}");
        assert!(whisker.contains(&format!("H{:.1}m0", 1.02 * unit)), "{whisker}");
    }

    #[test]
    fn what_is_far_off_is_cut_and_keeps_its_figure() {
        let svg = drawn(measured(Kind::Echo, 50, &[("floor", 1.0), ("far", 12.345)]));
        let arrow = svg.lines().find(|line| line.contains("<path class=\"bar\"")).unwrap();
        assert!(arrow.contains(&format!("L{BARS_MAX:.1} ")), "{arrow}");
        assert!(svg.contains(">12.3<"), "{svg}");
    }

    #[test]
    fn no_bar_and_no_whisker_reaches_into_the_figures() {
        for far in [2.45, LONGEST, 2.51, 99.0] {
            let svg = drawn(measured(Kind::Echo, 50, &[("floor", 1.0), ("far", far)]));
            let whiskers = svg.lines().filter(|line| line.contains("class=\"whisker\""));
            for end in whiskers.map(|line| line.split_once('H').unwrap().1.split(['m', '"']).next().unwrap()) {
                assert!(end.parse::<f64>().unwrap() <= BARS_MAX, "{far}: {svg}");
            }
            let figure = svg.lines().rfind(|line| line.contains("class=\"figure\"")).unwrap();
            let digits = figure.rsplit_once("</text>").unwrap().0.rsplit_once('>').unwrap().1.len();
            assert!(attribute(&svg, figure, "x") - digits as f64 * LETTER > BARS_MAX, "{figure}");
        }
    }

    #[test]
    fn those_that_failed_are_named() {
        let mut measurement = measured(Kind::Echo, 50, &[("floor", 1.0)]);
        measurement.failed.push(Failure { name: "R&D <1>".into(), why: "it broke".into() });
        let svg = drawn(measurement);
        assert!(svg.contains(">R&amp;D &lt;1></text>") && svg.contains(">failed</text>"));
    }
}
