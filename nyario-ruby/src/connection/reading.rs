//! Reading from a connection.

use crate::io::{self, End, Source};
use crate::looped::{QFALSE, QNIL};
use crate::{api, raise};
use rb_sys::VALUE;
use std::ffi::c_int;

unsafe extern "C" fn read(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe { io::read_from(Source::of_connection(this), api::arguments(argc, argv)) }
}

unsafe extern "C" fn readpartial(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        if argc == 0 {
            raise::argument("readpartial takes a length, and perhaps a String");
        }
        match io::read_from(Source::of_connection(this), api::arguments(argc, argv)) {
            QNIL => raise::of_class(c"EOFError", "end of file reached"),
            text => text,
        }
    }
}

unsafe extern "C" fn read_exactly(this: VALUE, count: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe { io::read_exactly(Source::of_connection(this), count) }
}

unsafe extern "C" fn read_until(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let (arguments, [limit]) = io::keywords(api::arguments(argc, argv), [c"limit"]);
        let [separator] = arguments else { raise::argument("read_until takes a separator, and perhaps limit:") };
        io::read_until(Source::of_connection(this), *separator, limit, End::Breaks, false)
    }
}

/// How [`gets`] and [`each_line`] are asked to read a line.
#[derive(Clone, Copy)]
struct Line {
    separator: VALUE,
    limit: VALUE,
    chomp: bool,
}

impl Line {
    unsafe fn of(arguments: &[VALUE]) -> Line {
        // SAFETY: called from those methods themselves, with their arguments.
        unsafe {
            let (arguments, [limit, chomp]) = io::keywords(arguments, [c"limit", c"chomp"]);
            let separator = match arguments {
                [] => rb_sys::rb_default_rs,
                [separator] => *separator,
                _ => raise::argument("a separator at most, limit: and chomp:"),
            };
            Line { separator, limit, chomp: chomp != QNIL && chomp != QFALSE }
        }
    }

    unsafe fn read(self, this: VALUE) -> VALUE {
        // SAFETY: called with the GVL held.
        unsafe {
            let source = Source::of_connection(this);
            io::read_until(source, self.separator, self.limit, End::Closes, self.chomp)
        }
    }
}

unsafe extern "C" fn gets(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe { Line::of(api::arguments(argc, argv)).read(this) }
}

unsafe extern "C" fn each_line(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: as above; nothing here has a destructor, and the separator lies on this stack.
    unsafe {
        if rb_sys::rb_block_given_p() == 0 {
            let name = rb_sys::rb_id2sym(rb_sys::rb_intern(c"each_line".as_ptr()));
            return rb_sys::rb_enumeratorize_with_size_kw(this, name, argc, argv, None, rb_sys::rb_keyword_given_p());
        }
        let line = Line::of(api::arguments(argc, argv));
        loop {
            match line.read(this) {
                QNIL => break,
                text => rb_sys::rb_yield(text),
            };
        }
        std::hint::black_box(line.separator);
    }
    this
}

/// # Safety
///
/// It is the class of connections.
pub(super) unsafe fn define(class: VALUE) {
    // SAFETY: as above; each function has the signature of its arity.
    unsafe {
        api::method(class, c"read", read as *const (), -1);
        api::method(class, c"readpartial", readpartial as *const (), -1);
        api::method(class, c"read_exactly", read_exactly as *const (), 1);
        api::method(class, c"read_until", read_until as *const (), -1);
        api::method(class, c"gets", gets as *const (), -1);
        api::method(class, c"each_line", each_line as *const (), -1);
    }
}
