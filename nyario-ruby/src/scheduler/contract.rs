//! Which hooks there are, and what they are given: that has changed from Ruby to Ruby.
//!
//! ```text
//!            io_read, io_write            io_pread, io_pwrite                length
//!   3.1      (io, buffer, length)         (io, buffer, length, from)         at least, 0: one try
//!   3.2      (.., length, offset)         (.., from, length, offset)         the same
//!   4.1      (.., offset, length)         (.., from, offset, length)         at most, one try, 0: nothing
//! ```
//!
//! A hook that a Ruby calls wrongly is not there in that Ruby, which then does without. Ruby passes the arguments of
//! another version on without a word, so nothing here guesses from how many there are.

use super::{fiber, interrupt, names, offload, positional, process, select, sleep, timeout, transfer, wait};
use crate::api;
use rb_sys::VALUE;
use std::ffi::CStr;

/// A version of Ruby: that of 3.3.1 is 30301.
pub(crate) type Version = u32;

const ALWAYS: Version = 0;
const FOR_EVER: Version = Version::MAX;

/// In 3.1 Ruby gives `io_pwrite` a place in the file that it has garbled.
const SOUND_PWRITE: Version = 3_02_00;
/// Before it Ruby's own buffering of writes is not ready for `io_write`.
const SOUND_WRITE: Version = 3_03_01;
const SELECT: Version = 3_02_00;
const CLOSE: Version = 4_00_00;
const OFFSETS: Version = 3_02_00;
pub(crate) const SINGLE_TRANSFERS: Version = 4_01_00;

/// A method of the class in the Rubies from `since` to before `until`.
struct Hook {
    name: &'static CStr,
    function: *const (),
    arity: i32,
    since: Version,
    until: Version,
}

const fn hook(name: &'static CStr, function: *const (), arity: i32, since: Version, until: Version) -> Hook {
    Hook { name, function, arity, since, until }
}

/// Defines the hooks of that Ruby.
///
/// # Safety
///
/// The GVL is held, and the class is one of schedulers.
pub(super) unsafe fn define(class: VALUE, version: Version) {
    let hooks = [
        hook(c"fiber", fiber::fiber as *const (), -1, ALWAYS, FOR_EVER),
        hook(c"kernel_sleep", sleep::kernel_sleep as *const (), -1, ALWAYS, FOR_EVER),
        hook(c"block", sleep::block as *const (), -1, ALWAYS, FOR_EVER),
        hook(c"unblock", sleep::unblock as *const (), 2, ALWAYS, FOR_EVER),
        hook(c"yield", sleep::yield_now as *const (), 0, ALWAYS, FOR_EVER),
        hook(c"io_wait", wait::io_wait as *const (), -1, ALWAYS, FOR_EVER),
        hook(c"io_read", transfer::io_read_3_1 as *const (), 3, ALWAYS, OFFSETS),
        hook(c"io_read", transfer::io_read_3_2 as *const (), 4, OFFSETS, SINGLE_TRANSFERS),
        hook(c"io_read", transfer::io_read_4_1 as *const (), 4, SINGLE_TRANSFERS, FOR_EVER),
        hook(c"io_write", transfer::io_write_3_2 as *const (), 4, SOUND_WRITE, SINGLE_TRANSFERS),
        hook(c"io_write", transfer::io_write_4_1 as *const (), 4, SINGLE_TRANSFERS, FOR_EVER),
        hook(c"io_pread", positional::io_pread_3_1 as *const (), 4, ALWAYS, OFFSETS),
        hook(c"io_pread", positional::io_pread_3_2 as *const (), 5, OFFSETS, SINGLE_TRANSFERS),
        hook(c"io_pread", positional::io_pread_4_1 as *const (), 5, SINGLE_TRANSFERS, FOR_EVER),
        hook(c"io_pwrite", positional::io_pwrite_3_2 as *const (), 5, SOUND_PWRITE, SINGLE_TRANSFERS),
        hook(c"io_pwrite", positional::io_pwrite_4_1 as *const (), 5, SINGLE_TRANSFERS, FOR_EVER),
        hook(c"io_select", select::io_select as *const (), -1, SELECT, FOR_EVER),
        hook(c"io_close", transfer::io_close as *const (), 1, CLOSE, FOR_EVER),
        hook(c"timeout_after", timeout::timeout_after as *const (), -1, ALWAYS, FOR_EVER),
        hook(c"fiber_interrupt", interrupt::fiber_interrupt as *const (), 2, ALWAYS, FOR_EVER),
        hook(c"process_wait", process::process_wait as *const (), 2, ALWAYS, FOR_EVER),
        hook(c"address_resolve", names::address_resolve as *const (), 1, ALWAYS, FOR_EVER),
        hook(c"blocking_operation_wait", offload::blocking_operation_wait as *const (), 1, ALWAYS, FOR_EVER),
    ];
    for hook in hooks.iter().filter(|hook| (hook.since..hook.until).contains(&version)) {
        // SAFETY: as above; each function has the signature of its arity.
        unsafe { api::method(class, hook.name, hook.function, hook.arity) };
    }
}

/// The Ruby that this process runs: one library serves all of a minor version, so it is asked when it is loaded.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn of_this_ruby() -> Version {
    // SAFETY: as above; both are Ruby's own constants, the latter there since 4.1.
    unsafe {
        let text = rb_sys::rb_const_get(rb_sys::rb_cObject, rb_sys::rb_intern(c"RUBY_VERSION".as_ptr()));
        let version = parse(text);
        let buffer = rb_sys::rb_path2class(c"IO::Buffer".as_ptr());
        let name = rb_sys::rb_intern(c"VERSION".as_ptr());
        if version < SINGLE_TRANSFERS || rb_sys::rb_const_defined(buffer, name) == 0 {
            // A 4.1 in the making that has not changed it yet.
            return version.min(SINGLE_TRANSFERS - 1);
        }
        version
    }
}

/// Reads a version as Ruby writes it, in a String; what is missing of it is 0.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn parse(text: VALUE) -> Version {
    let mut text = text;
    // SAFETY: as above; the String lies on this stack, and its bytes are not kept.
    let bytes = unsafe { CStr::from_ptr(rb_sys::rb_string_value_cstr(&mut text)).to_bytes() };
    let mut parts = bytes.split(|&byte| byte == b'.').map(|part| {
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |number: Version, digit| number * 10 + Version::from(digit - b'0'))
    });
    let mut part = || parts.next().unwrap_or(0).min(99);
    part() * 10_000 + part() * 100 + part()
}
