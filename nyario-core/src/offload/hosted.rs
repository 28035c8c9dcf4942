//! Offload for a host whose fibers are not ours: work whose end completes a park of the host's.

use super::pool::{self, Job, Pool, Stage};
use super::{Task, perform};
use crate::driver::{OpId, Waker};
use crate::sys::{Errno, Kernel};
use std::mem::ManuallyDrop;

/// Work under way. It owns all that it works on, so whoever began it may leave it: dropped before its end, it never
/// begins if it has not, and what it returns late is dropped on its thread.
pub struct Work<R> {
    job: *mut Job,
    pool: &'static Pool,
    /// Frees the task, and returns what it came to.
    take: unsafe fn(*mut Job) -> Option<R>,
}

/// Has `work` done on a thread of the pool, whose end completes `park` with 1.
///
/// # Errors
///
/// `EAGAIN` or `ENOMEM` when there is no thread and none can be made: the park is not completed.
pub fn begin<K: Kernel + Send + Sync, R: Send + 'static, F: FnOnce() -> R + Send + 'static>(
    waker: Waker<K>,
    park: OpId,
    work: F,
) -> Result<Work<R>, Errno> {
    let pool = pool::get();
    let task: Task<K, F, R> = Task { job: Job::new(perform::<K, F, R>), waker, work: Some(work), result: None };
    let job = Box::into_raw(Box::new(task)).cast::<Job>();
    let take = take::<K, F, R>;
    // SAFETY: the box is the pool's until the job is done or withdrawn; one that was not submitted is ours.
    unsafe {
        (*job).park = park;
        if let Err(error) = pool.submit(job) {
            take(job);
            return Err(error);
        }
    }
    Ok(Work { job, pool, take })
}

unsafe fn take<K: Kernel, F: FnOnce() -> R, R>(job: *mut Job) -> Option<R> {
    // SAFETY: the caller hands in, once, a job that is the head of such a box and nobody else's.
    unsafe { Box::from_raw(job.cast::<Task<K, F, R>>()) }.result.take()
}

impl<R> Work<R> {
    /// What it came to; `None` when it has not ended, and is left, or has panicked.
    pub fn end(self) -> Option<R> {
        ManuallyDrop::new(self).leave()
    }

    fn leave(&mut self) -> Option<R> {
        if !self.pool.is_ours() {
            // The parent process's thread has it.
            return None;
        }
        // SAFETY: it was submitted, and is left once; an abandoned one is its thread's.
        unsafe {
            match self.pool.withdraw(self.job, true) {
                Stage::Running => None,
                _ => (self.take)(self.job),
            }
        }
    }
}

impl<R> Drop for Work<R> {
    fn drop(&mut self) {
        self.leave();
    }
}
