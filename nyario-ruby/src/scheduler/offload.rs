//! What can only block: it runs on a thread of Ruby's, and the fiber waits for that.

use crate::looped::{QFALSE, QNIL, QTRUE};
use nyario_core::local;
use rb_sys::{VALUE, rb_funcallv, rb_intern};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many blocking operations may run at a time. They keep a processor busy, or wait for a disk.
const OPERATIONS: i64 = 16;

/// Runs `work(argument)` on a new thread, and waits for it on this fiber: its value, or what it raised. An exception in the
/// fiber ends the thread.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller.
pub(super) unsafe fn on_thread(work: unsafe extern "C" fn(*mut c_void) -> VALUE, argument: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let thread = begin(work, argument);
        rb_sys::rb_ensure(Some(join), thread, Some(kill), thread)
    }
}

/// The thread keeps the argument: an exception may end the wait before it has begun.
unsafe fn begin(work: unsafe extern "C" fn(*mut c_void) -> VALUE, argument: VALUE) -> VALUE {
    // SAFETY: called with the GVL held.
    unsafe {
        let thread = rb_sys::rb_thread_create(Some(work), argument as *mut c_void);
        rb_sys::rb_ivar_set(thread, rb_intern(c"nyario".as_ptr()), argument);
        // Whoever waits hears of it.
        rb_funcallv(thread, rb_intern(c"report_on_exception=".as_ptr()), 1, &QFALSE);
        thread
    }
}

unsafe extern "C" fn join(thread: VALUE) -> VALUE {
    // SAFETY: called above, with the GVL held.
    unsafe { rb_funcallv(thread, rb_intern(c"value".as_ptr()), 0, std::ptr::null()) }
}

unsafe extern "C" fn kill(thread: VALUE) -> VALUE {
    // SAFETY: as above; a thread that has ended is not harmed.
    unsafe { rb_sys::rb_thread_kill(thread) }
}

/// `blocking_operation_wait(work)`: calls it where it blocks nobody. It works on what the fiber has lent it, so that goes on
/// only when the operation has ended: an exception interrupts it and waits for that.
pub(super) unsafe extern "C" fn blocking_operation_wait(_this: VALUE, work: VALUE) -> VALUE {
    unsafe extern "C" fn call(work: *mut c_void) -> VALUE {
        // SAFETY: the thread runs it with the GVL held.
        unsafe { rb_funcallv(work as VALUE, rb_intern(c"call".as_ptr()), 0, std::ptr::null()) }
    }
    unsafe extern "C" fn run(work: VALUE) -> VALUE {
        // SAFETY: called below, with the GVL held.
        unsafe {
            let thread = begin(call, work);
            rb_sys::rb_ensure(Some(join), thread, Some(end), thread)
        }
    }
    unsafe extern "C" fn end(thread: VALUE) -> VALUE {
        // SAFETY: as above.
        unsafe {
            rb_sys::rb_thread_kill(thread);
            while rb_funcallv(thread, rb_intern(c"alive?".as_ptr()), 0, std::ptr::null()) == QTRUE {
                let mut raised = 0;
                rb_sys::rb_protect(Some(wait), thread, &mut raised);
                if raised != 0 {
                    rb_sys::rb_set_errinfo(QNIL);
                }
            }
        }
        QNIL
    }
    unsafe extern "C" fn wait(thread: VALUE) -> VALUE {
        // SAFETY: as above.
        unsafe { rb_funcallv(thread, rb_intern(c"join".as_ptr()), 0, std::ptr::null()) }
    }
    unsafe extern "C" fn leave(permits: VALUE) -> VALUE {
        // SAFETY: as above.
        unsafe { rb_funcallv(permits, rb_intern(c"shift".as_ptr()), 0, std::ptr::null()) }
    }
    // SAFETY: Ruby calls it with the GVL held; nothing here has a destructor.
    unsafe {
        let permits = permits();
        rb_funcallv(permits, rb_intern(c"push".as_ptr()), 1, &work);
        rb_sys::rb_ensure(Some(run), work, Some(leave), permits)
    }
}

/// A queue that has room for as many as may run. A forked child has none of its parent's threads, and so one of its own.
unsafe fn permits() -> VALUE {
    static QUEUE: AtomicU64 = AtomicU64::new(QNIL);
    static FORKS: AtomicU64 = AtomicU64::new(u64::MAX);
    // SAFETY: called with the GVL held, so nobody else is here.
    unsafe {
        if FORKS.swap(local::forks().into(), Ordering::Relaxed) != u64::from(local::forks()) {
            let class = rb_sys::rb_path2class(c"Thread::SizedQueue".as_ptr());
            let queue = rb_sys::rb_class_new_instance(1, &rb_sys::LONG2NUM(OPERATIONS), class);
            rb_sys::rb_gc_register_mark_object(queue);
            QUEUE.store(queue, Ordering::Relaxed);
        }
        QUEUE.load(Ordering::Relaxed)
    }
}
