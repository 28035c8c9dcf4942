//! Bytes from one descriptor to another, bytes that are only looked at, and who is at the other end.

use crate::{Ground, Told};
use nyario_core::sys::Fd;
use std::ptr::null_mut;

const NOW: u32 = libc::SPLICE_F_NONBLOCK;

fn splice<G: Ground>(on: &G, from: Fd, to: Fd, len: usize) -> isize {
    // SAFETY: there are no offsets.
    unsafe { on.splice(from, null_mut(), to, null_mut(), len, NOW) }
}

fn unblock<G: Ground>(on: &G, fds: &[Fd]) {
    for &fd in fds {
        on.set_flags(fd, on.flags(fd) | libc::O_NONBLOCK);
    }
}

fn close<G: Ground>(on: &G, fds: &[Fd]) {
    for &fd in fds {
        on.close(fd);
    }
}

pub fn into_a_pipe<G: Ground>(on: &G, told: &mut Told) {
    for (a, b) in [on.unix_pair(), on.connection()] {
        let (read, write) = on.new_pipe();
        unblock(on, &[a, b]);
        told.tell("nothing there", splice(on, a, write, 100));
        on.put(b, b"hello");
        on.settle();
        told.tell("a part", splice(on, a, write, 3));
        told.tell("the rest", splice(on, a, write, 100));
        told.tell("arrived", (on.take_stream(read, 100), on.bits(a), on.bits(write)));
        told.tell("none of it", splice(on, a, write, 0));
        on.put(b, b"last");
        on.half_close(b, libc::SHUT_WR);
        on.settle();
        told.tell("the last", splice(on, a, write, 100));
        told.tell("the end", (splice(on, a, write, 100), splice(on, a, write, 100)));
        on.close(read);
        told.tell("nobody reads", on.bits(write));
        close(on, &[a, b, write]);
    }
}

pub fn out_of_a_pipe<G: Ground>(on: &G, told: &mut Told) {
    for (a, b) in [on.unix_pair(), on.connection()] {
        let (read, write) = on.new_pipe();
        unblock(on, &[a, b]);
        told.tell("nothing there", splice(on, read, a, 100));
        on.put_stream(write, b"hello");
        told.tell("a part", splice(on, read, a, 3));
        told.tell("the rest", splice(on, read, a, 100));
        on.settle();
        told.tell("arrived", on.take(b, 100));
        on.close(write);
        told.tell("the end", splice(on, read, a, 100));
        close(on, &[a, b, read]);
    }
}

pub fn out_of_a_pipe_into_a_full_one<G: Ground>(on: &G, told: &mut Told) {
    let (read, write) = on.new_pipe();
    let (a, b) = on.unix_pair();
    unblock(on, &[a, b]);
    while on.put(a, &[7; 4096]) == 4096 {}
    while on.put(a, &[7; 1]) > 0 {}
    told.tell("nothing to move and no room", splice(on, read, a, 1));
    on.put_stream(write, b"x");
    told.tell("no room", splice(on, read, a, 1));
    while on.take(b, 65_536).0 > 0 {}
    told.tell("room", (splice(on, read, a, 1), on.take(b, 10)));
    while on.put(a, &[7; 4096]) == 4096 {}
    while on.put(a, &[7; 1]) > 0 {}
    on.close(write);
    told.tell("the end needs no room", splice(on, read, a, 1));
    close(on, &[a, b, read]);
}

pub fn into_a_full_pipe<G: Ground>(on: &G, told: &mut Told) {
    let (read, write) = on.new_pipe();
    let (a, b) = on.unix_pair();
    unblock(on, &[a, b]);
    for _ in 0..16 {
        on.put_stream(write, &[1; 4096]);
    }
    told.tell("nothing to move and no room", splice(on, a, write, 1));
    on.put(b, b"x");
    told.tell("no room", splice(on, a, write, 1));
    told.tell("a page", on.take_stream(read, 4096).0);
    told.tell("room", splice(on, a, write, 1));
    on.close(b);
    on.take_stream(read, 4096);
    told.tell("the end", splice(on, a, write, 1));
    close(on, &[a, read, write]);
}

pub fn between_pipes<G: Ground>(on: &G, told: &mut Told) {
    let ((from, into), (read, write)) = (on.new_pipe(), on.new_pipe());
    told.tell("nothing there", splice(on, from, write, 10));
    on.put_stream(into, b"hello");
    told.tell("moved", (splice(on, from, write, 3), splice(on, from, write, 10)));
    told.tell("arrived", on.take_stream(read, 10));
    told.tell("the wrong way", (splice(on, read, into, 1), splice(on, write, from, 1)));
    told.tell("itself", splice(on, from, into, 1));
    told.tell("one more", on.put_stream(into, b"x"));
    on.close(into);
    told.tell("the last and the end", (splice(on, from, write, 10), splice(on, from, write, 10)));
    close(on, &[from, read, write]);
}

pub fn no_pipe<G: Ground>(on: &G, told: &mut Told) {
    let ((a, b), (c, d)) = (on.unix_pair(), on.unix_pair());
    unblock(on, &[a, b, c, d]);
    on.put(a, b"hello");
    told.tell("no pipe", splice(on, b, c, 5));
    told.tell("it is still there", on.take(b, 10));
    close(on, &[a, b, c]);
    told.tell("closed", (splice(on, a, d, 1), splice(on, d, a, 1)));
    on.close(d);
}

pub fn from_a_connection_that_is_none<G: Ground>(on: &G, told: &mut Told) {
    let (read, write) = on.new_pipe();
    let fresh = on.socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0);
    told.tell("not connected", splice(on, fresh, write, 1));
    on.put_stream(write, b"x");
    on.close(fresh);
    let (a, b) = on.unix_pair();
    unblock(on, &[a, b]);
    on.half_close(b, libc::SHUT_RD);
    on.close(read);
    told.tell("nobody reads", on.bits(a));
    close(on, &[a, b, write]);
}

pub fn a_part_of_a_file<G: Ground>(on: &G, told: &mut Told) {
    let (reader, writer) = on.new_file();
    let iov = libc::iovec { iov_base: b"hello, world".as_ptr().cast_mut().cast(), iov_len: 12 };
    // SAFETY: the bytes are there for ever.
    unsafe { on.writev(writer, &iov, 1, 0) };
    let send = |to: Fd, at: Option<&mut i64>, len| {
        let place = at.map_or(null_mut(), |at| &raw mut *at);
        // SAFETY: the place outlives the call.
        unsafe { on.sendfile(to, reader, place, len) }
    };
    for (a, b) in [on.unix_pair(), on.connection()] {
        unblock(on, &[a, b]);
        let mut at = 2;
        told.tell("from there", (send(a, Some(&mut at), 3), at));
        on.settle();
        told.tell("arrived", on.take(b, 100));
        told.tell("from where it stands", send(a, None, 4));
        told.tell("to the end", send(a, Some(&mut at), 100));
        told.tell("the end", (send(a, Some(&mut at), 100), at));
        on.settle();
        told.tell("arrived", on.take(b, 100));
        on.half_close(b, libc::SHUT_RD);
        close(on, &[a, b]);
    }
    let (read, write) = on.new_pipe();
    unblock(on, &[write]);
    told.tell("into a pipe", (send(write, None, 100), on.take_stream(read, 100)));
    told.tell("the end", send(write, None, 100));
    told.tell("closed", send(-1, None, 100));
    close(on, &[reader, writer, read, write]);
}

pub fn a_file_and_no_room<G: Ground>(on: &G, told: &mut Told) {
    let (reader, writer) = on.new_file();
    let iov = libc::iovec { iov_base: b"hello, world".as_ptr().cast_mut().cast(), iov_len: 12 };
    // SAFETY: the bytes are there for ever.
    unsafe { on.writev(writer, &iov, 1, 0) };
    let (a, b) = on.unix_pair();
    unblock(on, &[a, b]);
    while on.put(a, &[7; 4096]) == 4096 {}
    while on.put(a, &[7; 1]) > 0 {}
    // SAFETY: there is no offset.
    let send = || unsafe { on.sendfile(a, reader, null_mut(), 5) };
    told.tell("no room", send());
    while on.take(b, 65_536).0 > 0 {}
    told.tell("room", (send(), on.take(b, 10)));
    told.tell("what is left", (send(), send(), on.take(b, 10)));
    close(on, &[a, b, reader, writer]);
}

fn look<G: Ground>(on: &G, fd: Fd, room: usize) -> (isize, Vec<u8>) {
    let mut bytes = vec![0; room];
    // SAFETY: the bytes are borrowed for the call.
    let result = unsafe { on.recv(fd, bytes.as_mut_ptr(), room, libc::MSG_DONTWAIT | libc::MSG_PEEK) };
    bytes.truncate(result.max(0) as usize);
    (result, bytes)
}

pub fn only_looked_at<G: Ground>(on: &G, told: &mut Told) {
    for (a, b) in [on.unix_pair(), on.connection(), on.datagram_pair()] {
        told.tell("nothing there", look(on, b, 5));
        on.put(a, b"hello");
        on.put(a, b"there");
        on.settle();
        told.tell("a look", (look(on, b, 5), look(on, b, 3), look(on, b, 100)));
        told.tell("is no read", (on.take(b, 5), look(on, b, 5), on.take(b, 5), look(on, b, 5)));
        on.close(a);
        on.settle();
        if on.getsockopt(b, libc::SOL_SOCKET, libc::SO_TYPE) == Ok(libc::SOCK_STREAM) {
            told.tell("the end", (look(on, b, 5), look(on, b, 5)));
        }
        on.close(b);
    }
}

pub fn a_message_and_its_room<G: Ground>(on: &G, told: &mut Told) {
    for (a, b) in [on.unix_pair(), on.connection(), on.datagram_pair()] {
        let mut told_of = |what: &str, flags: i32| {
            let (mut bytes, mut name, mut control) = ([0u8; 4], [0u8; 32], [0u64; 8]);
            let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            // SAFETY: zeroes are a message; what it leads to outlives the call.
            unsafe {
                let mut msg: libc::msghdr = std::mem::zeroed();
                (msg.msg_iov, msg.msg_iovlen) = (&mut part, 1);
                (msg.msg_name, msg.msg_namelen) = (name.as_mut_ptr().cast(), 32);
                (msg.msg_control, msg.msg_controllen) = (control.as_mut_ptr().cast(), 64);
                let result = on.recvmsg(b, &mut msg, flags | libc::MSG_DONTWAIT);
                let filled = (msg.msg_namelen, { msg.msg_controllen }, msg.msg_flags);
                told.tell(what, (result, bytes, (result >= 0).then_some(filled)));
            }
        };
        told_of("nothing there", 0);
        on.put(a, b"hello");
        on.settle();
        told_of("a look", libc::MSG_PEEK | libc::MSG_CMSG_CLOEXEC);
        told_of("a part", libc::MSG_CMSG_CLOEXEC);
        told_of("the rest", 0);
        on.half_close(a, libc::SHUT_WR);
        on.close(a);
        on.settle();
        if on.getsockopt(b, libc::SOL_SOCKET, libc::SO_TYPE) == Ok(libc::SOCK_STREAM) {
            told_of("the end", 0);
        }
        on.close(b);
    }
}

/// The family of an address that a call has written, and how long it is.
type Written = (i32, u16, u32);

pub fn who_is_there<G: Ground>(on: &G, told: &mut Told) {
    let ask = |call: &dyn Fn(*mut libc::c_void, *mut u32) -> i32, room: u32| -> Written {
        let (mut bytes, mut len) = ([0u16; 64], room);
        let result = call(bytes.as_mut_ptr().cast(), &mut len);
        (result.min(0), bytes[0], len)
    };
    let (listener, client) = on.call_on();
    // SAFETY: the place outlives the calls.
    let accept = |addr, len| unsafe { on.accept_from(listener, addr, len, libc::SOCK_CLOEXEC) };
    let accepted = std::cell::Cell::new(-1);
    let keep = |addr, len| {
        accepted.set(accept(addr, len));
        accepted.get()
    };
    told.tell("accepted from", ask(&keep, 128));
    told.tell("nobody else", ask(&accept, 128).0);
    let peer = |fd: Fd, room| {
        // SAFETY: as above.
        ask(&|addr, len| unsafe { on.getpeername(fd, addr, len) }, room)
    };
    told.tell("peers", (peer(client, 128), peer(accepted.get(), 128), peer(client, 2)));
    told.tell("a listener has none", peer(listener, 128).0);
    let (a, b) = on.unix_pair();
    told.tell("unix", (peer(a, 128), peer(b, 128)));
    on.close(b);
    told.tell("left", peer(a, 128).0);
    let event = on.eventfd();
    told.tell("no socket", (peer(event, 128).0, on.shutdown(event, libc::SHUT_WR), peer(-1, 128).0));
    told.tell("no such direction", (on.shutdown(client, 3), on.shutdown(client, -1)));
    told.tell("shut", (on.shutdown(client, libc::SHUT_WR), on.put(client, b"x")));
    on.settle();
    told.tell("heard", (on.take(accepted.get(), 1), peer(client, 128).0));
    close(on, &[listener, client, accepted.get(), a, event]);
}

pub fn polls_of_what_is_always_ready<G: Ground>(on: &G, told: &mut Told) {
    use crate::rings::Ring;
    use nyario_core::sys::abi::{Sqe, uring as abi};
    let Some(mut ring) = Ring::new(on, told, 4, 8) else { return };
    let (reader, writer) = on.new_file();
    let poll = |fd, events: i16, name| Sqe {
        opcode: abi::OP_POLL_ADD,
        fd,
        op_flags: events as u32,
        user_data: name,
        ..Sqe::default()
    };
    ring.push(poll(reader, libc::POLLIN | libc::POLLOUT, 1));
    ring.push(poll(writer, libc::POLLOUT, 2));
    ring.push(poll(reader, libc::POLLPRI, 3));
    ring.told(told, "ready or never");
    let mut both = [reader, writer].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    told.tell("both", (on.poll(&mut both, Some(0)), both.map(|entry| entry.revents)));
    on.close(reader);
    told.tell("closed", (on.poll(&mut both, Some(0)), both.map(|entry| entry.revents)));
    on.close(writer);
}
