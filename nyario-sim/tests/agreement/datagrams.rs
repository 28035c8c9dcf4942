//! Messages.

use crate::rings::{Ring, receive};
use crate::sockets::{ALL, EDGE, add, news};
use crate::{Ground, Told};
use nyario_core::sys::abi::{Sqe, uring as abi};

pub fn messages<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.datagram_pair();
    told.tell("kind", on.getsockopt(a, libc::SOL_SOCKET, libc::SO_TYPE));
    told.tell("fresh", (on.bits(a), on.bits(b), on.take(b, 8)));
    told.tell("send", (on.put(a, b"one"), on.put(a, b""), on.put(a, b"three")));
    told.tell("readable", on.bits(b));
    told.tell("one at a time", on.take(b, 100));
    told.tell("nothing is something", on.take(b, 100));
    told.tell("cut to the room", on.take(b, 2));
    told.tell("and gone", (on.take(b, 100), on.bits(b)));
    on.close(b);
    told.tell("left", (on.bits(a), on.take(a, 1)));
    told.tell("refused", (on.put(a, b"x"), on.put(a, b"x"), on.bits(a), on.take(a, 1)));
    on.close(a);
}

pub fn messages_from_who_left<G: Ground>(on: &G, told: &mut Told) {
    for answer in [false, true] {
        let (a, b) = on.datagram_pair();
        on.put(b, b"one");
        on.put(b, b"two");
        on.close(b);
        told.tell("left", (on.bits(a), on.take(a, 8)));
        if answer {
            told.tell("answer", on.put(a, b"x"));
        }
        told.tell("the rest", (on.bits(a), on.take(a, 8)));
        on.close(a);
    }
}

pub fn messages_that_find_no_room<G: Ground>(on: &G, told: &mut Told) {
    let (epoll, (a, b)) = (on.epoll_create(), on.datagram_pair());
    while on.put(a, &[7; 4096]) == 4096 {}
    told.tell("full", (on.put(a, b"x"), on.put(a, b""), on.bits(a)));
    add(on, epoll, a, ALL | EDGE, 1);
    told.tell("no news", news(on, epoll));
    while on.take(b, 4096).0 > 0 {}
    told.tell("room", (news(on, epoll), on.bits(a), on.put(a, b"x")));
    while on.put(a, &[7; 4096]) == 4096 {}
    on.close(b);
    told.tell("room for nobody", (news(on, epoll), on.put(a, b"x")));
    on.close(a);
    on.close(epoll);
}

pub fn an_edge_for_each_message<G: Ground>(on: &G, told: &mut Told) {
    let (epoll, (a, b)) = (on.epoll_create(), on.datagram_pair());
    add(on, epoll, a, ALL | EDGE, 1);
    told.tell("fresh", news(on, epoll));
    for round in 0..2 {
        on.put(b, b"message");
        told.tell("a message", (round, news(on, epoll), news(on, epoll)));
    }
    on.take(a, 8);
    told.tell("none for what is left", news(on, epoll));
    on.close(b);
    told.tell("none for a leave", news(on, epoll));
    on.close(a);
    on.close(epoll);
}

pub fn messages_through_a_ring<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 8) else { return };
    let (a, b) = on.datagram_pair();
    let mut bytes = [0; 4];
    ring.push(receive(a, &mut bytes, 1));
    ring.told(told, "armed");
    on.put(b, b"longer than that");
    on.put(b, b"two");
    ring.told(told, "cut");
    told.tell("bytes", bytes);
    ring.push(receive(a, &mut bytes, 2));
    ring.told(told, "the next");
    let flags = libc::MSG_NOSIGNAL as u32;
    let send = Sqe { opcode: abi::OP_SEND, fd: a, addr: bytes.as_ptr() as u64, op_flags: flags, ..Sqe::default() };
    ring.push(Sqe { len: 0, user_data: 3, ..send });
    ring.told(told, "nothing");
    told.tell("arrives", on.take(b, 8));
    on.close(b);
    ring.push(Sqe { len: 4, user_data: 4, ..send });
    ring.told(told, "to nobody");
    on.close(a);
}
