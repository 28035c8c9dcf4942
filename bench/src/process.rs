//! What a process has used, as the kernel counts it.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Reads the processor time and the memory of one process and the children it has when the reading
/// begins. Children that come or go meanwhile are not counted.
pub struct Meter {
    parent: Process,
    children: Vec<Process>,
}

impl Meter {
    /// Begins to count.
    pub fn start(pid: u32) -> io::Result<Self> {
        let parent = Process::start(pid)?;
        let mut pids = children(pid);
        let mut known = 0;
        while let Some(&child) = pids.get(known) {
            pids.extend(children(child));
            known += 1;
        }
        let children = pids.into_iter().flat_map(Process::start).collect();
        Ok(Meter { parent, children })
    }

    /// The processor time since the start, of all threads, in the kernel and outside.
    pub fn cpu(&self) -> io::Result<Duration> {
        let children = self.children.iter().flat_map(Process::cpu).sum::<Duration>();
        Ok(self.parent.cpu()? + children)
    }

    /// The resident memory in bytes; pages that the processes share count for each of them.
    pub fn resident(&self) -> io::Result<u64> {
        let children = self.children.iter().flat_map(Process::resident).sum::<u64>();
        Ok(self.parent.resident()? + children)
    }
}

struct Process {
    pid: u32,
    clock: libc::clockid_t,
    begun: Duration,
}

impl Process {
    fn start(pid: u32) -> io::Result<Self> {
        let clock = cpu_clock(pid)?;
        Ok(Process { pid, clock, begun: read(clock)? })
    }

    fn cpu(&self) -> io::Result<Duration> {
        Ok(read(self.clock)?.saturating_sub(self.begun))
    }

    fn resident(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let kilobytes: Option<u64> =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        Ok(kilobytes.ok_or(io::ErrorKind::NotFound)? * 1024)
    }
}

fn children(parent: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
        .collect()
}

/// The clock that counts nanoseconds, where `/proc/PID/stat` counts ticks of 10 ms.
fn cpu_clock(pid: u32) -> io::Result<libc::clockid_t> {
    let mut clock = MaybeUninit::uninit();
    // SAFETY: the call writes one clock id to where `clock` points.
    match unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, clock.as_mut_ptr()) } {
        // SAFETY: the call has succeeded, so it has written.
        0 => Ok(unsafe { clock.assume_init() }),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn read(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call writes one timespec to where `time` points.
    match unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } {
        0 => {
            // SAFETY: the call has succeeded, so it has written.
            let time = unsafe { time.assume_init() };
            Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets this process and those it starts open as many files as the system allows.
pub fn raise_file_limit() -> io::Result<()> {
    let limit = file_limit()?;
    set_file_limit(libc::rlimit { rlim_cur: limit.rlim_max, ..limit })
}

/// Lets this process and those it starts open `wanted` files, or as many as it may, and says how many that are. Who is
/// privileged may go beyond the limit that others have set, up to the kernel's `fs.nr_open`.
pub fn raise_file_limit_to(wanted: u64) -> io::Result<u64> {
    let limit = file_limit()?;
    if limit.rlim_max < wanted && set_file_limit(libc::rlimit { rlim_cur: wanted, rlim_max: wanted }).is_ok() {
        return Ok(wanted);
    }
    raise_file_limit()?;
    Ok(limit.rlim_max)
}

fn file_limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes one rlimit to `limit`.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_file_limit(limit: libc::rlimit) -> io::Result<()> {
    // SAFETY: the call reads one rlimit from `limit`.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::Instant;

    #[test]
    fn work_is_counted_and_waiting_is_not() {
        let meter = Meter::start(std::process::id()).unwrap();
        let begun = Instant::now();
        while meter.cpu().unwrap() < Duration::from_millis(20) {
            assert!(begun.elapsed() < Duration::from_secs(10), "the clock stands still");
        }
        assert!(meter.resident().unwrap() > 100 * 1024);
    }

    #[test]
    fn children_are_found() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let meter = Meter::start(std::process::id()).unwrap();
        assert!(meter.children.iter().any(|it| it.pid == child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(Meter::start(child.id()).is_err());
    }
}
