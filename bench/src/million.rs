//! What a machine has to allow for very many connections.

use std::fs;

use crate::process;

/// Descriptors that are not connections: standard streams, a ring, the load beside the crowd.
const OTHERS: u64 = 200;

/// How many connections this machine allows of those that are `wanted`, and in words what more of them would need.
pub fn allowed(wanted: usize) -> Result<(usize, Vec<String>), String> {
    let own =
        process::raise_file_limit_to(wanted as u64 + OTHERS).map_err(|error| format!("the file limit: {error}"))?;
    let in_use = field(&number_text("/proc/sys/fs/file-nr")?, 0)?;
    let all = field(&number_text("/proc/sys/fs/file-max")?, 0)?;
    let tracked = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max").ok();
    let tracked = tracked.map(|text| field(&text, 0)).transpose()?;
    Ok(limit(wanted as u64, own, all.saturating_sub(in_use), tracked))
}

fn limit(wanted: u64, own: u64, files: u64, tracked: Option<u64>) -> (usize, Vec<String>) {
    let full = wanted + OTHERS;
    let bounds = [
        (
            own.saturating_sub(OTHERS),
            format!(
                "a hard RLIMIT_NOFILE of {full}, which takes CAP_SYS_RESOURCE, and `sysctl fs.nr_open={full}` if that is lower"
            ),
        ),
        (
            files.saturating_sub(2 * OTHERS) / 2,
            format!("two files for each: `sysctl fs.file-max` of {} more than are open", 2 * full),
        ),
        // Both ends are on this machine, but it is one connection.
        (tracked.unwrap_or(u64::MAX), format!("room to track them: `sysctl net.netfilter.nf_conntrack_max={full}`")),
    ];
    let least = bounds.iter().map(|(bound, _)| *bound).fold(wanted, u64::min);
    let needs = bounds.into_iter().filter(|(bound, _)| *bound < wanted);
    (least as usize, needs.map(|(bound, need)| format!("{need}; now there is enough for {bound}")).collect())
}

fn number_text(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

fn field(text: &str, index: usize) -> Result<u64, String> {
    let field = text.split_whitespace().nth(index).and_then(|word| word.parse().ok());
    field.ok_or_else(|| format!("{text:?} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_allows_least_decides_and_all_that_lack_are_told() {
        assert_eq!(limit(1000, 1200, 2400, None), (1000, Vec::new()));
        assert_eq!(limit(1000, 1200, 2400, Some(1000)), (1000, Vec::new()));
        let (count, needs) = limit(1000, 900, 1400, Some(600));
        assert_eq!((count, needs.len()), (500, 3));
        assert!(needs[0].contains("RLIMIT_NOFILE of 1200,") && needs[0].ends_with("enough for 700"), "{}", needs[0]);
        assert!(needs[1].contains("2400 more") && needs[1].ends_with("enough for 500"), "{}", needs[1]);
        assert!(needs[2].ends_with("enough for 600"), "{}", needs[2]);
        assert_eq!(limit(1000, 100, 0, None).0, 0);
    }

    #[test]
    fn the_kernels_numbers_are_read() {
        assert_eq!(field("1024\t0\t2465610\n", 0), Ok(1024));
        assert!(field("none\n", 0).is_err());
    }
}
