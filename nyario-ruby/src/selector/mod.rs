//! `Nyario::Selector`: the core under somebody else's loop, by the interface that the selectors of io-event have.
//!
//! ```text
//!   async's loop (a fiber of its own)         a task
//!        | select  ------- transfer -------->  | io_read: nothing there
//!        |                                     | submit, park
//!        | <------------ transfer ------------ |
//!        | turn: the GVL is released while the kernel has nothing
//!        | its timers fire; select
//! ```
//!
//! Here the loop, its timers and its fibers are the host's: anybody may transfer to a fiber that waits, and ends its wait
//! by that. A thread may have several selectors, so each has a runtime of its own. No operation borrows memory, so none
//! has to be waited for when its fiber leaves.
//!
//! ```text
//!   park      how a fiber waits for an operation
//!   ready     who is to run without waiting for anything
//!   select    one round, and what ends its sleep
//!   events    io_wait
//!   transfer  io_read, io_write
//!   process   process_wait
//! ```

mod events;
mod park;
mod process;
mod ready;
mod select;
mod transfer;

use crate::looped::{QFALSE, QNIL, QTRUE};
use crate::typed::{self, DataType, Typed};
use crate::{api, raise, scheduler};
use magnus::RModule;
use nyario_core::driver::{BackendKind, Config, Driver, Waker};
use nyario_core::local;
use nyario_core::runtime::Runtime;
use nyario_core::sys::{Errno, Fd, Linux};
use park::Place;
use rb_sys::{VALUE, rb_gc_mark};
use ready::Entry;
use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the Ruby object carries. It is reached through a raw pointer, for moments at a time: no borrow may live across a
/// transfer or a call into Ruby. Other threads touch what is ready and whether it sleeps, with the GVL held.
struct Selector {
    /// The fiber that selects, to which whoever waits gives control.
    host: VALUE,
    /// Null before `initialize` and after `close`. A place of its own, as its thread uses it without the GVL.
    runtime: *mut Runtime<Linux>,
    waker: Option<Waker<Linux>>,
    /// Who made it: the native thread, and how often the process had forked.
    thread: u64,
    forks: u32,
    places: Vec<Place>,
    free: Vec<u32>,
    ready: VecDeque<Entry>,
    /// How many entries there have been.
    tickets: u64,
    /// How many fibers may still be told of their operations before the host goes on; 0 when it hands out nothing.
    round: usize,
    /// The host's thread waits without the GVL.
    sleeps: bool,
    /// Somebody ends that.
    woken: AtomicBool,
    /// How long the last call of `select` slept, in nanoseconds.
    idle: u64,
}

impl Selector {
    /// Begins to have something of the kernel.
    fn begin(&mut self, host: VALUE) -> Result<(), Errno> {
        let mut runtime = Runtime::new(Driver::new(Linux, &Config::from_env()?)?);
        self.waker = Some(runtime.driver().waker());
        self.runtime = Box::into_raw(Box::new(runtime));
        (self.host, self.thread, self.forks) = (host, this_thread(), local::forks());
        Ok(())
    }

    /// Gives back what it has of the kernel. The collector runs on any thread, and in forked children: a ring is its
    /// maker's alone.
    fn end(&mut self) {
        self.waker = None;
        let runtime = std::mem::replace(&mut self.runtime, null_mut());
        if runtime.is_null() {
            return;
        }
        // SAFETY: the box is the selector's own, and nobody uses it: who would holds the object.
        unsafe {
            let ring = (*runtime).backend() == BackendKind::Uring;
            if self.forks == local::forks() && (!ring || self.thread == this_thread()) {
                drop(Box::from_raw(runtime));
            }
        }
    }

    #[inline]
    fn is_open(&self) -> bool {
        !self.runtime.is_null() && self.forks == local::forks()
    }

    /// The runtime, unless it went while somebody waited.
    #[inline]
    fn runtime(&mut self) -> Option<&mut Runtime<Linux>> {
        // SAFETY: it is there while it is open; only its thread asks.
        if self.is_open() { Some(unsafe { &mut *self.runtime }) } else { None }
    }
}

/// Names the native thread among all that the process ever had.
fn this_thread() -> u64 {
    static THREADS: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NAME: Cell<u64> = const { Cell::new(0) };
    }
    if NAME.get() == 0 {
        NAME.set(THREADS.fetch_add(1, Ordering::Relaxed));
    }
    NAME.get()
}

impl Drop for Selector {
    fn drop(&mut self) {
        self.end();
    }
}

impl Typed for Selector {
    const NAME: &'static CStr = c"Nyario::Selector";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Selector>();
        &TYPE
    };

    fn mark(&self) {
        // SAFETY: each is nil or a live object.
        unsafe {
            rb_gc_mark(self.host);
            for place in &self.places {
                rb_gc_mark(place.fiber);
            }
            for entry in &self.ready {
                rb_gc_mark(entry.fiber);
            }
        }
    }
}

unsafe extern "C" fn allocate(class: VALUE) -> VALUE {
    let selector = Selector {
        host: QNIL,
        runtime: null_mut(),
        waker: None,
        thread: 0,
        forks: 0,
        places: Vec::new(),
        free: Vec::new(),
        ready: VecDeque::new(),
        tickets: 0,
        round: 0,
        sleeps: false,
        woken: AtomicBool::new(false),
        idle: 0,
    };
    // SAFETY: Ruby calls it with the GVL held.
    unsafe { typed::wrap(class, selector) }
}

/// The selector of a call that drives it, with its runtime: a call on the thread that made it, while it is open.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller: raises a RuntimeError otherwise.
#[inline]
unsafe fn open(this: VALUE) -> (*mut Selector, *mut Runtime<Linux>) {
    // SAFETY: as above.
    unsafe {
        let selector = typed::unwrap::<Selector>(this);
        if !(*selector).is_open() || (*selector).thread != this_thread() {
            refuse(selector);
        }
        (selector, (*selector).runtime)
    }
}

#[cold]
unsafe fn refuse(selector: *mut Selector) -> ! {
    // SAFETY: as above.
    unsafe {
        raise::runtime(match &*selector {
            Selector { runtime, .. } if runtime.is_null() => "the selector is closed",
            selector if !selector.is_open() => "the selector is the parent process's",
            _ => "the selector belongs to another thread",
        })
    }
}

/// `initialize(loop)`
unsafe extern "C" fn initialize(this: VALUE, host: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; nothing with a destructor is alive where it raises.
    unsafe {
        let selector = typed::unwrap::<Selector>(this);
        if rb_sys::rb_obj_is_fiber(host) == QFALSE {
            raise::argument("a selector is made with the fiber that is to call select");
        }
        if (*selector).host != QNIL {
            raise::runtime("the selector has been initialized");
        }
        if let Err(errno) = (*selector).begin(host) {
            raise::system_call(errno.result());
        }
        this
    }
}

unsafe extern "C" fn host(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe { (*typed::unwrap::<Selector>(this)).host }
}

unsafe extern "C" fn idle_duration(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe { rb_sys::rb_float_new((*typed::unwrap::<Selector>(this)).idle as f64 / 1e9) }
}

unsafe extern "C" fn is_closed(this: VALUE) -> VALUE {
    // SAFETY: as above.
    if unsafe { (*typed::unwrap::<Selector>(this)).is_open() } { QFALSE } else { QTRUE }
}

/// Gives back what it has of the kernel. Fibers that wait stay where they are.
unsafe extern "C" fn close(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        if is_closed(this) == QFALSE {
            (*open(this).0).end();
        }
    }
    QNIL
}

/// `io_close(descriptor)`
unsafe extern "C" fn io_close(this: VALUE, fd: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let fd = rb_sys::rb_num2int(fd) as Fd;
        let result = (*open(this).1).close_now(fd);
        if result < 0 {
            raise::system_call(result);
        }
    }
    QTRUE
}

pub(crate) fn define(nyario: RModule) {
    use magnus::rb_sys::AsRawValue;
    // SAFETY: called when the extension is loaded; each function has the signature of its arity.
    unsafe {
        let class = rb_sys::rb_define_class_under(nyario.as_raw(), c"Selector".as_ptr(), rb_sys::rb_cObject);
        select::define();
        furnish(class, scheduler::of_this_ruby());
        api::method(rb_sys::rb_singleton_class(class), c"of_ruby", of_ruby as *const (), 1);
        let name = rb_sys::rb_id2sym(rb_sys::rb_intern(c"of_ruby".as_ptr()));
        rb_sys::rb_funcallv(class, rb_sys::rb_intern(c"private_class_method".as_ptr()), 1, &name);
    }
}

/// Makes a class one of selectors for that Ruby.
unsafe fn furnish(class: VALUE, version: scheduler::Version) {
    let (read, write, arity) = if version < scheduler::SINGLE_TRANSFERS {
        (transfer::io_read as *const (), transfer::io_write as *const (), -1)
    } else {
        (transfer::io_read_4_1 as *const (), transfer::io_write_4_1 as *const (), 5)
    };
    let methods: &[(&CStr, *const (), i32)] = &[
        (c"initialize", initialize as *const (), 1),
        (c"loop", host as *const (), 0),
        (c"idle_duration", idle_duration as *const (), 0),
        (c"close", close as *const (), 0),
        (c"closed?", is_closed as *const (), 0),
        (c"transfer", ready::transfer as *const (), 0),
        (c"resume", ready::resume as *const (), -1),
        (c"yield", ready::yield_now as *const (), 0),
        (c"push", ready::push as *const (), 1),
        (c"raise", ready::raise as *const (), -1),
        (c"ready?", ready::is_ready as *const (), 0),
        (c"select", select::select as *const (), -1),
        (c"wakeup", select::wakeup as *const (), 0),
        (c"io_wait", events::io_wait as *const (), 3),
        (c"io_read", read, arity),
        (c"io_write", write, arity),
        (c"io_close", io_close as *const (), 1),
        (c"process_wait", process::process_wait as *const (), 3),
    ];
    // SAFETY: called with the GVL held; each function has the signature of its arity.
    unsafe {
        rb_sys::rb_define_alloc_func(class, Some(allocate));
        for &(name, function, arity) in methods {
            api::method(class, name, function, arity);
        }
    }
}

/// A class of selectors as another Ruby would have it. Private: it is how the orders of arguments are tested that no Ruby
/// at hand uses.
unsafe extern "C" fn of_ruby(_: VALUE, version: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe {
        let class = rb_sys::rb_class_new(rb_sys::rb_cObject);
        furnish(class, scheduler::parse(version));
        class
    }
}
