//! `Nyario.blocking`: blocks that would hold up the loop run on threads of Ruby's, as many as `THREADS` at a time.
//!
//! ```text
//!   blocking { } --> queue, first in first out --> a thread --> the fiber goes on with the block's value or exception
//! ```
//!
//! The pool is the process's: whoever holds the GVL may touch it. A fiber that is interrupted takes back what has not
//! begun; what has begun runs to its end, and nobody asks what came of it.

use crate::fiber::{self, KILLED};
use crate::looped::{self, QFALSE, QNIL};
use crate::parker::Parker;
use crate::party::Party;
use crate::typed::{self, DataType, Typed};
use crate::{api, raise};
use nyario_core::local;
use nyario_core::sys::{Kernel, Linux};
use rb_sys::{VALUE, rb_gc_mark, rb_jump_tag, rb_protect};
use std::collections::VecDeque;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// How many threads there may be. They mostly wait, so there may be more of them than processors.
const THREADS: usize = 16;

/// For how many nanoseconds a thread waits for work before it ends.
const IDLE: u64 = 10_000_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Queued,
    Running,
    Done,
    /// It runs, and nobody waits.
    Abandoned,
}

/// One call.
struct Work {
    state: State,
    block: VALUE,
    value: VALUE,
    error: VALUE,
    party: Party,
}

impl Typed for Work {
    const NAME: &'static CStr = c"Nyario work";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Work>();
        &TYPE
    };

    fn mark(&self) {
        // SAFETY: each is nil or a live object.
        unsafe {
            for value in [self.block, self.value, self.error] {
                rb_gc_mark(value);
            }
            self.party.mark();
        }
    }
}

impl Work {
    fn is_done(&self) -> bool {
        self.state == State::Done
    }
}

struct Pool {
    queue: VecDeque<VALUE>,
    threads: usize,
    /// Those threads that wait for work.
    idle: VecDeque<*const Parker>,
    forks: u32,
}

impl Typed for Pool {
    const NAME: &'static CStr = c"Nyario pool";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Pool>();
        &TYPE
    };

    fn mark(&self) {
        for &work in &self.queue {
            // SAFETY: a live object.
            unsafe { rb_gc_mark(work) };
        }
    }
}

static POOL: AtomicPtr<Pool> = AtomicPtr::new(null_mut());

/// The pool. A forked child has none of its parent's threads, and does none of their work.
///
/// # Safety
///
/// The GVL is held.
unsafe fn pool() -> *mut Pool {
    let pool = POOL.load(Ordering::Relaxed);
    // SAFETY: as above; it is there from the loading of the extension on.
    unsafe {
        if (*pool).forks != local::forks() {
            *pool = Pool { queue: VecDeque::new(), threads: 0, idle: VecDeque::new(), forks: local::forks() };
        }
    }
    pool
}

/// How many threads there are, how many of them have nothing to do, and how much work waits for one.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn counts() -> (usize, usize, usize) {
    // SAFETY: as above.
    unsafe {
        let pool = pool();
        ((*pool).threads, (*pool).idle.len(), (*pool).queue.len())
    }
}

/// `Nyario.blocking { }`.
unsafe extern "C" fn blocking(_: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; nothing here has a destructor, no borrow outlives its statement, and the work
    // lies on this stack.
    unsafe {
        let block = api::block();
        let looped = looped::running();
        if looped.is_null() || rb_sys::rb_fiber_current() == (*looped).root {
            return rb_sys::rb_yield_values2(0, std::ptr::null());
        }
        let party = Party::here();
        let work = Work { state: State::Queued, block, value: QNIL, error: QNIL, party };
        let object = typed::wrap(rb_sys::rb_cObject, work);
        let work = typed::unwrap::<Work>(object);
        enqueue(object);
        // It may have run while its thread was being made.
        while !(*work).is_done() {
            let waited = party.wait(0, "blocking", false);
            let ended = (*work).is_done();
            if waited.tag != 0 || (waited.result < 0 && !ended) {
                if !ended {
                    withdraw(object);
                }
                if waited.tag != 0 {
                    rb_jump_tag(waited.tag);
                }
                raise::system_call(waited.result);
            }
        }
        if (*work).error != QNIL {
            rb_sys::rb_exc_raise((*work).error);
        }
        let value = (*work).value;
        std::hint::black_box(object);
        value
    }
}

unsafe fn enqueue(work: VALUE) {
    // SAFETY: called with the GVL held; making a thread may raise.
    unsafe {
        let pool = pool();
        (*pool).queue.push_back(work);
        if let Some(thread) = (*pool).idle.pop_front() {
            (*thread).wake();
        } else if (*pool).threads < THREADS {
            (*pool).threads += 1;
            let mut tag = 0;
            let thread = rb_protect(Some(begin), QNIL, &mut tag);
            if tag != 0 {
                (*pool).threads -= 1;
                if (*pool).threads == 0 {
                    (*pool).queue.retain(|&other| other != work);
                    rb_jump_tag(tag);
                }
                rb_sys::rb_set_errinfo(QNIL);
            }
            std::hint::black_box(thread);
        }
    }
}

unsafe extern "C" fn begin(_: VALUE) -> VALUE {
    // SAFETY: called above, under `rb_protect`, with the GVL held.
    unsafe {
        let thread = rb_sys::rb_thread_create(Some(serve), null_mut());
        rb_sys::rb_funcallv(thread, rb_sys::rb_intern(c"report_on_exception=".as_ptr()), 1, &QFALSE);
        let name = rb_sys::rb_str_new_cstr(c"Nyario.blocking".as_ptr());
        rb_sys::rb_funcallv(thread, rb_sys::rb_intern(c"name=".as_ptr()), 1, &name)
    }
}

unsafe fn withdraw(work: VALUE) {
    // SAFETY: called with the GVL held.
    unsafe {
        (*pool()).queue.retain(|&other| other != work);
        (*typed::unwrap::<Work>(work)).state = State::Abandoned;
    }
}

/// What each thread runs.
unsafe extern "C" fn serve(_: *mut c_void) -> VALUE {
    // SAFETY: a new thread of Ruby's, with the GVL held.
    unsafe {
        let mut tag = 0;
        rb_protect(Some(work_off), QNIL, &mut tag);
        let pool = pool();
        (*pool).threads -= 1;
        let own = Parker::own();
        (*pool).idle.retain(|&thread| thread != own);
        if tag != 0 {
            rb_jump_tag(tag);
        }
        QNIL
    }
}

/// Works until nothing has come for a while.
unsafe extern "C" fn work_off(_: VALUE) -> VALUE {
    // SAFETY: as above; may raise, under `rb_protect`.
    unsafe {
        loop {
            while let Some(work) = (*pool()).queue.pop_front() {
                carry_out(work);
            }
            let (own, until) = (Parker::own(), Linux.now() + IDLE);
            (*pool()).idle.push_front(own);
            // Whoever has work for it takes it off the list.
            while (*pool()).idle.contains(&own) {
                let now = Linux.now();
                if now >= until {
                    return QNIL;
                }
                Parker::wait(own, Some(until - now));
            }
        }
    }
}

/// Runs the block, and tells the fiber.
unsafe fn carry_out(object: VALUE) {
    unsafe extern "C" fn call(block: VALUE) -> VALUE {
        // SAFETY: called below, under `rb_protect`.
        unsafe { rb_sys::rb_proc_call(block, rb_sys::rb_ary_new()) }
    }
    // SAFETY: as above; the work lies on this stack.
    unsafe {
        let work = typed::unwrap::<Work>(object);
        (*work).state = State::Running;
        let mut tag: c_int = 0;
        let value = rb_protect(Some(call), (*work).block, &mut tag);
        let error = match tag {
            0 => QNIL,
            KILLED => raise::new(rb_sys::rb_eRuntimeError, "the thread of Nyario.blocking was killed"),
            _ => fiber::take_error(),
        };
        let abandoned = (*work).state == State::Abandoned;
        ((*work).state, (*work).value, (*work).error) = (State::Done, value, error);
        if abandoned {
            if error != QNIL && tag != KILLED {
                fiber::report("nyario: what Nyario.blocking ran for a fiber that has gone on failed: ", error);
            }
        } else {
            (*work).party.wake();
        }
        std::hint::black_box(object);
        if tag == KILLED {
            rb_jump_tag(tag);
        }
    }
}

/// # Safety
///
/// Called when the extension is loaded.
pub(crate) unsafe fn define(nyario: VALUE) {
    // SAFETY: as above; each function has the signature of its arity.
    unsafe {
        let pool = Pool { queue: VecDeque::new(), threads: 0, idle: VecDeque::new(), forks: local::forks() };
        let object = typed::wrap(rb_sys::rb_cObject, pool);
        rb_sys::rb_gc_register_mark_object(object);
        POOL.store(typed::unwrap::<Pool>(object), Ordering::Relaxed);
        api::singleton_method(nyario, c"blocking", blocking as *const (), 0);
    }
}
