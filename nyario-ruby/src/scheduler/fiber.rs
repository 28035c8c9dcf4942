//! `Fiber.schedule`.

use super::loop_of;
use crate::fiber::{KILLED, end, take_error};
use crate::looped::{self, Job, Looped, NO_SLOT, QNIL, Waited};
use crate::raise;
use rb_sys::{VALUE, rb_jump_tag, rb_protect};
use std::ffi::c_int;

/// `fiber(**options, &block)`: runs the block on a Fiber of its own, at once, and returns the Fiber once that waits.
pub(super) unsafe extern "C" fn fiber(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments; nothing here has a destructor, and no borrow of the
    // loop lives while Ruby runs.
    unsafe {
        rb_sys::rb_need_block();
        let block = rb_sys::rb_block_proc();
        let looped = loop_of(this);
        if (*looped).ending {
            raise::system_call(-libc::ECANCELED);
        }
        // The loop's object is there so that the fiber, which may outlive the loop, keeps its memory.
        let both = rb_sys::rb_ary_new_from_args(2, block, (*looped).object);
        let body = rb_sys::rb_proc_new(Some(body), both);
        let class = rb_sys::rb_path2class(c"Fiber".as_ptr());
        let new = rb_sys::rb_intern(c"new".as_ptr());
        let keywords = rb_sys::rb_keyword_given_p();
        let fiber = rb_sys::rb_funcall_with_block_kw(class, new, argc, argv, body, keywords);
        let slot = (*looped).enter(fiber);
        (&mut (*looped).waiters)[slot as usize].job = Job::Scheduled;
        (*looped).jobs += 1;
        match looped::yield_to(looped, Some(slot)) {
            Some(Waited { tag, .. }) if tag != 0 => rb_jump_tag(tag),
            Some(_) => {}
            None => {
                // The root fiber gets control back when nobody else is to run.
                (*looped).ready.push_front(slot);
                (*looped).refill_chain();
                let tag = looped::give_way(looped, NO_SLOT);
                if tag != 0 {
                    rb_jump_tag(tag);
                }
            }
        }
        std::hint::black_box(body);
        fiber
    }
}

/// What such a fiber runs. When it ends, Ruby goes on with the thread's root fiber, and so with the loop.
unsafe extern "C" fn body(_: VALUE, both: VALUE, _: c_int, _: *const VALUE, _: VALUE) -> VALUE {
    unsafe extern "C" fn call(block: VALUE) -> VALUE {
        // SAFETY: called below, with the GVL held; may raise, under `rb_protect`.
        unsafe { rb_sys::rb_proc_call(block, rb_sys::rb_ary_new()) }
    }
    let looped: *mut Looped = looped::current();
    // SAFETY: Ruby runs it on the fiber that this loop has just transferred to; no borrow is held while Ruby runs.
    unsafe {
        let slot = (*looped).current;
        (*looped).arrive(slot);
        let mut state = 0;
        let value = rb_protect(Some(call), rb_sys::rb_ary_entry(both, 0), &mut state);
        std::hint::black_box(both);
        if (*looped).is_gone() {
            return if state == 0 { value } else { rb_jump_tag(state) };
        }
        let error = if state == 0 || state == KILLED { QNIL } else { take_error() };
        end(looped, slot, error, false);
        (*looped).leave(slot);
        (*looped).depart();
        if state == KILLED {
            rb_jump_tag(state);
        }
        value
    }
}
