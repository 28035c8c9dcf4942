//! `Nyario::Task`: a block that runs on a fiber of its own.

use crate::looped::{self, QFALSE, QNIL, QTRUE};
use crate::typed::{self, DataType, Typed};
use crate::{api, raise};
use magnus::{Class, Error, Module, RModule, Ruby};
use nyario_core::driver::{Op, OpId};
use nyario_core::runtime::Runtime;
use nyario_core::sys::Linux;
use rb_sys::VALUE;
use std::ffi::CStr;
use std::sync::OnceLock;

pub(crate) struct Task {
    pub(crate) value: VALUE,
    pub(crate) error: VALUE,
    ended: bool,
    /// The parks of those who wait for its end.
    joiners: Vec<OpId>,
    /// Which loop it runs on: nobody on another thread can wait for it.
    looped: u64,
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
            typed::mark_movable(self.value);
            typed::mark_movable(self.error);
        }
    }

    fn compact(&mut self) {
        // SAFETY: marked as movable.
        unsafe {
            typed::follow(&mut self.value);
            typed::follow(&mut self.error);
        }
    }
}

static CLASS: OnceLock<VALUE> = OnceLock::new();

impl Task {
    /// Wakes those who wait. `true` when nobody did.
    pub(crate) fn end(&mut self, runtime: &mut Runtime<Linux>) -> bool {
        self.ended = true;
        let alone = self.joiners.is_empty();
        for joiner in self.joiners.drain(..) {
            runtime.driver().complete(joiner, 0);
        }
        alone
    }
}

/// The Ruby object of a new task.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn create(looped: u64) -> VALUE {
    let task = Task { value: QNIL, error: QNIL, ended: false, joiners: Vec::new(), looped };
    // SAFETY: as above.
    unsafe { typed::wrap(*CLASS.get().expect("defined when the extension was loaded"), task) }
}

/// Waits for the task to end, on a fiber of its loop.
unsafe fn wait(this: VALUE) -> *mut Task {
    // SAFETY: called with the GVL held; no borrow and nothing with a destructor lives across the park.
    unsafe {
        let task = typed::unwrap::<Task>(this);
        while !(*task).ended {
            let looped = looped::running();
            if looped.is_null() || (*looped).id != (*task).looped {
                raise::runtime("a task can be waited for on a fiber of its own loop only");
            }
            if (*looped).runs(this) {
                raise::runtime("a task cannot wait for itself");
            }
            let joiners = &raw mut (*task).joiners;
            match looped::perform(looped, Op::Park, 0, |park| (*joiners).push(park)) {
                Some(result) if result < 0 => raise::system_call(result),
                Some(_) => {}
                None => raise::runtime("the loop's own fiber cannot wait for a task"),
            }
        }
        task
    }
}

unsafe extern "C" fn join(this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe { wait(this) };
    this
}

unsafe extern "C" fn value(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let task = wait(this);
        if (*task).error != QNIL {
            rb_sys::rb_exc_raise((*task).error);
        }
        (*task).value
    }
}

unsafe extern "C" fn is_alive(this: VALUE) -> VALUE {
    // SAFETY: as above.
    if unsafe { (*typed::unwrap::<Task>(this)).ended } { QFALSE } else { QTRUE }
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
        api::method(raw, c"join", join as *const (), 0);
        api::method(raw, c"value", value as *const (), 0);
        api::method(raw, c"alive?", is_alive as *const (), 0);
    }
    Ok(())
}
