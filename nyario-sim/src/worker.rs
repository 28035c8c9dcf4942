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
        let what = info.payload_as_str().unwrap_or("a panic");
        println!("seed {} failed at {place}: {what}", SEED.load(Ordering::Relaxed));
        // Nothing of the loop is to be trusted any more, nor unwound.
        std::process::exit(FAILED);
    }));
    let handler = crashed as extern "C" fn(i32) as libc::sighandler_t;
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL] {
        // SAFETY: zeroes and a handler are a valid action; the handler ends the process.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = libc::SA_ONSTACK;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

/// Tells of a crash with nothing but what a signal handler may use.
extern "C" fn crashed(signal: i32) {
    let mut line = *b"seed                      failed at a crash: signal   \n";
    let mut put = |mut at: usize, mut number: u64| loop {
        line[at] = b'0' + (number % 10) as u8;
        number /= 10;
        at -= 1;
        if number == 0 {
            return;
        }
    };
    put(24, SEED.load(Ordering::Relaxed));
    put(line_end(), signal as u64);
    // SAFETY: the line outlives the call, and nothing follows it.
    unsafe {
        libc::write(1, line.as_ptr().cast(), line.len());
        libc::_exit(FAILED);
    }
}

/// Where a signal's number ends in the line above.
const fn line_end() -> usize {
    b"seed                      failed at a crash: signal   \n".len() - 2
}
