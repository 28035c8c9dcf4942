//! `IO.select`.

use super::{deadline, loop_of};
use crate::looped::{self, Job, Looped, QNIL, Slot, Waited};
use crate::{api, raise};
use nyario_core::driver::{Op, Submitted};
use nyario_core::sys::{Fd, Kernel, Linux};
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::{c_int, c_long};

/// What each of the three lists asks for, and what answers it: an end or an error, too.
const SIDES: [(i16, i16); 3] = [
    (libc::POLLIN, libc::POLLIN | libc::POLLHUP | libc::POLLERR),
    (libc::POLLOUT, libc::POLLOUT | libc::POLLERR),
    (libc::POLLPRI, libc::POLLPRI),
];

/// One call.
struct Call {
    looped: *mut Looped,
    lists: [VALUE; 3],
    /// The slots of what is watched, as Ruby's Integers: an exception may leave this call, and an array needs no
    /// destructor.
    watched: VALUE,
    until: u64,
}

/// `io_select(readables, writables = nil, exceptables = nil, timeout = nil)`: those that are ready, in three arrays; nil when the time is up.
pub(super) unsafe extern "C" fn io_select(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments; nothing here has a destructor.
    unsafe {
        let given = api::arguments(argc, argv);
        let [r, w, e, timeout] = std::array::from_fn(|index| given.get(index).copied().unwrap_or(QNIL));
        let lists = [r, w, e];
        let ready = ready(&lists);
        if ready != QNIL || (timeout != QNIL && rb_sys::NUM2DBL(timeout) <= 0.0) {
            return ready;
        }
        let looped = loop_of(this);
        let until = deadline(timeout);
        let call = Call { looped, lists, watched: rb_sys::rb_ary_new(), until };
        let call = (&raw const call) as VALUE;
        rb_sys::rb_ensure(Some(wait), call, Some(forget), call);
        ready_now(call)
    }
}

unsafe fn ready_now(call: VALUE) -> VALUE {
    // SAFETY: it is the call above.
    unsafe { ready(&(*(call as *const Call)).lists) }
}

unsafe extern "C" fn wait(call: VALUE) -> VALUE {
    // SAFETY: it is the call above, on whose stack the lists lie; a poll borrows nothing.
    unsafe {
        let Call { looped, lists, watched, until } = *(call as *const Call);
        let fiber = rb_sys::rb_fiber_current();
        let mut over = false;
        each(&lists, |side, _, fd| {
            let slot = (*looped).enter(QNIL);
            rb_sys::rb_ary_push(watched, rb_sys::LONG2NUM(c_long::from(slot)));
            (&mut (*looped).waiters)[slot as usize].job = Job::Watch { fiber };
            let op = Op::Poll { fd, events: SIDES[side].0 as u32 };
            over |= matches!((*looped).submit(slot, op, 0), Submitted::Done(_));
        });
        if over {
            return QNIL;
        }
        match looped::block(looped, until) {
            None => raise::runtime("the loop's own fiber cannot wait"),
            Some(Waited { tag, .. }) if tag != 0 => rb_jump_tag(tag),
            Some(_) => QNIL,
        }
    }
}

unsafe extern "C" fn forget(call: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let Call { looped, watched, .. } = *(call as *const Call);
        if !(*looped).is_gone() {
            for index in 0..rb_sys::RARRAY_LEN(watched) {
                let slot = rb_sys::NUM2LONG(rb_sys::rb_ary_entry(watched, index as c_long)) as Slot;
                (*looped).forget(slot);
                (*looped).leave(slot);
            }
        }
    }
    QNIL
}

/// Runs the block for each element of each list: the list's index, the element, and its descriptor. May raise.
unsafe fn each(lists: &[VALUE; 3], mut work: impl FnMut(usize, VALUE, Fd)) {
    // SAFETY: called with the GVL held; the lists lie on the caller's stack.
    unsafe {
        for (side, &list) in lists.iter().enumerate() {
            let mut index = 0;
            while list != QNIL && index < rb_sys::RARRAY_LEN(list) as c_long {
                let element = rb_sys::rb_ary_entry(list, index);
                work(side, element, rb_sys::rb_io_descriptor(rb_sys::rb_io_get_io(element)));
                index += 1;
            }
        }
    }
}

/// Those that are ready now, in three arrays, or nil. What Ruby has read ahead of an IO makes it readable.
unsafe fn ready(lists: &[VALUE; 3]) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let found = [rb_sys::rb_ary_new(), rb_sys::rb_ary_new(), rb_sys::rb_ary_new()];
        let mut some = false;
        each(lists, |side, element, fd| {
            let (events, answers) = SIDES[side];
            let mut fds = [libc::pollfd { fd, events, revents: 0 }];
            if (side == 0 && holds_bytes(element))
                || (Linux.poll(&mut fds, Some(0)) > 0 && fds[0].revents & answers != 0)
            {
                some = true;
                rb_sys::rb_ary_push(found[side], element);
            }
        });
        if some { rb_sys::rb_ary_new_from_values(3, found.as_ptr()) } else { QNIL }
    }
}

/// Whether Ruby has read ahead.
unsafe fn holds_bytes(element: VALUE) -> bool {
    // SAFETY: as above; every IO has the structure behind it, as its descriptor was just found there.
    unsafe {
        let io = rb_sys::rb_io_get_io(element);
        let file = (*(io as *const rb_sys::RFile)).fptr;
        rb_sys::rb_io_read_pending(file.cast()) != 0
    }
}
