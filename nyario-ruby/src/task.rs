//! `Nyario::Task`: a block that runs on a fiber of its own.

use crate::fiber;
use crate::group::Group;
use crate::line::Line;
use crate::looped::{self, Job, Looped, QFALSE, QNIL, QTRUE, Slot};
use crate::party::Party;
use crate::typed::{self, DataType, Typed};
use crate::{api, errors, keyword, moment, raise};
use magnus::{Class, Error, Module, RModule, Ruby};
use nyario_core::sys::{Kernel, Linux};
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its block has not begun.
    Ready,
    Begun,
    Finished,
    Failed,
    Cancelled,
}

pub(crate) struct Task {
    state: State,
    name: VALUE,
    value: VALUE,
    error: VALUE,
    /// What was last raised in it to cancel it, or nil.
    cancel: VALUE,
    /// Those who wait for its end.
    joiners: Line,
    /// The group that it is of, or nil.
    group: VALUE,
    /// Its failure ends the loop: it is the block of `Nyario.run`.
    is_main: bool,
    /// The loop that it runs on, which its object keeps, and its fiber's place there until it ends.
    looped: *mut Looped,
    object: VALUE,
    slot: Slot,
}

impl Typed for Task {
    const NAME: &'static CStr = c"Nyario::Task";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Task>();
        &TYPE
    };

    fn mark(&self) {
        // SAFETY: each is nil or a live object.
        unsafe {
            for value in [self.name, self.value, self.error, self.cancel, self.group, self.object] {
                typed::mark_movable(value);
            }
            self.joiners.mark();
        }
    }

    fn compact(&mut self) {
        // SAFETY: marked as movable.
        unsafe {
            for value in [&mut self.name, &mut self.value, &mut self.error, &mut self.cancel] {
                typed::follow(value);
            }
            typed::follow(&mut self.group);
            typed::follow(&mut self.object);
        }
    }
}

static CLASS: OnceLock<VALUE> = OnceLock::new();

/// Begins a task on the calling thread's loop, which is made if there is none.
///
/// # Safety
///
/// The GVL is held; nothing with a destructor is alive in the caller. May raise.
pub(crate) unsafe fn spawn(block: VALUE, name: VALUE, group: VALUE, is_main: bool) -> VALUE {
    // SAFETY: as above; no borrow outlives its statement. The block lies on this stack until the job holds it.
    unsafe {
        let name = if name == QNIL { QNIL } else { rb_sys::rb_str_new_frozen(rb_sys::rb_obj_as_string(name)) };
        let looped = match looped::get() {
            Ok(looped) => looped,
            Err(errno) => raise::system_call(errno.result()),
        };
        if (*looped).ending {
            raise::refused(c"the loop is ending");
        }
        let task = Task {
            state: State::Ready,
            name,
            value: QNIL,
            error: QNIL,
            cancel: QNIL,
            joiners: Line::new(),
            group,
            is_main,
            looped,
            object: (*looped).object,
            slot: 0,
        };
        let object = typed::wrap(*CLASS.get().expect("defined when the extension was loaded"), task);
        let Some(slot) = fiber::start(looped, Job::Run { block, task: object }) else {
            raise::runtime("no fiber can be made for the task");
        };
        (*typed::unwrap::<Task>(object)).slot = slot;
        (*looped).ready.push_back(slot);
        std::hint::black_box((block, object));
        object
    }
}

/// `Nyario.spawn(name: nil) { }`.
pub(crate) unsafe extern "C" fn spawn_one(argc: c_int, argv: *const VALUE, _: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe {
        let name = name_of(argc, argv);
        spawn(api::block(), name, QNIL, false)
    }
}

/// The arguments of whatever spawns.
///
/// # Safety
///
/// As [`keyword::split`].
pub(crate) unsafe fn name_of(argc: c_int, argv: *const VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        match keyword::split(argc, argv, c"name") {
            ([], name) => name,
            _ => raise::argument("spawn takes a name: and a block"),
        }
    }
}

impl Task {
    pub(crate) fn begin(&mut self) {
        self.state = State::Begun;
    }

    pub(crate) fn has_ended(&self) -> bool {
        !matches!(self.state, State::Ready | State::Begun)
    }

    pub(crate) fn finish(&mut self, value: VALUE) {
        self.value = value;
    }

    pub(crate) fn name(&self) -> VALUE {
        self.name
    }

    pub(crate) fn is_main(&self) -> bool {
        self.is_main
    }

    pub(crate) fn error(&self) -> VALUE {
        self.error
    }

    pub(crate) fn value(&self) -> VALUE {
        self.value
    }
}

/// Ends a task with what its block raised, or nil, and tells those who wait. `true` when somebody hears of a failure.
///
/// # Safety
///
/// The GVL is held and nothing is borrowed.
pub(crate) unsafe fn end(this: VALUE, error: VALUE) -> bool {
    // SAFETY: as above; the task lies on the caller's stack.
    unsafe {
        let task = typed::unwrap::<Task>(this);
        // One that another task's `value` has raised is a failure like any other.
        let cancelled = (*task).cancel != QNIL && errors::is_cancelled(error);
        (*task).error = error;
        (*task).state = match error {
            QNIL => State::Finished,
            _ if cancelled => State::Cancelled,
            _ => State::Failed,
        };
        let mut heard = (*task).is_main || cancelled || !(*task).joiners.is_empty();
        wake_joiners(task);
        if (*task).group != QNIL {
            heard |= Group::ended((*task).group, this, if cancelled { QNIL } else { error });
        }
        heard
    }
}

/// Tells those who wait for it, because it has ended or its loop has.
///
/// # Safety
///
/// The GVL is held and nothing is borrowed.
pub(crate) unsafe fn wake_joiners(task: *mut Task) {
    // SAFETY: as above; no borrow outlives its statement.
    unsafe {
        while let Some(joiner) = (*task).joiners.serve(|_| {}) {
            joiner.wake();
        }
    }
}

/// Raises `Nyario::Cancelled` in it, unless it has ended or that is on its way already. `false` when it had ended.
///
/// # Safety
///
/// The GVL is held, and nothing with a destructor is alive in the caller: the caller may be the task.
pub(crate) unsafe fn cancel_one(this: VALUE) -> bool {
    // SAFETY: as above; no borrow outlives its statement.
    unsafe {
        let task = typed::unwrap::<Task>(this);
        let looped = (*task).looped;
        if (*task).has_ended() || (*looped).is_gone() {
            return false;
        }
        if (*task).cancel != QNIL && (*looped).is_pending((*task).cancel) {
            return true;
        }
        let error = errors::cancelled();
        (*task).cancel = error;
        if (*task).state == State::Ready {
            // Its fiber finds nothing to do.
            end(this, error);
            return true;
        }
        if looped == looped::running() && (*looped).runs(this) {
            rb_sys::rb_exc_raise(error);
        }
        let fiber = (&(*looped).waiters)[(*task).slot as usize].fiber;
        (*looped).raise_in(fiber, error);
        if looped != looped::running() {
            (*looped).wake();
        }
        true
    }
}

/// Waits for the task to end: `false` when the time is up before.
unsafe fn wait(this: VALUE, timeout: VALUE) -> bool {
    // SAFETY: called with the GVL held; no borrow and nothing with a destructor lives across the wait.
    unsafe {
        let task = typed::unwrap::<Task>(this);
        let until = moment::limit(timeout);
        while !(*task).has_ended() {
            let looped = (*task).looped;
            if (*looped).is_gone() {
                raise::runtime("the loop of this task has ended without it");
            }
            if looped == looped::current() && !(*looped).running {
                raise::runtime("the loop of this task does not run: the thread would wait for itself");
            }
            if looped == looped::running() && (*looped).runs(this) {
                raise::runtime("a task cannot wait for itself");
            }
            if until != 0 && Linux.now() >= until {
                return false;
            }
            let party = Party::here();
            let place = (*task).joiners.enter(party, QNIL);
            let waited = party.wait(until, "task", false);
            if !party.is_gone() {
                (*task).joiners.leave(place);
            }
            if waited.tag != 0 {
                rb_jump_tag(waited.tag);
            }
            if waited.result < 0 && !(*task).has_ended() {
                raise::system_call(waited.result);
            }
        }
        true
    }
}

/// `join(timeout = nil)`.
unsafe extern "C" fn join(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe {
        let timeout = match api::arguments(argc, argv) {
            [] => QNIL,
            [timeout] => *timeout,
            _ => raise::argument("join takes a time-out at most"),
        };
        if wait(this, timeout) { this } else { QNIL }
    }
}

unsafe extern "C" fn value(this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe {
        wait(this, QNIL);
        let task = typed::unwrap::<Task>(this);
        if (*task).error != QNIL {
            rb_sys::rb_exc_raise((*task).error);
        }
        (*task).value
    }
}

unsafe extern "C" fn cancel(this: VALUE) -> VALUE {
    // SAFETY: as above.
    if unsafe { cancel_one(this) } { QTRUE } else { QFALSE }
}

unsafe extern "C" fn is_alive(this: VALUE) -> VALUE {
    // SAFETY: as above.
    if unsafe { (*typed::unwrap::<Task>(this)).has_ended() } { QFALSE } else { QTRUE }
}

unsafe extern "C" fn status(this: VALUE) -> VALUE {
    // SAFETY: as above; no borrow outlives its statement.
    unsafe {
        let task = typed::unwrap::<Task>(this);
        let looped = (*task).looped;
        let name = match (*task).state {
            State::Ready => c"ready",
            State::Finished => c"finished",
            State::Failed => c"failed",
            State::Cancelled => c"cancelled",
            // Its loop has left it behind.
            State::Begun if (*looped).is_gone() => c"waiting",
            State::Begun if (*looped).runs(this) => c"running",
            State::Begun if (*looped).waits((*task).slot) => c"waiting",
            State::Begun => c"ready",
        };
        rb_sys::rb_id2sym(rb_sys::rb_intern(name.as_ptr()))
    }
}

unsafe extern "C" fn name(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe { (*typed::unwrap::<Task>(this)).name }
}

unsafe extern "C" fn fiber(this: VALUE) -> VALUE {
    // SAFETY: as above; no borrow outlives its statement.
    unsafe {
        let task = typed::unwrap::<Task>(this);
        let looped = (*task).looped;
        if (*task).has_ended() || (*looped).is_gone() {
            return QNIL;
        }
        (&(*looped).waiters)[(*task).slot as usize].fiber
    }
}

pub(crate) fn define(ruby: &Ruby, nyario: RModule) -> Result<(), Error> {
    let class = nyario.define_class("Task", ruby.class_object())?;
    class.undef_default_alloc_func();
    let raw = {
        use magnus::rb_sys::AsRawValue;
        class.as_raw()
    };
    CLASS.get_or_init(|| raw);
    // SAFETY: each function has the signature of its arity.
    unsafe {
        api::method(raw, c"join", join as *const (), -1);
        api::method(raw, c"value", value as *const (), 0);
        api::method(raw, c"cancel", cancel as *const (), 0);
        api::method(raw, c"alive?", is_alive as *const (), 0);
        api::method(raw, c"status", status as *const (), 0);
        api::method(raw, c"name", name as *const (), 0);
        api::method(raw, c"fiber", fiber as *const (), 0);
    }
    Ok(())
}
