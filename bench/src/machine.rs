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

/// The versions of nyario, of the compilers, and of what runs the servers. A server that is built may have a file beside
/// it, of its name and `.version`, whose lines say what is in it.
pub fn versions(rows: &[Row], root: &Path) -> Vec<String> {
    let mut versions = vec![format!("nyario {}", env!("CARGO_PKG_VERSION"))];
    if let Some(commit) = first_line(root, "git", &["describe", "--always", "--dirty"]) {
        versions[0] += &format!(" ({commit})");
    }
    versions.extend(first_line(root, "cc", &["--version"]));
    versions.extend(first_line(root, "rustc", &["--version"]));
    let mut of_rows = BTreeSet::new();
    for row in rows {
        if !row.program().contains('/') {
            let asked = ["--version", "-v"].iter().find_map(|option| first_line(root, row.program(), &[option]));
            of_rows.extend(asked);
        }
        let beside = fs::read_to_string(root.join(&row.file).with_added_extension("version")).unwrap_or_default();
        of_rows.extend(beside.lines().map(|line| line.trim().to_string()));
    }
    versions.extend(of_rows);
    versions
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
}
