//! The addresses that a caller's text stands for.

use super::refuse_to_wait;
use crate::looped::{self, Looped, Waited};
use crate::raise;
use crate::typed::{self, DataType, Typed};
use nyario_core::driver::Op;
use nyario_core::net::{self, Address};
use nyario_core::offload::{self, Work};
use nyario_core::sys::Errno;
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;

type Answer = Result<Vec<Address>, Errno>;

/// The addresses, or the looking up of them, in an object of Ruby's, which frees them whatever becomes of the fiber.
pub(super) struct Names {
    work: Option<Work<Answer>>,
    answer: Option<Answer>,
}

impl Typed for Names {
    const NAME: &'static CStr = c"Nyario addresses";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Names>();
        &TYPE
    };

    fn mark(&self) {}
}

impl Names {
    /// The address in that place.
    pub(super) fn at(&self, index: usize) -> Option<&Address> {
        match &self.answer {
            Some(Ok(addresses)) => addresses.get(index),
            _ => None,
        }
    }

    fn error(&self) -> Option<Errno> {
        match &self.answer {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(*error),
            None => Some(Errno(libc::ENOTRECOVERABLE)),
        }
    }
}

/// An address in the kernel's form. It can lie on a fiber's stack.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) raw: libc::sockaddr_storage,
    pub(super) len: u32,
    pub(super) family: i32,
    pub(super) inet: bool,
}

impl Place {
    pub(super) fn of(address: &Address) -> Place {
        // SAFETY: zeroes are an address of no family; the core's is as long as it says, and shorter than there is room.
        let mut raw: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let len = address.with_raw(|addr, len| unsafe {
            (&raw mut raw).cast::<u8>().copy_from_nonoverlapping(addr.cast(), len as usize);
            len
        });
        Place { raw, len, family: address.family(), inet: address.is_inet() }
    }
}

/// The object of the addresses that a text stands for, of which there is at least one. Suspends while a name is looked up;
/// without a loop the thread waits for that, without the GVL.
///
/// # Safety
///
/// The GVL is held, `looped` is null or the thread's own and runs, and nothing with a destructor is alive in the caller.
/// `text` is a String, and lies on the caller's stack.
pub(super) unsafe fn resolve(looped: *mut Looped, text: VALUE, deadline: u64) -> VALUE {
    // SAFETY: as above; no borrow of the text or the names lives across the wait.
    unsafe {
        let Some(readable) = str_of(text) else { raise::argument("the address is no text of UTF-8") };
        let answer = match Address::parse(readable) {
            Ok(address) => Some(Ok(vec![address])),
            Err(Errno(libc::EINVAL)) if net::is_name(readable) => None,
            Err(Errno(libc::EINVAL)) => {
                raise::argument("no address: it is host:port, [IPv6]:port, *:port, or the path of a unix socket")
            }
            Err(error) => raise::system_call(error.result()),
        };
        let known = answer.is_some();
        let object = typed::wrap(rb_sys::rb_cObject, Names { work: None, answer });
        let names = typed::unwrap::<Names>(object);
        if !known {
            find(looped, text, names, deadline);
        }
        if let Some(error) = (*names).error() {
            fail(error);
        }
        std::hint::black_box(object)
    }
}

unsafe fn find(looped: *mut Looped, text: VALUE, names: *mut Names, deadline: u64) {
    unsafe extern "C" fn look_up(call: *mut c_void) -> *mut c_void {
        // SAFETY: it is the call below, whose thread waits here.
        unsafe {
            let (name, names) = *call.cast::<(*const str, *mut Names)>();
            (*names).answer = Some(net::look_up_text(&*name));
        }
        null_mut()
    }
    // SAFETY: as in `resolve`. Another thread cannot change the text while this one waits: it is frozen.
    unsafe {
        if looped.is_null() {
            let text = rb_sys::rb_str_new_frozen(text);
            let Some(name) = str_of(text) else { return };
            let mut call: (*const str, *mut Names) = (name, names);
            rb_sys::rb_thread_call_without_gvl(Some(look_up), (&raw mut call).cast(), None, null_mut());
            std::hint::black_box(text);
            return;
        }
        let ask = |park| {
            let name = str_of(text).unwrap_or_default().to_owned();
            let driver = (*looped).runtime.driver();
            match offload::begin(driver.waker(), park, move || net::look_up_text(&name)) {
                Ok(work) => (*names).work = Some(work),
                Err(error) => driver.complete(park, error.result()),
            }
        };
        let waited = looped::carry_out(looped, Op::Park, deadline, ask);
        let work = (*names).work.take();
        match waited {
            Some(Waited { result, tag: 0 }) if result > 0 => (*names).answer = work.and_then(Work::end),
            waited => {
                drop(work);
                match waited {
                    None => refuse_to_wait(),
                    Some(Waited { tag, .. }) if tag != 0 => rb_jump_tag(tag),
                    Some(Waited { result: 0, .. }) => raise::timed_out(),
                    Some(Waited { result, .. }) => raise::system_call(result),
                }
            }
        }
    }
}

/// The bytes of a String that are UTF-8.
unsafe fn str_of<'a>(text: VALUE) -> Option<&'a str> {
    // SAFETY: called with the GVL held; nobody changes the String while it is looked at.
    unsafe {
        let bytes = std::slice::from_raw_parts(rb_sys::RSTRING_PTR(text).cast(), rb_sys::RSTRING_LEN(text) as usize);
        std::str::from_utf8(bytes).ok()
    }
}

/// Raises what the resolver has said: a SocketError, as Ruby's own does.
unsafe fn fail(error: Errno) -> ! {
    // SAFETY: called with the GVL held; the class is the library's.
    unsafe {
        // The resolver's answers are numbered from here on.
        if error.0 < 3000 {
            raise::system_call(error.result());
        }
        rb_sys::rb_require(c"socket".as_ptr());
        raise::of_class(c"SocketError", error.text())
    }
}
