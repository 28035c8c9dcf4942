//! Opening connections.

use super::names::{self, Names, Place};
use super::refuse_to_wait;
use crate::looped::{self, Looped, Waited};
use crate::{api, connection, raise, typed};
use nyario_core::conn::ConnId;
use nyario_core::driver::{Carries, Op};
use nyario_core::runtime::NOBODY;
use nyario_core::sys::{Errno, Kernel, Linux, check, portable};
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::{c_char, c_int};

/// How long to wait before another try at a unix socket whose backlog is full: the kernel has no event for it.
const RETRY_NANOS: u64 = 1_000_000;

/// `Nyario.connect`.
pub(super) unsafe extern "C" fn connect(argc: c_int, argv: *const VALUE, _: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments; nothing with a destructor is alive in here across a
    // wait: the addresses are a Ruby object's, which lies on this stack.
    unsafe {
        let (arguments, [timeout]) = super::keywords(api::arguments(argc, argv), [c"timeout"]);
        let [address] = arguments else { raise::argument("Nyario.connect takes an address, and perhaps timeout:") };
        let text = rb_sys::rb_str_to_str(*address);
        let nanos = connection::nanos(timeout);
        let looped = super::insist_on_a_loop();
        let deadline = if nanos == 0 { 0 } else { Linux.now().saturating_add(nanos) };
        let object = names::resolve(looped, text, deadline);
        let found = typed::unwrap::<Names>(object);
        let (mut index, mut last) = (0, -libc::EINVAL);
        while let Some(place) = (*found).at(index).map(Place::of) {
            match dial(looped, &place, deadline) {
                Ok(conn) => {
                    std::hint::black_box(object);
                    return connection::wrap_own(looped, conn);
                }
                Err(Waited { tag, .. }) if tag != 0 => rb_jump_tag(tag),
                Err(Waited { result, .. }) => last = result,
            }
            if deadline != 0 && Linux.now() >= deadline {
                raise::timed_out();
            }
            if last == -libc::ECANCELED {
                break;
            }
            index += 1;
        }
        let message = c"connect to ";
        let message = rb_sys::rb_str_new(message.as_ptr().cast::<c_char>(), message.count_bytes() as _);
        rb_sys::rb_str_append(message, text);
        rb_sys::rb_exc_raise(rb_sys::rb_syserr_new_str(-last, message))
    }
}

/// Opens a connection to that address.
unsafe fn dial(looped: *mut Looped, place: &Place, deadline: u64) -> Result<ConnId, Waited> {
    let fail = |Errno(number)| Waited { result: -number, tag: 0 };
    let fd = check(Linux.socket(place.family, libc::SOCK_STREAM | portable::SOCK_CLOEXEC | portable::SOCK_NONBLOCK, 0));
    let fd = fd.map_err(fail)?;
    if place.inet {
        Linux.setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    }
    let carries = if place.inet { Carries::Bytes } else { Carries::BytesAndDescriptors };
    // SAFETY: as in `connect`; the address lies on its stack, and what borrows it is waited for whatever is raised.
    unsafe {
        let conn = (*looped).runtime.opened_as(fd, true, carries).map_err(|error| {
            Linux.close(fd);
            fail(error)
        })?;
        let waited = loop {
            let op = Op::Connect { fd, addr: (&raw const place.raw).cast(), len: place.len };
            match looped::carry_out(looped, op, deadline, |_| {}) {
                Some(Waited { result, tag: 0 }) if result == -libc::EAGAIN => {}
                waited => break waited,
            }
            let until = Linux.now() + RETRY_NANOS;
            let until = if deadline == 0 { until } else { until.min(deadline) };
            match looped::carry_out(looped, Op::Park, until, |_| {}) {
                Some(Waited { result: 0, tag: 0 }) if deadline == 0 || Linux.now() < deadline => {}
                Some(Waited { result: 0, tag: 0 }) => break Some(Waited { result: -libc::ETIMEDOUT, tag: 0 }),
                waited => break waited,
            }
        };
        if let Some(Waited { result, tag: 0 }) = waited
            && result >= 0
        {
            return Ok(conn);
        }
        if !(*looped).is_gone() {
            (*looped).runtime.close(fd, NOBODY);
        }
        Err(waited.unwrap_or_else(|| refuse_to_wait()))
    }
}
