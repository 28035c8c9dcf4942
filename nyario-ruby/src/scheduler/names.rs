//! Names of hosts.

use super::errand::{self, Answer};
use super::loop_of;
use crate::looped::QNIL;
use crate::raise;
use nyario_core::net::{Address, Hints, look_up};
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::{CStr, CString, c_char, c_long};
use std::net::IpAddr;

/// `address_resolve(hostname)`: its addresses as texts, in the order in which they are to be tried, or nil. The system's own
/// resolver is asked, on a native thread. A suffix that names an interface is left out, of the answer too: Ruby takes none
/// in it.
pub(super) unsafe extern "C" fn address_resolve(this: VALUE, hostname: VALUE) -> VALUE {
    let mut hostname = hostname;
    // SAFETY: Ruby calls it with the GVL held. Nothing with a destructor is alive when something is raised.
    unsafe {
        let looped = loop_of(this);
        let text = CStr::from_ptr(rb_sys::rb_string_value_cstr(&mut hostname));
        let answer = match errand::run(looped, resolving(text)) {
            Ok(answer) => answer,
            Err(tag) => rb_jump_tag(tag),
        };
        let Answer { result, bytes } = answer;
        if result < 0 {
            drop(bytes);
            raise::system_call(result as i32);
        }
        // The texts are few and short: Ruby is handed all of them before any can fail to be made.
        let all = rb_sys::rb_usascii_str_new(bytes.as_ptr().cast::<c_char>(), bytes.len() as c_long);
        drop(bytes);
        if result == 0 { QNIL } else { rb_sys::rb_str_split(all, c" ".as_ptr()) }
    }
}

/// What a thread does: how many addresses there are, and their texts with a space between them.
fn resolving(hostname: &CStr) -> impl FnOnce() -> Answer + Send + 'static {
    let name = hostname.to_bytes().split(|&byte| byte == b'%').next().unwrap_or_default();
    let name = CString::new(name).expect("a text without NULs");
    move || {
        let hints = Hints { kind: libc::SOCK_STREAM, ..Hints::default() };
        let mut found: Vec<IpAddr> = Vec::new();
        for address in look_up(Some(&name), None, hints).map(|list| list.addresses()).unwrap_or_default() {
            if let Address::Inet(inet) = address
                && !found.contains(&inet.ip())
            {
                found.push(inet.ip());
            }
        }
        let texts: Vec<String> = found.iter().map(IpAddr::to_string).collect();
        Answer { result: texts.len() as i64, bytes: texts.join(" ").into_bytes() }
    }
}
