//! The one keyword that some methods know.

use crate::api;
use crate::looped::QNIL;
use rb_sys::VALUE;
use std::ffi::{CStr, c_int};

/// The arguments before the keywords, and the keyword's value: nil without it. Another keyword raises an ArgumentError.
///
/// # Safety
///
/// Called first thing in a method of arity -1, with its arguments; they must outlive the slice.
pub(crate) unsafe fn split<'a>(argc: c_int, argv: *const VALUE, name: &CStr) -> (&'a [VALUE], VALUE) {
    // SAFETY: as above.
    unsafe {
        let given = api::arguments(argc, argv);
        let [positional @ .., keywords] = given else { return (given, QNIL) };
        if rb_sys::rb_keyword_given_p() == 0 {
            return (given, QNIL);
        }
        let (id, mut value) = (rb_sys::rb_intern(name.as_ptr()), QNIL);
        rb_sys::rb_get_kwargs(*keywords, &id, 0, 1, &mut value);
        (positional, if value == rb_sys::special_consts::Qundef as VALUE { QNIL } else { value })
    }
}
