//! Offload: what would block the thread runs on another, while its fiber is parked.
//!
//! The threads belong to the process, not to a loop: a pool that has no thread before its first job, grows while jobs
//! wait and none of its threads is idle, up to a bound, and shrinks again when there is nothing to do. Beyond the bound
//! jobs wait in the order in which they came. A forked child begins with an empty pool.
//!
//! A job that has not begun can be taken back. One that runs cannot be stopped, so there are two kinds: [`run`] borrows,
//! and waits until the work is over whatever happens; [`run_owned`] owns all that it works on, so its fiber can leave
//! early, and what the work returns late is dropped on its thread. [`begin`] is that for hosts with fibers of their own.

mod hosted;
mod pool;

pub use hosted::{Work, begin};

use crate::driver::Waker;
use crate::fiber::Loop;
use crate::sys::{Errno, Kernel};
use pool::{Job, Pool, Stage};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A job with its work. The head comes first, so that the pool's pointers lead here.
#[repr(C)]
struct Task<K: Kernel, F, R> {
    job: Job,
    waker: Waker<K>,
    work: Option<F>,
    /// `None` also when the work panicked; the panic hook has told of it.
    result: Option<R>,
}

impl<K: Kernel + Send + Sync, R: Send, F: FnOnce() -> R + Send> Task<K, F, R> {
    fn new(looped: &Loop<K>, work: F) -> Task<K, F, R> {
        Task { job: Job::new(perform::<K, F, R>), waker: looped.waker(), work: Some(work), result: None }
    }
}

/// Runs a task, on a thread of the pool.
unsafe fn perform<K: Kernel, F: FnOnce() -> R, R>(job: *mut Job, pool: &'static Pool) {
    let task = job.cast::<Task<K, F, R>>();
    // SAFETY: the job is the head of a task of these types, which stays in its place and is this thread's until it is
    // finished. An abandoned one is in a box, which is this thread's for good.
    unsafe {
        let work = (*task).work.take().expect("a job runs once");
        let result = catch_unwind(AssertUnwindSafe(work)).ok();
        if !pool.is_ours() {
            return;
        }
        (*task).result = result;
        if !pool.finish(job, |park| (*task).waker.complete(park, 1)) {
            drop(Box::from_raw(task));
        }
    }
}

/// Runs `work` on a thread of the pool and suspends the fiber until it is over; off a fiber it simply runs it.
///
/// # Errors
///
/// `ECANCELED` and `ETIMEDOUT` when the fiber is cancelled or its deadline passes before a thread has begun: the work then
/// never runs. Once it has begun it is waited for and its value returned, and a cancel is for the next suspension.
/// `EAGAIN` or `ENOMEM` when there is no thread and none can be made; `ENOTRECOVERABLE` when it panicked.
pub fn run<K: Kernel + Send + Sync, R: Send>(looped: &Loop<K>, work: impl FnOnce() -> R + Send) -> Result<R, Errno> {
    if !looped.in_fiber() {
        return Ok(work());
    }
    looped.refusal()?;
    let pool = pool::get();
    let mut task = Task::new(looped, work);
    let task = &raw mut task;
    let job = task.cast::<Job>();
    // SAFETY: the task stays in its place until this function returns, which it does when the job is done or was taken
    // back from the queue; until then the pool alone touches it.
    unsafe {
        let waited = wait(looped, pool, job);
        match (pool.withdraw(job, false), waited) {
            (Stage::Done, waited) => told_late(looped, waited),
            (Stage::Running, waited) => {
                looped.because("offload").park_firmly(|park| {
                    if !pool.await_at(job, park) {
                        looped.unpark(park, 1);
                    }
                });
                pool.withdraw(job, false);
                told_late(looped, waited);
            }
            (_, waited) => return Err(waited.expect_err("nobody but the job's end ends the park well")),
        }
        (*task).result.take().ok_or(Errno(libc::ENOTRECOVERABLE))
    }
}

/// Like [`run`], for work that owns all that it works on: a fiber that is cancelled or whose deadline passes goes on at
/// once, even if the work has begun; what that returns in the end is dropped.
///
/// # Errors
///
/// As [`run`].
pub fn run_owned<K: Kernel + Send + Sync, R: Send + 'static>(
    looped: &Loop<K>,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Errno> {
    if !looped.in_fiber() {
        return Ok(work());
    }
    looped.refusal()?;
    let pool = pool::get();
    let task = Box::into_raw(Box::new(Task::new(looped, work)));
    let job = task.cast::<Job>();
    // SAFETY: the box is the pool's until the job is done or withdrawn, and then ours, unless it was abandoned.
    unsafe {
        let waited = wait(looped, pool, job);
        match (pool.withdraw(job, true), waited) {
            (Stage::Done, waited) => told_late(looped, waited),
            (Stage::Running, waited) => return Err(waited.expect_err("nobody but the job's end ends the park well")),
            (_, waited) => {
                drop(Box::from_raw(task));
                return Err(waited.expect_err("nobody but the job's end ends the park well"));
            }
        }
        Box::from_raw(task).result.take().ok_or(Errno(libc::ENOTRECOVERABLE))
    }
}

/// A cancel that came too late for this suspension is for the next one.
fn told_late<K: Kernel>(looped: &Loop<K>, waited: Result<(), Errno>) {
    if waited == Err(Errno(libc::ECANCELED)) {
        looped.cancel_later();
    }
}

/// Hands a job to the pool, and waits for it unless something comes before it. Whoever finishes a job may still hold it
/// for a moment: it is to be withdrawn in any case.
///
/// # Safety
///
/// As [`Pool::submit`].
unsafe fn wait<K: Kernel>(looped: &Loop<K>, pool: &'static Pool, job: *mut Job) -> Result<(), Errno> {
    let mut submitted = Ok(());
    let waited = looped.because("offload").park(|park| {
        // SAFETY: the job is not the pool's yet. The rest is forwarded from the caller.
        unsafe {
            (*job).park = park;
            submitted = pool.submit(job);
        }
        if submitted.is_err() {
            looped.unpark(park, 1);
        }
    });
    // What could not be submitted is not waited for, whatever ended the park.
    submitted?;
    waited.map(drop)
}
