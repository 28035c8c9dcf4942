//! The servers of others that do the same work as nyario's in C, each as small as its own authors would write it.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;

use crate::server::{Row, c_rows, floors};
use crate::wire::Workload;

/// The floors, nyario over both backends and every peer that can do the work.
pub fn rows(workload: Workload) -> Vec<Row> {
    let started = |name, file: PathBuf, package, program: &str, script: &[&str]| {
        let words = [program].into_iter().chain(script.iter().copied()).map(String::from);
        let command = words.chain([workload.to_string()]).collect();
        let mut row = Row::new(name, file, command);
        row.package = package;
        row
    };
    let built = |name, file: &str, package| started(name, file.into(), package, file, &[]);
    let rust = |name| built(name, &format!("target/bench/peers/release/peer-{name}"), None);

    let mut rows = floors(workload);
    rows.extend(c_rows(workload));
    if workload == Workload::Proxy {
        let proxy = |name, file: &str, package| {
            let mut row = Row::new(name, file, vec![file.into()]);
            row.package = package;
            row
        };
        rows.push(proxy("tokio", "target/bench/peers/release/peer-tokio-proxy", None));
        rows.push(proxy("Go", "target/bench/peer-go-proxy", Some("golang-go")));
        return rows;
    }
    rows.extend(["tokio", "compio", "monoio", "may"].map(rust));
    rows.extend([
        built("libuv", "target/bench/peer-libuv", Some("libuv1-dev")),
        built("Go", "target/bench/peer-go", Some("golang-go")),
        started("node", find("node"), Some("nodejs"), "node", &["bench/peers/server.js"]),
    ]);
    if workload == Workload::Http {
        rows.push(rust("hyper"));
        rows.push(started("nginx", find("nginx"), Some("nginx"), "bench/peers/nginx", &[]));
    }
    rows
}

/// Where a program is; its bare name where it is not. Debian has servers where only root's shell looks.
fn find(program: &str) -> PathBuf {
    find_in(&env::var_os("PATH").unwrap_or_default(), program)
}

fn find_in(path: &OsStr, program: &str) -> PathBuf {
    let places = env::split_paths(path).chain([PathBuf::from("/usr/sbin")]);
    places.map(|place| place.join(program)).find(|file| file.is_file()).unwrap_or_else(|| program.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_program_is_found_where_the_shell_would_find_it() {
        assert_eq!(find_in("/nowhere:/bin:/usr/bin".as_ref(), "sh"), Path::new("/bin/sh"));
        assert_eq!(find_in("/nowhere:/bin".as_ref(), "no-such-program"), Path::new("no-such-program"));
    }

    #[test]
    fn every_row_has_a_name_of_its_own() {
        for workload in [Workload::Echo, Workload::Http, Workload::Proxy] {
            let mut names: Vec<&str> = rows(workload).iter().map(|row| row.name).collect();
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }
}
