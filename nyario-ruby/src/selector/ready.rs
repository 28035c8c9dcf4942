//! Who is to run without waiting for anything: fibers, and whatever else knows `alive?` and `transfer`.

use super::{Selector, park};
use crate::looped::{QFALSE, QNIL, QTRUE};
use crate::typed;
use crate::{api, raise};
use rb_sys::{VALUE, rb_fiber_current, rb_intern, rb_jump_tag, rb_protect};
use std::ffi::c_int;

pub(super) struct Entry {
    ticket: u64,
    pub(super) fiber: VALUE,
}

impl Selector {
    /// Lets the fiber run in the next round. The ticket takes that back.
    pub(super) fn queue(&mut self, fiber: VALUE) -> u64 {
        self.tickets += 1;
        self.ready.push_back(Entry { ticket: self.tickets, fiber });
        self.tickets
    }

    pub(super) fn unqueue(&mut self, ticket: u64) {
        // It has had its turn, as a rule; and if not, it came lately.
        if self.ready.front().is_some_and(|first| first.ticket <= ticket)
            && let Some(at) = self.ready.iter().rposition(|entry| entry.ticket == ticket)
        {
            self.ready.remove(at);
        }
    }

    /// The next of those who came no later than `last`.
    fn next_ready(&mut self, last: u64) -> Option<VALUE> {
        if self.ready.front()?.ticket > last {
            return None;
        }
        self.ready.pop_front().map(|entry| entry.fiber)
    }
}

/// Runs those who are ready; who becomes so meanwhile waits for the next round. How many those were.
///
/// # Safety
///
/// The GVL is held, the caller is the host, and holds no borrow of the selector and nothing with a destructor; may raise.
pub(super) unsafe fn flush(selector: *mut Selector) -> usize {
    // SAFETY: as above.
    unsafe {
        let last = (*selector).tickets;
        let mut count = 0;
        while let Some(fiber) = (*selector).next_ready(last) {
            count += 1;
            transfer_to(fiber, &[], 0);
        }
        count
    }
}

/// Transfers to a fiber, or to what pretends to be one: what came back. One that has ended is left alone.
///
/// # Safety
///
/// The GVL is held; may raise.
pub(super) unsafe fn transfer_to(fiber: VALUE, arguments: &[VALUE], keywords: c_int) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let (argc, argv) = (arguments.len() as c_int, arguments.as_ptr());
        if rb_sys::rb_obj_is_fiber(fiber) == QTRUE {
            if rb_sys::rb_fiber_alive_p(fiber) == QFALSE {
                return QNIL;
            }
            return rb_sys::rb_fiber_transfer_kw(fiber, argc, argv, keywords);
        }
        let alive = rb_sys::rb_funcallv(fiber, rb_intern(c"alive?".as_ptr()), 0, std::ptr::null());
        if alive == QFALSE || alive == QNIL {
            return QNIL;
        }
        rb_sys::rb_funcallv_kw(fiber, rb_intern(c"transfer".as_ptr()), argc, argv, keywords)
    }
}

/// What [`step_aside`] does.
struct Step<'a> {
    fiber: VALUE,
    arguments: &'a [VALUE],
    keywords: c_int,
    raises: bool,
}

/// Transfers to another fiber, or raises in it, and has the caller's own turn come again in the next round.
unsafe fn step_aside(this: VALUE, step: &Step) -> VALUE {
    unsafe extern "C" fn go(step: VALUE) -> VALUE {
        // SAFETY: it is the step above, on the caller's stack; may raise, under `rb_protect`.
        unsafe {
            let Step { fiber, arguments, keywords, raises } = *(step as *const Step);
            if !raises {
                return transfer_to(fiber, arguments, keywords);
            }
            let (argc, argv) = (arguments.len() as c_int, arguments.as_ptr());
            rb_sys::rb_funcallv_kw(fiber, rb_intern(c"raise".as_ptr()), argc, argv, keywords)
        }
    }
    // SAFETY: called with the GVL held, without a borrow of the selector.
    unsafe {
        let selector = typed::unwrap::<Selector>(this);
        let ticket = (*selector).queue(rb_fiber_current());
        let mut tag = 0;
        let value = rb_protect(Some(go), std::ptr::from_ref(step) as VALUE, &mut tag);
        (*selector).unqueue(ticket);
        std::hint::black_box(this);
        if tag != 0 {
            rb_jump_tag(tag);
        }
        value
    }
}

/// `transfer`: gives control to the loop.
pub(super) unsafe extern "C" fn transfer(this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe { park::to_the_host(typed::unwrap::<Selector>(this)) }
}

/// `yield`: the same, and goes on in the next round.
pub(super) unsafe extern "C" fn yield_now(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let fiber = (*typed::unwrap::<Selector>(this)).host;
        step_aside(this, &Step { fiber, arguments: &[], keywords: 0, raises: false })
    }
}

/// `resume(fiber, *arguments)`
pub(super) unsafe extern "C" fn resume(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: as above, with `argc` arguments.
    unsafe {
        let [fiber, arguments @ ..] = api::arguments(argc, argv) else {
            raise::argument("resume takes a fiber, and what to hand it");
        };
        let keywords = rb_sys::rb_keyword_given_p();
        step_aside(this, &Step { fiber: *fiber, arguments, keywords, raises: false })
    }
}

/// `raise(fiber, *arguments, **options)`
pub(super) unsafe extern "C" fn raise(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let [fiber, arguments @ ..] = api::arguments(argc, argv) else {
            raise::argument("raise takes a fiber, and what to raise in it");
        };
        let keywords = rb_sys::rb_keyword_given_p();
        step_aside(this, &Step { fiber: *fiber, arguments, keywords, raises: true })
    }
}

/// `push(fiber)`, from any thread.
pub(super) unsafe extern "C" fn push(this: VALUE, fiber: VALUE) -> VALUE {
    // SAFETY: as above. Whoever holds the GVL may touch what is ready: while the host's thread sleeps without it, it touches
    // the runtime alone.
    unsafe { (*typed::unwrap::<Selector>(this)).queue(fiber) };
    QNIL
}

/// `ready?`
pub(super) unsafe extern "C" fn is_ready(this: VALUE) -> VALUE {
    // SAFETY: as above.
    if unsafe { (*typed::unwrap::<Selector>(this)).ready.is_empty() } { QFALSE } else { QTRUE }
}
