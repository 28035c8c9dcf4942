//! Strings whose bytes the kernel may read or write.

use crate::embedded::{OUTSIDE, outside};
use crate::looped::{self, QNIL};
use rb_sys::{VALUE, rb_protect};

/// A string that nobody can change, on the holder's stack.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) string: VALUE,
    locked: bool,
}

impl Held {
    /// Holds nothing, and needs no release.
    pub(super) const NOTHING: Held = Held { string: QNIL, locked: false };

    /// Locks the string: whoever tries to modify it is told so. For a short one a copy stands in, and for one that another
    /// fiber or thread is writing already, and so has locked, one that shares the bytes.
    pub(super) unsafe fn new(string: VALUE) -> Held {
        unsafe extern "C" fn lock(string: VALUE) -> VALUE {
            // SAFETY: called below, with the GVL held.
            unsafe { rb_sys::rb_str_locktmp(string) }
        }
        // SAFETY: called with the GVL held; it is a String.
        unsafe {
            if rb_sys::RSTRING_LEN(string) as usize <= OUTSIDE {
                return Held { string: outside(string), locked: false };
            }
            if rb_sys::rb_obj_frozen_p(string) == looped::QTRUE {
                return Held { string, locked: false };
            }
            let mut state = 0;
            rb_protect(Some(lock), string, &mut state);
            if state == 0 {
                return Held { string, locked: true };
            }
            rb_sys::rb_set_errinfo(QNIL);
            Held { string: rb_sys::rb_str_new_frozen(string), locked: false }
        }
    }

    /// Locks a string that the kernel is to fill. Raises for one that is locked.
    pub(super) unsafe fn to_be_filled(string: VALUE) -> Held {
        // SAFETY: as above.
        unsafe { rb_sys::rb_str_locktmp(string) };
        Held { string, locked: true }
    }

    pub(super) unsafe fn release(&self) {
        // SAFETY: as above. Unlocking what is locked raises nothing.
        unsafe {
            if self.locked {
                rb_sys::rb_str_unlocktmp(self.string);
            }
        }
        std::hint::black_box(self.string);
    }
}
