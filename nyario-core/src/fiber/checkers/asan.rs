//! AddressSanitizer is told of each switch before and after, and which stacks are nobody's.

use crate::fiber::stack::Slot;
use std::cell::Cell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

unsafe extern "C" {
    fn __sanitizer_start_switch_fiber(save: *mut *mut c_void, bottom: *const c_void, size: usize);
    fn __sanitizer_finish_switch_fiber(saved: *mut c_void, bottom: *mut *const c_void, size: *mut usize);
    fn __asan_poison_memory_region(at: *const c_void, size: usize);
    fn __asan_unpoison_memory_region(at: *const c_void, size: usize);
}

/// Reading or writing there is a mistake from now on.
pub(in crate::fiber) fn poison(low: usize, size: usize) {
    // SAFETY: the memory is ours and unused.
    unsafe { __asan_poison_memory_region(low as *const c_void, size) }
}

/// The memory may be used again.
pub(in crate::fiber) fn unpoison(low: usize, size: usize) {
    // SAFETY: the memory is ours.
    unsafe { __asan_unpoison_memory_region(low as *const c_void, size) }
}

/// A stack that is left, to be told of when it goes on.
pub(in crate::fiber) struct Left(*mut c_void);

/// From where to where the thread's own stack goes, on which the loop runs.
fn home() -> (*const c_void, usize) {
    thread_local!(static HOME: Cell<(*const c_void, usize)> = const { Cell::new((null(), 0)) });
    if HOME.get().0.is_null() {
        let (mut attributes, mut low, mut size) = (MaybeUninit::uninit(), null_mut(), 0);
        // SAFETY: the first call fills in what the others read and free.
        unsafe {
            libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr());
            libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut size);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
        }
        HOME.set((low, size));
    }
    HOME.get()
}

/// Stands before a switch to the stack of a fiber, or to the loop's; [`arrived`] stands behind it.
#[inline(always)]
pub(in crate::fiber) fn leave(slot: Option<Slot>) -> Left {
    let (low, size) = slot.map_or_else(home, |slot| (slot.low() as *const c_void, slot.size()));
    let mut save = null_mut();
    // SAFETY: the switch follows.
    unsafe { __sanitizer_start_switch_fiber(&mut save, low, size) };
    Left(save)
}

/// Stands before the last switch from a fiber, which leads to the loop.
#[inline(always)]
pub(in crate::fiber) fn leave_for_ever() {
    let (low, size) = home();
    // SAFETY: the switch follows.
    unsafe { __sanitizer_start_switch_fiber(null_mut(), low, size) };
}

/// Stands behind a switch that has come back.
#[inline(always)]
pub(in crate::fiber) fn arrived(left: Left) {
    // SAFETY: the switch is over.
    unsafe { __sanitizer_finish_switch_fiber(left.0, null_mut(), null_mut()) };
}

/// What a new stack begins with.
#[inline(always)]
pub(in crate::fiber) fn begun() {
    arrived(Left(null_mut()));
}
