//! `Nyario.stats` and `Nyario.fibers`: what the calling thread's loop has done, and what it is busy with.

use crate::looped::{self, Job, Looped, QNIL, Slot};
use crate::task::Task;
use crate::{api, pool, raise, typed};
use magnus::rb_sys::{AsRawValue, FromRawValue, protect};
use magnus::{Error, RModule, Value, function};
use nyario_core::driver::{OpId, Wait};
use rb_sys::VALUE;
use std::ffi::{c_char, c_long};

unsafe fn symbol(name: &str) -> VALUE {
    // SAFETY: called with the GVL held; the name is copied.
    unsafe { rb_sys::rb_id2sym(rb_sys::rb_intern2(name.as_ptr().cast::<c_char>(), name.len() as c_long)) }
}

unsafe fn set(hash: VALUE, name: &str, value: VALUE) {
    // SAFETY: as above.
    unsafe { rb_sys::rb_hash_aset(hash, symbol(name), value) };
}

/// The calling thread's loop, made if there is none.
unsafe fn get() -> *mut Looped {
    // SAFETY: called with the GVL held; may raise.
    unsafe {
        match looped::get() {
            Ok(looped) => looped,
            Err(errno) => raise::system_call(errno.result()),
        }
    }
}

/// `stats`.
unsafe extern "C" fn stats(_: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; nothing here has a destructor, and no borrow outlives its statement.
    unsafe {
        let looped = get();
        let runtime = (*looped).runtime.statistics();
        let driver = runtime.driver;
        let waiters = &(*looped).waiters;
        let tasks = waiters.iter().filter(|waiter| matches!(waiter.job, Job::Run { .. })).count();
        let (threads, idle, queued) = pool::counts();
        let timers = (*looped).timers.count();
        let counts: [(&str, u64); 23] = [
            ("turns", runtime.turns),
            ("enters", driver.enters),
            ("at_once", driver.at_once),
            ("waited", driver.waited),
            ("waiting", driver.pending),
            ("deadlines", driver.timers),
            ("notes", driver.notes),
            ("adopted", driver.adopted),
            ("buffers", driver.buffers),
            ("buffers_used", driver.buffers_used),
            ("sweeps", runtime.sweeps),
            ("servers", runtime.servers),
            ("accepted", runtime.accepted),
            ("idle", runtime.idle),
            ("clients", runtime.clients),
            ("fibers", ((*looped).jobs + (*looped).guests) as u64),
            ("tasks", tasks as u64),
            ("fibers_resting", (*looped).resting() as u64),
            ("ready", (*looped).ready.len() as u64),
            ("timers", timers as u64),
            ("threads", threads as u64),
            ("threads_idle", idle as u64),
            ("blocking_queued", queued as u64),
        ];
        let hash = rb_sys::rb_hash_new();
        set(hash, "backend", symbol((*looped).runtime.backend().name()));
        for (name, count) in counts {
            set(hash, name, rb_sys::rb_ull2inum(count));
        }
        hash
    }
}

/// `fibers`.
fn fibers() -> Result<Value, Error> {
    // SAFETY: magnus calls with the GVL held; what may raise runs under `protect`, and runs no Ruby code, so the loop stays
    // as it is.
    unsafe {
        let mut looped = std::ptr::null_mut();
        protect(|| {
            looped = get();
            QNIL
        })?;
        let waits = waits(looped);
        let list = protect(|| {
            let list = rb_sys::rb_ary_new();
            for (slot, wait) in waits.iter().enumerate() {
                let waiter = &raw const (&(*looped).waiters)[slot];
                if (*waiter).fiber != QNIL && (wait.is_some() || (*looped).has_job(slot as Slot)) {
                    rb_sys::rb_ary_push(list, describe(looped, slot as Slot, wait.as_ref()));
                }
            }
            list
        })?;
        Ok(Value::from_raw(list))
    }
}

/// What each of the loop's fibers is parked on.
unsafe fn waits(looped: *mut Looped) -> Vec<Option<Wait>> {
    // SAFETY: called with the GVL held, for the thread's own loop.
    unsafe {
        let mut waits = vec![None; (*looped).waiters.len()];
        for wait in (*looped).runtime.driver().waits() {
            // What the runtime does for itself has a word of another kind.
            let slot = (wait.waiter >> 2) as Slot;
            if (slot as usize) < waits.len()
                && (&(*looped).waiters)[slot as usize].op != OpId::NONE
                && (*looped).word(slot) == wait.waiter
            {
                waits[slot as usize] = Some(wait);
            }
        }
        waits
    }
}

fn name_of(job: Job) -> &'static str {
    match job {
        Job::Run { .. } => "task",
        Job::Serve { .. } => "handler",
        Job::Tick { .. } => "timer",
        Job::Scheduled => "scheduled",
        // A fiber that Ruby code made, for as long as it waits.
        _ => "other",
    }
}

unsafe fn describe(looped: *mut Looped, slot: Slot, wait: Option<&Wait>) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let waiter = &raw const (&(*looped).waiters)[slot as usize];
        let (mut task, mut name) = (QNIL, QNIL);
        if let Job::Run { task: object, .. } = (*waiter).job {
            (task, name) = (object, (*typed::unwrap::<Task>(object)).name());
        }
        let state = match wait {
            Some(_) => "waiting",
            None if (*looped).current == slot => "running",
            None if (*looped).waits(slot) => "waiting",
            None => "ready",
        };
        let hash = rb_sys::rb_hash_new();
        set(hash, "fiber", (*waiter).fiber);
        set(hash, "task", task);
        set(hash, "name", name);
        set(hash, "job", symbol(name_of((*waiter).job)));
        set(hash, "state", symbol(state));
        let (mut what, mut fd, mut seconds) = (QNIL, QNIL, QNIL);
        if let Some(wait) = wait {
            what = symbol(wait.what);
            fd = wait.fd.map_or(QNIL, |fd| rb_sys::LONG2NUM(fd.into()));
            seconds = rb_sys::rb_float_new(wait.nanos as f64 / 1e9);
        }
        set(hash, "waits_for", what);
        set(hash, "fd", fd);
        set(hash, "seconds", seconds);
        hash
    }
}

pub(crate) fn define(nyario: RModule) -> Result<(), Error> {
    nyario.define_module_function("fibers", function!(fibers, 0))?;
    // SAFETY: the function has the signature of its arity.
    unsafe { api::singleton_method(nyario.as_raw(), c"stats", stats as *const (), 0) };
    Ok(())
}
