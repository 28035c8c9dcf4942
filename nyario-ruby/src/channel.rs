//! `Nyario::Channel`: values from fiber to fiber, whatever loops and threads they run on.
//!
//! ```text
//!   push --> somebody waits in pop: the value is laid in their place, they are woken
//!        \-> there is room: it is queued
//!         \> else wait in line; whoever pops takes the value out of the place
//! ```
//!
//! What lies in a place has changed hands: if whoever it was for is interrupted before they go on, they hand it to the
//! next.

use crate::fiber::RAISED;
use crate::line::{Line, Turn};
use crate::looped::{QFALSE, QNIL, QTRUE};
use crate::party::Party;
use crate::typed::{self, DataType, Typed};
use crate::{api, keyword, moment, raise};
use rb_sys::{VALUE, rb_gc_mark, rb_jump_tag};
use std::collections::VecDeque;
use std::ffi::{CStr, c_int, c_long};

struct Channel {
    values: VecDeque<VALUE>,
    capacity: usize,
    closed: bool,
    /// Those who wait for a value. There are none while values are queued.
    takers: Line,
    /// Those who wait for room, with the value that they bring. There are none while there is room.
    givers: Line,
}

impl Typed for Channel {
    const NAME: &'static CStr = c"Nyario::Channel";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Channel>();
        &TYPE
    };

    fn mark(&self) {
        // SAFETY: each is a live object.
        unsafe {
            for &value in &self.values {
                rb_gc_mark(value);
            }
            self.takers.mark();
            self.givers.mark();
        }
    }
}

/// What became of an attempt that does not wait.
enum Tried {
    /// Done; somebody is to be woken, perhaps.
    Done(VALUE, Option<Party>),
    Closed,
    Wait,
}

impl Channel {
    fn try_push(&mut self, value: VALUE) -> Tried {
        if self.closed {
            return Tried::Closed;
        }
        if let Some(taker) = self.takers.serve(|place| *place = value) {
            return Tried::Done(QTRUE, Some(taker));
        }
        if self.values.len() >= self.capacity {
            return Tried::Wait;
        }
        self.values.push_back(value);
        Tried::Done(QTRUE, None)
    }

    fn try_pop(&mut self) -> Tried {
        let mut brought = QNIL;
        match self.values.pop_front() {
            Some(value) => {
                // One may be queued beyond what there is room for: see `give_back`.
                let room = self.values.len() < self.capacity;
                let giver = if room { self.givers.serve(|place| brought = *place) } else { None };
                if giver.is_some() {
                    self.values.push_back(brought);
                }
                Tried::Done(value, giver)
            }
            None => match self.givers.serve(|place| brought = *place) {
                Some(giver) => Tried::Done(brought, Some(giver)),
                None if self.closed => Tried::Closed,
                None => Tried::Wait,
            },
        }
    }

    /// Hands on a value that somebody was given and could not take.
    fn give_back(&mut self, value: VALUE) -> Option<Party> {
        let taker = self.takers.serve(|place| *place = value);
        if taker.is_none() {
            self.values.push_front(value);
        }
        taker
    }
}

unsafe extern "C" fn allocate(class: VALUE) -> VALUE {
    let channel =
        Channel { values: VecDeque::new(), capacity: 0, closed: false, takers: Line::new(), givers: Line::new() };
    // SAFETY: Ruby calls it with the GVL held.
    unsafe { typed::wrap(class, channel) }
}

unsafe extern "C" fn initialize(this: VALUE, capacity: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe {
        match usize::try_from(rb_sys::NUM2LONG(capacity)) {
            Ok(capacity) => (*typed::unwrap::<Channel>(this)).capacity = capacity,
            Err(_) => raise::argument("the capacity must be 0 or more"),
        }
    }
    QNIL
}

unsafe fn wake(party: Option<Party>) {
    if let Some(party) = party {
        // SAFETY: called with the GVL held, and no borrow.
        unsafe { party.wake() };
    }
}

unsafe fn refuse() -> ! {
    // SAFETY: called with the GVL held.
    unsafe { raise::of_class(c"ClosedQueueError", "the channel is closed") }
}

/// Which of the two lines.
#[derive(Clone, Copy)]
enum Side {
    Takers,
    Givers,
}

/// How a wait in line ended.
enum Ended {
    /// What lay in the place.
    Served(VALUE),
    Refused,
    TimeUp,
}

/// Waits in line. What is raised meanwhile goes on its way.
unsafe fn wait(channel: *mut Channel, side: Side, value: VALUE, until: u64) -> Ended {
    // SAFETY: called with the GVL held, by a method of the object, which is on the stack; no borrow outlives its statement,
    // and nothing here has a destructor.
    unsafe {
        let line = match side {
            Side::Takers => &raw mut (*channel).takers,
            Side::Givers => &raw mut (*channel).givers,
        };
        let party = Party::here();
        let place = (*line).enter(party, value);
        loop {
            let waited = party.wait(until, "channel", false);
            if party.is_gone() {
                // The place is no longer the caller's.
                if waited.tag != 0 {
                    rb_jump_tag(waited.tag);
                }
                raise::runtime("the loop of this fiber has ended");
            }
            let turn = (*line).turn(place);
            let over = waited.tag != 0 || waited.result <= 0;
            if turn == Turn::Waiting && !over {
                continue;
            }
            let value = (*line).leave(place);
            if waited.tag != 0 {
                if matches!((side, turn), (Side::Takers, Turn::Served)) {
                    let raised = if waited.tag == RAISED { rb_sys::rb_errinfo() } else { QNIL };
                    wake((*channel).give_back(value));
                    if waited.tag == RAISED {
                        // Whoever is woken may have run Ruby code that has rescued something.
                        rb_sys::rb_set_errinfo(raised);
                    }
                }
                rb_jump_tag(waited.tag);
            }
            return match turn {
                Turn::Served => Ended::Served(value),
                Turn::Refused => Ended::Refused,
                Turn::Waiting if waited.result < 0 => raise::system_call(waited.result),
                Turn::Waiting => Ended::TimeUp,
            };
        }
    }
}

/// Whether a time-out leaves no time to wait in.
unsafe fn is_zero(timeout: VALUE) -> bool {
    // SAFETY: called with the GVL held.
    timeout != QNIL && unsafe { moment::nanos(timeout) } == 0
}

/// `push(value, timeout: nil)`.
unsafe extern "C" fn push(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments; nothing here has a destructor.
    unsafe {
        let (&[value], timeout) = keyword::split(argc, argv, c"timeout") else {
            raise::argument("one value is to be pushed");
        };
        let channel = typed::unwrap::<Channel>(this);
        match (*channel).try_push(value) {
            Tried::Done(_, woken) => wake(woken),
            Tried::Closed => refuse(),
            Tried::Wait if is_zero(timeout) => return QNIL,
            Tried::Wait => match wait(channel, Side::Givers, value, moment::limit(timeout)) {
                Ended::Served(_) => {}
                Ended::Refused => refuse(),
                Ended::TimeUp => return QNIL,
            },
        }
    }
    this
}

unsafe extern "C" fn push_one(this: VALUE, value: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let channel = typed::unwrap::<Channel>(this);
        match (*channel).try_push(value) {
            Tried::Done(_, woken) => wake(woken),
            Tried::Closed => refuse(),
            Tried::Wait => {
                if let Ended::Refused = wait(channel, Side::Givers, value, 0) {
                    refuse();
                }
            }
        }
    }
    this
}

/// The next value, or `None` when the channel is closed and empty, or the time is up.
unsafe fn take(this: VALUE, timeout: VALUE) -> Option<VALUE> {
    // SAFETY: as above.
    unsafe {
        let channel = typed::unwrap::<Channel>(this);
        match (*channel).try_pop() {
            Tried::Done(value, woken) => {
                wake(woken);
                Some(value)
            }
            Tried::Closed => None,
            Tried::Wait if is_zero(timeout) => None,
            Tried::Wait => match wait(channel, Side::Takers, QNIL, moment::limit(timeout)) {
                Ended::Served(value) => Some(value),
                Ended::Refused | Ended::TimeUp => None,
            },
        }
    }
}

/// `pop(timeout: nil)`.
unsafe extern "C" fn pop(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let ([], timeout) = keyword::split(argc, argv, c"timeout") else {
            raise::argument("pop takes a time-out at most");
        };
        take(this, timeout).unwrap_or(QNIL)
    }
}

unsafe extern "C" fn each(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        if rb_sys::rb_block_given_p() == 0 {
            let each = rb_sys::rb_id2sym(rb_sys::rb_intern(c"each".as_ptr()));
            return rb_sys::rb_enumeratorize(this, each, 0, std::ptr::null());
        }
        while let Some(value) = take(this, QNIL) {
            rb_sys::rb_yield(value);
        }
    }
    this
}

unsafe extern "C" fn close(this: VALUE) -> VALUE {
    // SAFETY: as above; no borrow lives while somebody is woken.
    unsafe {
        let channel = typed::unwrap::<Channel>(this);
        (*channel).closed = true;
        loop {
            let refused = (*channel).takers.refuse().or_else(|| (*channel).givers.refuse());
            let Some(party) = refused else { return this };
            party.wake();
        }
    }
}

unsafe extern "C" fn is_closed(this: VALUE) -> VALUE {
    // SAFETY: as above.
    if unsafe { (*typed::unwrap::<Channel>(this)).closed } { QTRUE } else { QFALSE }
}

unsafe extern "C" fn size(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe { rb_sys::LONG2NUM((*typed::unwrap::<Channel>(this)).values.len() as c_long) }
}

/// # Safety
///
/// Called when the extension is loaded.
pub(crate) unsafe fn define(nyario: VALUE) {
    // SAFETY: as above; each function has the signature of its arity.
    unsafe {
        let class = rb_sys::rb_define_class_under(nyario, c"Channel".as_ptr(), rb_sys::rb_cObject);
        rb_sys::rb_define_alloc_func(class, Some(allocate));
        rb_sys::rb_include_module(class, rb_sys::rb_mEnumerable);
        api::method(class, c"initialize", initialize as *const (), 1);
        rb_sys::rb_undef_method(class, c"initialize_copy".as_ptr());
        api::method(class, c"push", push as *const (), -1);
        api::method(class, c"<<", push_one as *const (), 1);
        api::method(class, c"pop", pop as *const (), -1);
        api::method(class, c"each", each as *const (), 0);
        api::method(class, c"close", close as *const (), 0);
        api::method(class, c"closed?", is_closed as *const (), 0);
        api::method(class, c"size", size as *const (), 0);
    }
}
