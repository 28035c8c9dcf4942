//! What the figures were made with: the machine, and the versions of what runs on it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::server::Row;

/// The machine, as its kernel describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// What the processor calls itself.
    pub processor: String,
    /// How many cores there are.
    pub cores: usize,
}

impl Machine {
    /// This one.
    pub fn this() -> Result<Self, String> {
        let read = |path| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        Ok(Machine {
            kernel: read("/proc/sys/kernel/osrelease")?.trim().into(),
            processor: processor(&read("/proc/cpuinfo")?),
            cores: thread::available_parallelism().map_err(|error| error.to_string())?.get(),
        })
    }
}

/// On arm there is no name, and what there is says nothing to people.
fn processor(cpuinfo: &str) -> String {
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).into()
}

/// Today, in UTC.
pub fn date() -> Result<String, String> {
    let date = Command::new("date").args(["-u", "+%F"]).output().map_err(|error| format!("date: {error}"))?;
    Ok(String::from_utf8_lossy(&date.stdout).trim().into())
}

/// The versions of nyario and of the compilers.
pub fn tools(root: &Path) -> Vec<String> {
    let mut nyario = format!("nyario {}", env!("CARGO_PKG_VERSION"));
    if let Some(commit) = first_line(root, "git", &["describe", "--always", "--dirty"]) {
        nyario += &format!(" ({commit})");
    }
    [Some(nyario), version(root, "cc"), version(root, "rustc")].into_iter().flatten().collect()
}

/// The versions of what runs the servers, as far as it is installed and not built.
pub fn programs(rows: &[Row], root: &Path) -> BTreeSet<String> {
    let installed = rows.iter().map(Row::program).filter(|program| !program.contains('/'));
    installed.filter_map(|program| version(root, program)).collect()
}

fn version(root: &Path, program: &str) -> Option<String> {
    let line = ["--version", "-v"].iter().find_map(|option| first_line(root, program, &[option]))?;
    Some(named(program, line))
}

/// Some say nothing but the number.
fn named(program: &str, line: String) -> String {
    if line.starts_with(program) { line } else { format!("{program} {line}") }
}

/// What a program says first, on whichever output.
fn first_line(root: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(root).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    let line = String::from_utf8_lossy(&said).lines().next()?.trim().to_string();
    (output.status.success() && !line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_has_a_name_or_at_least_an_architecture() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some Processor: the 2nd\nmodel\t\t: 143\nmodel name\t: Another\n";
        assert_eq!(processor(cpuinfo), "Some Processor: the 2nd");
        assert_eq!(processor("processor\t: 0\nBogoMIPS\t: 50.00\n"), std::env::consts::ARCH);
    }

    #[test]
    fn a_program_that_fails_has_no_version() {
        let sh = |script| first_line(Path::new("/"), "sh", &["-c", script]);
        assert_eq!(sh("echo one 1.0; echo two"), Some("one 1.0".into()));
        assert_eq!(sh("echo one/1.0 >&2"), Some("one/1.0".into()));
        assert_eq!(sh("echo invalid option; exit 1"), None);
        assert_eq!(first_line(Path::new("/"), "there/is/no/such", &[]), None);
    }

    #[test]
    fn a_version_has_the_name_of_its_program() {
        assert_eq!(named("ruby", "ruby 3.1.2p20".into()), "ruby 3.1.2p20");
        assert_eq!(named("node", "v20.1.0".into()), "node v20.1.0");
    }
}
