//! Reading up to a separator.

use super::gather::gather;
use super::more::{more, wait};
use super::source::Source;
use crate::looped::{self, QNIL};
use crate::{api, raise};
use rb_sys::VALUE;
use std::cell::Cell;
use std::ffi::{c_char, c_int, c_long, c_void};

/// The most bytes that may come before the separator has, unless the caller says otherwise.
pub(crate) const LIMIT: usize = 65_536;

/// What the end of the stream means in the middle of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The line is broken.
    Breaks,
    /// It ends the line as well.
    Closes,
}

/// `Nyario.read_until`.
pub(super) unsafe extern "C" fn until(argc: c_int, argv: *const VALUE, _: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments.
    unsafe {
        let (arguments, [limit]) = super::keywords(api::arguments(argc, argv), [c"limit"]);
        match arguments {
            [source, separator] => {
                let source = Source::of(*source);
                source.insist_on_an_object();
                read_until(source, *separator, limit, End::Breaks, false)
            }
            _ => raise::argument("Nyario.read_until takes a connection, a separator, and perhaps limit:"),
        }
    }
}

/// Reads up to and with the separator, or without it: nil at the end. What has come after it is kept for the next read.
/// `limit` is the caller's, or nil.
///
/// # Safety
///
/// Called from Ruby, with the GVL held; the source is a connection or an IO.
pub(crate) unsafe fn read_until(source: Source, separator: VALUE, limit: VALUE, end: End, chomp: bool) -> VALUE {
    // SAFETY: as above; no borrow of the loop, the separator or the buffer lives across a wait or a call that makes a
    // String.
    unsafe {
        let separator = rb_sys::rb_str_to_str(separator);
        let limit = match limit {
            QNIL => LIMIT,
            limit => match usize::try_from(rb_sys::NUM2LONG(limit)) {
                Ok(limit) if limit > 0 => limit,
                _ => raise::argument("the limit must be above 0"),
            },
        };
        if rb_sys::RSTRING_LEN(separator) == 0 {
            raise::argument("the separator must not be empty");
        }
        if !source.is_connection() {
            return until_in_io(source, separator, limit);
        }
        let looped = looped::running();
        let dropped = |found: usize| if chomp { found - rb_sys::RSTRING_LEN(separator) as usize } else { found };
        let (mut searched, mut changes, mut deadline) = (0, 0, 0);
        if source.ahead().is_none() && (*looped).runtime.driver().would_wait(source.fd) {
            wait(looped, source, &mut deadline);
        }
        if source.ahead().is_none() {
            // Nothing is copied that the separator follows where it was received.
            let held = (*looped).runtime.driver().peek(source.fd);
            if let Some(found) = find(held, 0, separator).filter(|&found| found <= limit) {
                let text = rb_sys::rb_str_new(held.as_ptr().cast::<c_char>(), dropped(found) as c_long);
                (*looped).runtime.driver().consume(source.fd, found);
                return text;
            }
        }
        loop {
            let buffer = source.buffer();
            if buffer.changes() != changes {
                (searched, changes) = (0, buffer.changes());
            }
            let bytes = buffer.as_slice();
            let found = find(bytes, searched, separator);
            if found.map_or(bytes.len() >= limit, |found| found > limit) {
                raise::of_class(c"Nyario::LimitError", TOO_LONG);
            }
            if let Some(found) = found {
                let text = rb_sys::rb_str_new(bytes.as_ptr().cast::<c_char>(), dropped(found) as c_long);
                source.buffer().consume(found);
                std::hint::black_box(separator);
                return text;
            }
            searched = (bytes.len() + 1).saturating_sub(rb_sys::RSTRING_LEN(separator) as usize);
            if more(looped, source, &mut deadline) {
                continue;
            }
            let bytes = source.buffer().as_slice();
            if bytes.is_empty() {
                return QNIL;
            }
            if end == End::Breaks {
                raise::of_class(c"EOFError", TOO_SHORT);
            }
            let (ptr, count) = (bytes.as_ptr(), bytes.len());
            let text = rb_sys::rb_str_new(ptr.cast::<c_char>(), count as c_long);
            source.buffer().consume(count);
            return text;
        }
    }
}

const TOO_LONG: &str = "the separator has not come within the limit";
const TOO_SHORT: &str = "the end has come before the separator";

/// The same for an IO, whose own buffer keeps what has come too early.
unsafe fn until_in_io(source: Source, separator: VALUE, limit: usize) -> VALUE {
    let (searched, too_long) = (Cell::new(0), Cell::new(false));
    let enough = |bytes: &[u8]| {
        // SAFETY: called with the GVL held; it is a String.
        let found = unsafe { find(bytes, searched.get(), separator) };
        too_long.set(found.map_or(bytes.len() >= limit, |found| found > limit));
        // SAFETY: as above.
        searched.set((bytes.len() + 1).saturating_sub(unsafe { rb_sys::RSTRING_LEN(separator) } as usize));
        if too_long.get() { Some(0) } else { found }
    };
    // SAFETY: as in `read_until`; the cells have no destructor.
    unsafe {
        let gathered = gather(source, &enough);
        std::hint::black_box(separator);
        match gathered {
            Ok(_) if too_long.get() => raise::of_class(c"Nyario::LimitError", TOO_LONG),
            Ok(text) => text,
            Err(false) => QNIL,
            Err(true) => raise::of_class(c"EOFError", TOO_SHORT),
        }
    }
}

/// Where the first separator ends that begins at `from` or after it.
unsafe fn find(bytes: &[u8], from: usize, separator: VALUE) -> Option<usize> {
    // SAFETY: called with the GVL held; it is a String, and both slices outlive the calls.
    unsafe {
        let (wanted, len) = (rb_sys::RSTRING_PTR(separator).cast::<c_void>(), rb_sys::RSTRING_LEN(separator) as usize);
        let rest = bytes.get(from..)?;
        let place = match len {
            1 => libc::memchr(rest.as_ptr().cast(), c_int::from(*wanted.cast::<u8>()), rest.len()),
            _ => libc::memmem(rest.as_ptr().cast(), rest.len(), wanted, len),
        };
        (!place.is_null()).then(|| place as usize - bytes.as_ptr() as usize + len)
    }
}
