//! Keyword arguments of methods that are defined natively.

use crate::looped::QNIL;
use rb_sys::{ID, VALUE};
use std::ffi::{CStr, c_int};

/// Splits the keywords off the arguments of the method that Ruby has just called: the value of each name, nil where it was
/// not given. Raises for a name that is not among them.
///
/// # Safety
///
/// Called from a method of arity -1 itself, with the GVL held, with the arguments that it got.
pub(crate) unsafe fn keywords<'a, const N: usize>(
    arguments: &'a [VALUE],
    names: [&CStr; N],
) -> (&'a [VALUE], [VALUE; N]) {
    let mut values = [QNIL; N];
    // SAFETY: as above; Ruby puts the keywords last, in a Hash of the call's own.
    unsafe {
        let Some((&hash, rest)) = arguments.split_last().filter(|_| rb_sys::rb_keyword_given_p() != 0) else {
            return (arguments, values);
        };
        let names: [ID; N] = names.map(|name| rb_sys::rb_intern(name.as_ptr()));
        rb_sys::rb_get_kwargs(hash, names.as_ptr(), 0, N as c_int, values.as_mut_ptr());
        let undefined = rb_sys::special_consts::Qundef as VALUE;
        (rest, values.map(|value| if value == undefined { QNIL } else { value }))
    }
}
