//! The process that runs plans. It ends at the first failure, whatever that is: a panic on any stack, a crash.

use crate::args::Args;
use nyario_core::driver::BackendKind;
use nyario_sim::model::Journal;
use nyario_sim::program::{Plan, run};
use std::cell::RefCell;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The status of a worker whose run failed.
pub const FAILED: i32 = 3;

/// The seed that is being run, for whoever tells of a failure.
static SEED: AtomicU64 = AtomicU64::new(0);

/// How many operations the plans before it came to.
static BEFORE: AtomicU64 = AtomicU64::new(0);

/// A plan takes milliseconds; one that takes so many seconds hangs.
const PATIENCE: u32 = 20;

thread_local! {
    /// What happened in the run under way, if that is kept.
    static JOURNAL: RefCell<Journal> = RefCell::default();
}

/// How much of a journal is told.
const LINES: usize = 400;

pub fn work(args: &Args, backend: BackendKind) {
    hush();
    tell_of_failures();
    let begun = Instant::now();
    let (mut seed, mut plans, mut operations, mut calls) = (args.seed, 0u64, 0u64, 0u64);
    loop {
        SEED.store(seed, Ordering::Relaxed);
        BEFORE.store(operations, Ordering::Relaxed);
        // SAFETY: a call without memory.
        unsafe { libc::alarm(PATIENCE) };
        let plan = if args.operations.is_some() { Plan::new(seed, backend) } else { args.plan(backend) };
        if args.journal {
            println!("{plan:#?}");
        }
        let tally = run(plan, |model| {
            if args.journal {
                JOURNAL.set(model.keep_journal());
            }
        });
        (seed, plans) = (seed + 1, plans + 1);
        (operations, calls) = (operations + tally.operations, calls + tally.calls);
        if args.operations.is_none_or(|wanted| operations >= wanted) {
            break;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{}: seeds {}..{seed}: {plans} plans, {operations} operations ({:.0} a second), {calls} system calls, {seconds:.1} s",
        backend.name(),
        args.seed,
        operations as f64 / seconds,
    );
}

/// The core tells of paused accepts and the like on standard error; there would be thousands.
fn hush() {
    if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
        // SAFETY: a call without memory.
        unsafe { libc::dup2(null.as_raw_fd(), 2) };
    }
}

fn tell_of_failures() {
    std::panic::set_hook(Box::new(|info| {
        let journal = JOURNAL.take();
        let journal = journal.borrow();
        for line in &journal[journal.len().saturating_sub(LINES)..] {
            println!("{line}");
        }
        let place = info.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
        // One line, as whoever reads it takes the last.
        let what = info.payload_as_str().unwrap_or("a panic").replace('\n', ";");
        let (seed, before) = (SEED.load(Ordering::Relaxed), BEFORE.load(Ordering::Relaxed));
        println!("seed {seed} failed at {place}: {what} (after {before} operations)");
        // Nothing of the loop is to be trusted any more, nor unwound.
        std::process::exit(FAILED);
    }));
    let handler = crashed as extern "C" fn(i32) as libc::sighandler_t;
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGABRT, libc::SIGALRM] {
        // SAFETY: zeroes and a handler are a valid action; the handler ends the process.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = libc::SA_ONSTACK;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

/// Tells of a crash or a hang with nothing but what a signal handler may use.
extern "C" fn crashed(signal: i32) {
    let mut line = Line { bytes: [0; 128], len: 0 };
    line.push(b"seed ");
    line.number(SEED.load(Ordering::Relaxed));
    if signal == libc::SIGALRM {
        line.push(b" failed at a hang: ");
    } else {
        line.push(b" failed at a crash: signal ");
        line.number(signal as u64);
    }
    line.push(b" (after ");
    line.number(BEFORE.load(Ordering::Relaxed));
    line.push(b" operations)\n");
    // SAFETY: the line outlives the call, and nothing follows it.
    unsafe {
        libc::write(1, line.bytes.as_ptr().cast(), line.len);
        libc::_exit(FAILED);
    }
}

/// A line that is put together without allocating.
struct Line {
    bytes: [u8; 128],
    len: usize,
}

impl Line {
    fn push(&mut self, text: &[u8]) {
        self.bytes[self.len..][..text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn number(&mut self, number: u64) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.push(&[b'0' + (number % 10) as u8]);
    }
}
