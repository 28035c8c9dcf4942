//! The threads that carry jobs out, and the queue that they take them from.
//!
//! ```text
//!   submit --> queue, first in first out --> a thread: Running --> finish --> Done       its fiber takes the result
//!                 |                                     |
//!                 +-- withdraw: it never runs           +-- withdraw: Abandoned --> finish --> freed by the thread
//! ```
//!
//! A job lies where its submitter put it, linked into the queue: on the fiber's stack, or in a box. Whoever looks at its
//! state, or changes it, holds the pool's lock.

use crate::driver::OpId;
use crate::local;
use crate::local::process::PerProcess;
use crate::sys::{Errno, check};
use std::ffi::c_void;
use std::mem::zeroed;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// How many threads a process's pool may have. They mostly wait, so there may be more of them than processors.
const THREADS: usize = 64;

/// How long a thread waits for a job before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// What a function that C brings along may count on.
const STACK_SIZE: usize = 8 << 20;

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// In nobody's hands but its submitter's: not in the queue yet, or withdrawn.
    Held,
    Queued,
    Running,
    /// It has run, and the submitter takes what it left.
    Done,
    /// It runs, and nobody waits for it.
    Abandoned,
}

/// The head of every job. It stays in its place from `submit` until it is withdrawn or done.
pub(super) struct Job {
    next: *mut Job,
    before: *mut Job,
    stage: Stage,
    /// The park that waits for its end.
    pub(super) park: OpId,
    /// Runs it and calls `finish`.
    perform: unsafe fn(*mut Job, &'static Pool),
}

impl Job {
    pub(super) fn new(perform: unsafe fn(*mut Job, &'static Pool)) -> Job {
        Job { next: null_mut(), before: null_mut(), stage: Stage::Held, park: OpId::NONE, perform }
    }
}

struct State {
    first: *mut Job,
    last: *mut Job,
    queued: usize,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
}

// SAFETY: the jobs that it points to are handed from thread to thread under the lock, and `Task` sees to it that what
// they carry may be.
unsafe impl Send for State {}

impl State {
    fn push(&mut self, job: *mut Job) {
        // SAFETY: the submitter hands in a job that stays in its place, and so are those in the queue.
        unsafe {
            (*job).next = null_mut();
            (*job).before = self.last;
            (*job).stage = Stage::Queued;
            match self.last.is_null() {
                true => self.first = job,
                false => (*self.last).next = job,
            }
        }
        self.last = job;
        self.queued += 1;
    }

    fn remove(&mut self, job: *mut Job) {
        // SAFETY: as in `push`; the job is in the queue.
        unsafe {
            let (before, next) = ((*job).before, (*job).next);
            match before.is_null() {
                true => self.first = next,
                false => (*before).next = next,
            }
            match next.is_null() {
                true => self.last = before,
                false => (*next).before = before,
            }
        }
        self.queued -= 1;
    }

    fn pop(&mut self) -> Option<*mut Job> {
        let job = self.first;
        if job.is_null() {
            return None;
        }
        self.remove(job);
        // SAFETY: as in `push`.
        unsafe { (*job).stage = Stage::Running };
        Some(job)
    }
}

/// A process's threads. A forked child has none of them, and so a pool of its own.
pub(super) struct Pool {
    state: Mutex<State>,
    news: Condvar,
    /// The process that it belongs to; see [`local::forks`].
    forks: u32,
}

/// The calling process's pool. It has no thread before it has a job.
pub(super) fn get() -> &'static Pool {
    static POOL: PerProcess<Pool> = PerProcess::new(Pool::new(0), || Pool::new(local::forks()));
    POOL.get()
}

impl Pool {
    const fn new(forks: u32) -> Pool {
        let state = State { first: null_mut(), last: null_mut(), queued: 0, threads: 0, idle: 0 };
        Pool { state: Mutex::new(state), news: Condvar::new(), forks }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under the lock")
    }

    /// Puts a job at the end of the queue, and sees to it that a thread will take it.
    ///
    /// # Errors
    ///
    /// `EAGAIN` and `ENOMEM` when there is no thread and none can be made: the job is not in the queue.
    ///
    /// # Safety
    ///
    /// The job must stay in its place, and nobody may touch it, until it is withdrawn or done.
    pub(super) unsafe fn submit(&'static self, job: *mut Job) -> Result<(), Errno> {
        let mut state = self.lock();
        state.push(job);
        if state.queued <= state.idle {
            self.news.notify_one();
            return Ok(());
        }
        // Under the lock, so that nobody counts on a thread that does not come.
        if state.threads < THREADS {
            match begin(self) {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    state.remove(job);
                    // SAFETY: forwarded from the caller; the lock is held.
                    unsafe { (*job).stage = Stage::Held };
                    return Err(error);
                }
                // With others at work it is merely later.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Takes a job back: one that has not begun never will. The stage that it was found in is returned; a running one
    /// is abandoned if the submitter wants that, and then belongs to its thread.
    ///
    /// # Safety
    ///
    /// The job must have been given to `submit` of this pool.
    pub(super) unsafe fn withdraw(&self, job: *mut Job, abandon: bool) -> Stage {
        let mut state = self.lock();
        // SAFETY: forwarded from the caller; the lock is held.
        unsafe {
            let stage = (*job).stage;
            match stage {
                Stage::Queued => {
                    state.remove(job);
                    (*job).stage = Stage::Held;
                }
                Stage::Running if abandon => (*job).stage = Stage::Abandoned,
                _ => {}
            }
            stage
        }
    }

    /// Names another park to be ended with the job; `false` says that the job is done.
    ///
    /// # Safety
    ///
    /// As [`withdraw`](Self::withdraw); the job must not be abandoned.
    pub(super) unsafe fn await_at(&self, job: *mut Job, park: OpId) -> bool {
        let _state = self.lock();
        // SAFETY: forwarded from the caller; the lock is held.
        unsafe {
            (*job).park = park;
            (*job).stage != Stage::Done
        }
    }

    /// Notes that a job has run, and has its park ended. `false` says that it was abandoned: it is the calling thread's.
    /// Otherwise it is its submitter's again, who waits for the lock before taking it away.
    ///
    /// # Safety
    ///
    /// The job must be the one that the calling thread performs.
    pub(super) unsafe fn finish(&self, job: *mut Job, unpark: impl FnOnce(OpId)) -> bool {
        let mut state = self.lock();
        // From now on the thread is as good as idle: whoever is woken by it need not make another.
        state.idle += 1;
        // SAFETY: forwarded from the caller; the lock is held.
        unsafe {
            if (*job).stage == Stage::Abandoned {
                return false;
            }
            (*job).stage = Stage::Done;
            unpark((*job).park);
            true
        }
    }

    /// Whether the calling thread still is in the process that made the pool. A job may have forked, and what comes back
    /// from it in the child has nothing to finish there.
    pub(super) fn is_ours(&self) -> bool {
        self.forks == local::forks()
    }

    /// The life of one thread.
    fn serve(&'static self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.pop() {
                drop(state);
                // SAFETY: it was in the queue, and only this thread has taken it.
                unsafe { ((*job).perform)(job, self) };
                if !self.is_ours() {
                    return;
                }
                state = self.lock();
                state.idle -= 1;
                continue;
            }
            state.idle += 1;
            let (woken, waited) = self.news.wait_timeout(state, IDLE).expect("nothing panics under the lock");
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.queued == 0 {
                state.threads -= 1;
                return;
            }
        }
    }
}

/// Begins a thread. It takes no signal: those are for the threads of the program.
fn begin(pool: &'static Pool) -> Result<(), Errno> {
    extern "C" fn thread(pool: *mut c_void) -> *mut c_void {
        #[cfg(target_os = "linux")]
        // SAFETY: the name is short enough and ends with a NUL.
        unsafe {
            libc::pthread_setname_np(libc::pthread_self(), c"nyario-offload".as_ptr());
        }
        // SAFETY: `begin` hands in a pool, and those are never freed.
        unsafe { &*pool.cast::<Pool>() }.serve();
        without_provenance_mut(0)
    }
    // SAFETY: the calls fill in and read plain data that outlives them; a new thread inherits the mask.
    unsafe {
        let mut attributes: libc::pthread_attr_t = zeroed();
        check(-libc::pthread_attr_init(&mut attributes))?;
        libc::pthread_attr_setdetachstate(&mut attributes, libc::PTHREAD_CREATE_DETACHED);
        libc::pthread_attr_setstacksize(&mut attributes, STACK_SIZE);
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = (zeroed(), zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let mut name: libc::pthread_t = zeroed();
        let pool = (&raw const *pool).cast_mut().cast();
        let begun = libc::pthread_create(&mut name, &attributes, thread, pool);
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, null_mut());
        libc::pthread_attr_destroy(&mut attributes);
        check(-begun).map(drop)
    }
}
