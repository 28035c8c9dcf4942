//! `Nyario.group`: tasks that end with the block that they were begun in.

use crate::fiber::{self, RAISED};
use crate::looped::{self, Looped, QNIL};
use crate::party::Party;
use crate::task::{self, cancel_one};
use crate::typed::{self, DataType, Typed};
use crate::{api, errors, raise};
use rb_sys::{VALUE, rb_errinfo, rb_gc_mark, rb_jump_tag, rb_set_errinfo};
use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its block runs.
    Open,
    /// The block has ended, the tasks have not.
    Waiting,
    /// What begins now is not to run.
    Cancelled,
    Ended,
}

pub(crate) struct Group {
    state: State,
    /// Those of its tasks that have not ended.
    tasks: Vec<VALUE>,
    /// What the first task that failed has raised, or nil.
    failure: VALUE,
    /// The fiber that runs the block, and what is raised there when a task has failed.
    owner: VALUE,
    unwinding: VALUE,
    waiter: Option<Party>,
    looped: *mut Looped,
    object: VALUE,
}

impl Typed for Group {
    const NAME: &'static CStr = c"Nyario::Group";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Group>();
        &TYPE
    };

    fn mark(&self) {
        // SAFETY: each is nil or a live object.
        unsafe {
            for &task in &self.tasks {
                rb_gc_mark(task);
            }
            for value in [self.failure, self.owner, self.unwinding, self.object] {
                rb_gc_mark(value);
            }
            if let Some(waiter) = &self.waiter {
                waiter.mark();
            }
        }
    }
}

static CLASS: OnceLock<VALUE> = OnceLock::new();

impl Group {
    /// One of its tasks has ended, with that error or nil. `true` when the group tells whoever waits for it.
    ///
    /// # Safety
    ///
    /// The GVL is held and nothing is borrowed.
    pub(crate) unsafe fn ended(this: VALUE, task: VALUE, error: VALUE) -> bool {
        // SAFETY: as above; no borrow outlives its statement.
        unsafe {
            let group = typed::unwrap::<Group>(this);
            (*group).tasks.retain(|&other| other != task);
            let first = error != QNIL && (*group).failure == QNIL && (*group).state != State::Ended;
            if first {
                (*group).failure = error;
                if (*group).state == State::Open && !(*(*group).looped).is_gone() {
                    (*(*group).looped).raise_in((*group).owner, (*group).unwinding);
                }
            }
            if let Some(waiter) = (*group).waiter {
                waiter.wake();
            }
            first
        }
    }
}

/// Cancels all that have not ended.
unsafe fn cancel_all(group: *mut Group) {
    // SAFETY: called with the GVL held; the list may change while a task is cancelled, and a task that cancels itself is
    // left for the last.
    unsafe {
        let mut own = QNIL;
        for task in (*group).tasks.clone() {
            if (*(*group).looped).runs(task) {
                own = task;
            } else {
                cancel_one(task);
            }
        }
        if own != QNIL {
            cancel_one(own);
        }
    }
}

/// `Nyario.group { |group| }`.
pub(crate) unsafe extern "C" fn group(_: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; nothing here has a destructor, no borrow outlives its statement, and the
    // group, which keeps the loop's memory, lies on this stack.
    unsafe {
        api::block();
        let looped = looped::running();
        let owner = rb_sys::rb_fiber_current();
        if looped.is_null() || owner == (*looped).root {
            raise::runtime("a group is for a fiber of a running loop: put it into Nyario.run { }");
        }
        let object = typed::wrap(
            *CLASS.get().expect("defined when the extension was loaded"),
            Group {
                state: State::Open,
                tasks: Vec::new(),
                failure: QNIL,
                owner,
                unwinding: QNIL,
                waiter: None,
                looped,
                object: (*looped).object,
            },
        );
        let group = typed::unwrap::<Group>(object);
        (*group).unwinding = errors::unwinding(rb_sys::rb_str_new_cstr(c"a task of the group failed".as_ptr()));
        let mut call = Call { object, left: true };
        let call = (&raw mut call) as VALUE;
        let value = rb_sys::rb_ensure(Some(run), call, Some(finish), call);
        if (*group).failure != QNIL {
            rb_sys::rb_exc_raise((*group).failure);
        }
        std::hint::black_box(object);
        value
    }
}

/// A call of [`group`].
struct Call {
    object: VALUE,
    /// Something that is not the group's own leaves the block.
    left: bool,
}

unsafe extern "C" fn run(call: VALUE) -> VALUE {
    unsafe extern "C" fn yield_to_block(object: VALUE) -> VALUE {
        // SAFETY: called below with the group's object.
        unsafe { rb_sys::rb_yield(object) }
    }
    unsafe extern "C" fn rescue(object: VALUE, error: VALUE) -> VALUE {
        // SAFETY: as above.
        unsafe {
            if error != (*typed::unwrap::<Group>(object)).unwinding {
                rb_sys::rb_exc_raise(error);
            }
        }
        QNIL
    }
    // SAFETY: it is the call above; may raise. The list of classes ends with a 0.
    unsafe {
        let call = call as *mut Call;
        let (object, class) = ((*call).object, errors::unwinding_class());
        let none: VALUE = 0;
        let value = rb_sys::rb_rescue2(Some(yield_to_block), object, Some(rescue), object, class, none);
        (*call).left = false;
        value
    }
}

/// Waits for all tasks; cancels them once something has been raised in the block, here, or by one of them. Of several
/// exceptions the first goes on its way: Ruby keeps what leaves the block.
unsafe extern "C" fn finish(call: VALUE) -> VALUE {
    // SAFETY: as in `group`.
    unsafe {
        let Call { object, left } = *(call as *const Call);
        let group = typed::unwrap::<Group>(object);
        let leaving = if left { rb_errinfo() } else { QNIL };
        (*(*group).looped).unraise((*group).unwinding);
        (*group).state = State::Waiting;
        let (mut tag, mut raised) = (0, QNIL);
        while !(*group).tasks.is_empty() {
            if (*group).state == State::Waiting && (left || tag != 0 || (*group).failure != QNIL) {
                (*group).state = State::Cancelled;
                cancel_all(group);
                continue;
            }
            let party = Party::here();
            (*group).waiter = Some(party);
            let waited = party.wait(0, "group", (*group).state == State::Cancelled);
            (*group).waiter = None;
            if party.is_gone() {
                if waited.tag == 0 {
                    raise::runtime("the loop of this fiber has ended");
                }
                rb_jump_tag(waited.tag);
            }
            if waited.tag != 0 && tag != RAISED {
                tag = waited.tag;
                raised = if tag == RAISED { rb_errinfo() } else { QNIL };
            }
        }
        (*group).state = State::Ended;
        let failure = (*group).failure;
        if failure != QNIL && (left || tag != 0) && leaving != failure && raised != failure {
            // Something else goes on its way.
            fiber::report("nyario: a task failed: ", failure);
        }
        if tag != 0 && !left {
            if tag == RAISED {
                rb_set_errinfo(raised);
            }
            rb_jump_tag(tag);
        }
        std::hint::black_box((object, leaving, raised));
        QNIL
    }
}

/// `spawn(name: nil) { }`.
unsafe extern "C" fn spawn(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments; no borrow outlives its statement.
    unsafe {
        let name = task::name_of(argc, argv);
        let block = api::block();
        let group = typed::unwrap::<Group>(this);
        if (*group).state == State::Ended {
            raise::runtime("the group has ended");
        }
        if (*group).looped != looped::running() {
            raise::runtime("a group begins tasks on its own loop only");
        }
        let task = task::spawn(block, name, this, false);
        (*group).tasks.push(task);
        if (*group).state == State::Cancelled {
            cancel_one(task);
        }
        task
    }
}

/// `cancel`.
unsafe extern "C" fn cancel(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe { cancel_all(typed::unwrap::<Group>(this)) };
    this
}

/// # Safety
///
/// Called when the extension is loaded.
pub(crate) unsafe fn define(nyario: VALUE) {
    // SAFETY: as above; each function has the signature of its arity.
    unsafe {
        let class = rb_sys::rb_define_class_under(nyario, c"Group".as_ptr(), rb_sys::rb_cObject);
        rb_sys::rb_undef_alloc_func(class);
        CLASS.get_or_init(|| class);
        api::method(class, c"spawn", spawn as *const (), -1);
        api::method(class, c"cancel", cancel as *const (), 0);
        api::singleton_method(nyario, c"group", group as *const (), 0);
    }
}
