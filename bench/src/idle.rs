//! What a connection costs while nothing comes of it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::crowd::Crowd;
use crate::memory::{self, Machine, Process};
use crate::process::Meter;
use crate::server::{FLOOR, Row, Server};

/// How long memory may take to come back, and what is left of a server before it to be freed.
const SETTLE: Duration = Duration::from_millis(500);

/// How long the connections are left alone while the server's processor time is looked at.
const QUIET: Duration = Duration::from_secs(1);

/// How long the server's processor time is looked at to tell whether it is busy.
const GLANCE: Duration = Duration::from_millis(200);

/// How long a server may take to notice that all its connections are gone.
const FAREWELL: Duration = Duration::from_secs(60);

/// Enough for every provided buffer to have been used once, so that none counts for a connection.
const WARMUP: usize = 2000;

/// What a fiber may hold beyond what a lazy connection does.
const PAGE: f64 = 4096.0;

const LAZY_C: f64 = 256.0;
const LAZY_RUBY: f64 = 384.0;

/// A server, and how its connections come to rest.
pub struct Case {
    /// The server.
    pub row: Row,
    /// Whether each connection says something before it rests, which is what gives it a fiber.
    pub spoken: bool,
    /// What it is to hold in bytes at most.
    pub goal: Option<f64>,
}

/// Every server with its connections lazy and with a fiber, the floors first.
pub fn cases() -> Vec<Case> {
    let command = |parts: &[&str]| parts.iter().map(ToString::to_string).collect();
    let floor = |name, file| Case { row: Row::new(name, file, command(&[file, "echo"])), spoken: false, goal: None };
    let c = |name, backend, spoken| {
        let file = "target/bench/idle-echo";
        let goal = if spoken { LAZY_C + PAGE } else { LAZY_C };
        Case { row: Row::new(name, file, command(&[file])).over(backend), spoken, goal: Some(goal) }
    };
    let ruby = |name, backend, spoken: bool| {
        let file = "examples/ruby/echo.rb";
        let row = Row::new(name, file, command(&["ruby", "-Inyario-ruby/lib", file])).over(backend);
        Case { row, spoken, goal: (!spoken).then_some(LAZY_RUBY) }
    };
    vec![
        floor(FLOOR, "target/bench/floor-epoll"),
        floor("floor uring", "target/bench/floor-uring"),
        c("C uring lazy", "uring", false),
        c("C epoll lazy", "epoll", false),
        c("C uring fiber", "uring", true),
        c("C epoll fiber", "epoll", true),
        ruby("Ruby uring lazy", "uring", false),
        ruby("Ruby epoll lazy", "epoll", false),
        ruby("Ruby uring fiber", "uring", true),
        ruby("Ruby epoll fiber", "epoll", true),
    ]
}

/// What an idle connection was found to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Bytes of the server's resident memory.
    pub resident: f64,
    /// The same, of what it has to itself and its share of the rest.
    pub proportional: f64,
    /// Bytes of its page tables.
    pub tables: f64,
    /// Bytes of the kernel's objects, for both ends and on the whole machine.
    pub kernel: f64,
    /// Milliseconds of processor time that the server takes in a second, all connections together.
    pub cpu: f64,
}

/// A server whose memory is known from before it has connections.
pub struct Watch {
    server: Server,
    process: Process,
    machine: Machine,
}

impl Watch {
    /// Starts the server, and warms it up with one connection.
    pub fn start(row: &Row, root: &Path, core: usize) -> Result<(Self, Crowd), String> {
        thread::sleep(SETTLE);
        let server = Server::start(row, root, core)?;
        let crowd = Crowd::new(server.address())?;
        crowd.probe(WARMUP)?;
        thread::sleep(SETTLE);
        let (process, machine) = (Process::of(server.pid())?, Machine::now()?);
        Ok((Watch { server, process, machine }, crowd))
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// How much more there is by now of everything, for each of so many connections that rest.
    pub fn figures(&self, count: usize) -> Result<Figures, String> {
        thread::sleep(SETTLE);
        let watched = |error| format!("the server's process cannot be watched: {error}");
        let meter = Meter::start(self.server.pid()).map_err(watched)?;
        thread::sleep(QUIET);
        let cpu = meter.cpu().map_err(watched)?;
        let (process, machine) = (Process::of(self.server.pid())?, Machine::now()?);
        Ok(Figures {
            resident: memory::each(self.process.resident, process.resident, count),
            proportional: memory::each(self.process.proportional, process.proportional, count),
            tables: memory::each(self.process.tables, process.tables, count),
            kernel: memory::each(self.machine.slab, machine.slab, count),
            cpu: cpu.as_secs_f64() * 1e3 / QUIET.as_secs_f64(),
        })
    }

    /// Ends the server, which has to end well, once it has let go of the connections: of a million that takes longer than
    /// a server has for its end.
    pub fn stop(self) -> Result<(), String> {
        let deadline = Instant::now() + FAREWELL;
        while is_busy(self.server.pid()) && Instant::now() < deadline {}
        self.server.stop()
    }
}

/// Whether the process works for a tenth of the time. One that is gone does not.
fn is_busy(pid: u32) -> bool {
    let Ok(meter) = Meter::start(pid) else { return false };
    thread::sleep(GLANCE);
    meter.cpu().is_ok_and(|cpu| cpu > GLANCE / 10)
}

/// Measures one server with so many connections.
pub fn measure(case: &Case, root: &Path, core: usize, count: usize) -> Result<Figures, String> {
    let (watch, mut crowd) = Watch::start(&case.row, root, core)?;
    let figures = crowd.open(count, case.spoken).and_then(|()| watch.figures(count));
    let awake = crowd.wake(100);
    drop(crowd);
    // How a server ends says more than that its connections broke.
    watch.stop()?;
    awake.and(figures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn who_works_is_busy_and_who_waits_is_not() {
        let own = std::process::id();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            // Others may have the processors for a while.
            let busy = (0..50).any(|_| is_busy(own));
            stop.store(true, Ordering::Relaxed);
            assert!(busy);
        });
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        thread::sleep(GLANCE);
        let idle = !is_busy(child.id());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(idle && !is_busy(child.id()));
    }
}
