//! Unix sockets by path: a living server's, and what a dead one leaves behind.

use crate::{Ground, Told};
use nyario_core::net;
use nyario_core::sys::Fd;
use std::ffi::CString;

fn dial<G: Ground>(on: &G, path: &str) -> (Fd, i32) {
    let fd = on.socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0);
    // SAFETY: zeroes are an address.
    let mut raw: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    raw.sun_family = libc::AF_UNIX as _;
    raw.sun_path.iter_mut().zip(path.bytes()).for_each(|(place, byte)| *place = byte as _);
    // SAFETY: the address outlives the call.
    (fd, unsafe { on.connect(fd, (&raw const raw).cast(), size_of_val(&raw) as u32) })
}

pub fn a_leftover<G: Ground>(on: &G, told: &mut Told) {
    let path = std::env::temp_dir().join(format!("nyario-agreement-{}", std::process::id()));
    let path = path.to_str().expect("a path of letters").to_string();
    let raw = CString::new(path.clone()).expect("a path has no NUL");
    let meet = |told: &mut Told, what: &str| {
        let (fd, result) = dial(on, &path);
        told.tell(what, result);
        on.close(fd);
    };
    meet(told, "nothing there");
    let first = net::listen(on, &path).expect("the path is free");
    // SAFETY: the path ends with a NUL.
    let kind = || unsafe { on.status_of_path(raw.as_ptr().cast()).map(|status| status.kind) };
    told.tell("a socket", kind());
    told.tell("it lives", net::listen(on, &path));
    meet(told, "and answers");
    on.close(first);
    told.tell("its file stays", kind());
    meet(told, "and refuses");
    let second = net::listen(on, &path);
    told.tell("another takes its place", second.is_ok());
    meet(told, "and answers");
    on.close(second.expect("told above"));
    // SAFETY: as above.
    let unlink = || unsafe { on.unlink(raw.as_ptr().cast()) };
    told.tell("unlinked", (unlink(), unlink(), kind()));
}
