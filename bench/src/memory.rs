//! Where memory goes, as the kernel counts it.

use std::fs;

/// The memory of one process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// What is resident of it.
    pub resident: u64,
    /// The same, with a page that several processes share divided among them.
    pub proportional: u64,
    /// Its page tables, which are the kernel's.
    pub tables: u64,
}

impl Process {
    /// That of a process of this machine.
    pub fn of(pid: u32) -> Result<Self, String> {
        let rollup = read(&format!("/proc/{pid}/smaps_rollup"))?;
        let status = read(&format!("/proc/{pid}/status"))?;
        Ok(Process {
            resident: field(&rollup, "Rss")?,
            proportional: field(&rollup, "Pss")?,
            tables: field(&status, "VmPTE")?,
        })
    }
}

/// The memory of the machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What it has.
    pub total: u64,
    /// What could still be had without swapping.
    pub available: u64,
    /// The objects of the kernel, sockets and requests of io_uring among them, whoever they belong to.
    pub slab: u64,
}

impl Machine {
    /// As it is now.
    pub fn now() -> Result<Self, String> {
        Machine::parse(&read("/proc/meminfo")?)
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Machine {
            total: field(text, "MemTotal")?,
            available: field(text, "MemAvailable")?,
            slab: field(text, "Slab")?,
        })
    }

    /// What is in use.
    pub fn used(&self) -> u64 {
        self.total.saturating_sub(self.available)
    }
}

/// By how many bytes each of `count` made something grow; it may have shrunk.
pub fn each(before: u64, after: u64, count: usize) -> f64 {
    (after as f64 - before as f64) / count as f64
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// The bytes of a line such as `Rss:  123 kB`.
fn field(text: &str, name: &str) -> Result<u64, String> {
    let value = |line: &str| -> Option<u64> {
        line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix("kB")?.trim_end().parse().ok()
    };
    text.lines().find_map(value).map(|kilobytes| kilobytes * 1024).ok_or_else(|| format!("the kernel tells no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24616308 kB\nMemFree:        14 kB\nMemAvailable:   23 kB\n\
                           SReclaimable:   1 kB\nSlab:             345 kB\nHugePages_Total:       0\n";

    #[test]
    fn the_lines_are_found_by_their_whole_name() {
        let machine = Machine::parse(MEMINFO).unwrap();
        assert_eq!(machine, Machine { total: 24616308 << 10, available: 23 << 10, slab: 345 << 10 });
        assert_eq!(machine.used(), (24616308 - 23) << 10);
        assert!(field("Pss_Dirty: 7 kB\nPss_Anon: 8 kB\n", "Pss").unwrap_err().ends_with("no Pss"));
        assert!(field("Pss: many kB\n", "Pss").is_err());
    }

    #[test]
    fn growth_is_shared_out_and_may_be_negative() {
        assert_eq!(each(1000, 3000, 10), 200.0);
        assert_eq!(each(3000, 1000, 10), -200.0);
    }

    #[test]
    fn a_process_grows_by_what_it_touches() {
        let pid = std::process::id();
        let before = Process::of(pid).unwrap();
        let touched = vec![1_u8; 16 << 20];
        let after = Process::of(pid).unwrap();
        assert!(after.resident >= before.resident + (15 << 20), "{before:?} {after:?}");
        assert!(after.proportional <= after.resident && after.tables > 0);
        drop(touched);
    }
}
