//! Writing to a connection.

use crate::api;
use crate::io::{self, Source};
use crate::looped::QTRUE;
use rb_sys::VALUE;
use std::ffi::c_int;

unsafe extern "C" fn write(argc: c_int, argv: *const VALUE, this: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe { io::write_to(Source::of_connection(this), api::arguments(argc, argv)) }
}

unsafe extern "C" fn append(this: VALUE, string: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe { io::write_to(Source::of_connection(this), &[string]) };
    this
}

unsafe extern "C" fn flush(this: VALUE) -> VALUE {
    this
}

unsafe extern "C" fn is_sync(_: VALUE) -> VALUE {
    QTRUE
}

unsafe extern "C" fn set_sync(_: VALUE, sync: VALUE) -> VALUE {
    sync
}

/// # Safety
///
/// It is the class of connections.
pub(super) unsafe fn define(class: VALUE) {
    // SAFETY: as above; each function has the signature of its arity. Ruby's own `print` and `puts` serve whatever has a
    // `write`.
    unsafe {
        api::method(class, c"write", write as *const (), -1);
        api::method(class, c"<<", append as *const (), 1);
        api::method(class, c"print", rb_sys::rb_io_print as *const (), -1);
        api::method(class, c"puts", rb_sys::rb_io_puts as *const (), -1);
        api::method(class, c"flush", flush as *const (), 0);
        api::method(class, c"sync", is_sync as *const (), 0);
        api::method(class, c"sync=", set_sync as *const (), 1);
    }
}
