//! How connections end: in one direction, in both, with bytes that nobody read.

use crate::sockets::{ALL, EDGE, add, news};
use crate::{Ground, Told};

pub fn deaf_ears<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.connection();
    on.put(b, b"before");
    on.settle();
    told.tell("shut", on.half_close(a, libc::SHUT_RD));
    on.settle();
    told.tell("deaf", (on.bits(a), on.bits(b)));
    told.tell("what was there", on.take(a, 100));
    told.tell("the end", on.take(a, 100));
    told.tell("the peer goes on", on.put(b, b"after"));
    on.settle();
    told.tell("and is heard", (on.bits(a), on.take(a, 100), on.take(a, 100)));
    told.tell("the other way", on.put(a, b"x"));
    on.settle();
    told.tell("arrives", on.take(b, 100));
    on.close(a);
    on.close(b);
}

pub fn deaf_ears_of_a_unix_pair<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.unix_pair();
    on.put(b, b"before");
    told.tell("shut", on.half_close(a, libc::SHUT_RD));
    told.tell("deaf", (on.bits(a), on.bits(b)));
    told.tell("what was there", (on.take(a, 100), on.take(a, 100)));
    told.tell("the peer is refused", on.put(b, b"after"));
    told.tell("the other way", (on.put(a, b"x"), on.take(b, 100)));
    on.close(a);
    told.tell("left", (on.bits(b), on.take(b, 1)));
    on.close(b);
}

pub fn both_ways<G: Ground>(on: &G, told: &mut Told) {
    for (a, b) in [on.connection(), on.unix_pair()] {
        on.put(b, b"before");
        on.settle();
        told.tell("shut", on.half_close(a, libc::SHUT_RDWR));
        on.settle();
        told.tell("shut", (on.bits(a), on.bits(b)));
        told.tell("what was there", (on.take(a, 100), on.take(a, 100), on.put(a, b"x")));
        told.tell("the peer", on.take(b, 100));
        on.close(b);
        on.settle();
        told.tell("left", (on.bits(a), on.take(a, 100)));
        on.close(a);
    }
}

pub fn nothing_to_shut<G: Ground>(on: &G, told: &mut Told) {
    let fresh = on.socket(libc::AF_INET, libc::SOCK_STREAM, 0);
    told.tell("not connected", on.half_close(fresh, libc::SHUT_WR));
    on.close(fresh);
    let event = on.eventfd();
    told.tell("no socket", on.half_close(event, libc::SHUT_WR));
    on.close(event);
    told.tell("closed", on.half_close(event, libc::SHUT_WR));
}

pub fn an_edge_at_deaf_ears<G: Ground>(on: &G, told: &mut Told) {
    for (a, b) in [on.connection(), on.unix_pair()] {
        let epoll = on.epoll_create();
        add(on, epoll, a, ALL | EDGE, 1);
        add(on, epoll, b, ALL | EDGE, 2);
        news(on, epoll);
        on.half_close(a, libc::SHUT_RD);
        on.settle();
        told.tell("deaf", news(on, epoll));
        on.half_close(a, libc::SHUT_WR);
        on.settle();
        told.tell("and mute", news(on, epoll));
        on.close(a);
        on.close(b);
        on.close(epoll);
    }
}

pub fn unread_behind_an_end<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.connection();
    on.put(a, b"unread");
    on.put(b, b"last words");
    on.half_close(b, libc::SHUT_WR);
    on.settle();
    told.tell("read to the end", (on.take(a, 100), on.take(a, 100)));
    on.close(b);
    on.settle();
    told.tell("broken", on.bits(a));
    told.tell("by writing", (on.put(a, b"x"), on.put(a, b"x")));
    told.tell("the end", (on.take(a, 1), on.bits(a)));
    on.close(a);
}

pub fn unread_behind_a_unix_end<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.unix_pair();
    on.put(a, b"unread");
    on.put(b, b"last words");
    on.half_close(b, libc::SHUT_WR);
    told.tell("read to the end", (on.take(a, 100), on.take(a, 100)));
    on.close(b);
    told.tell("broken", on.bits(a));
    told.tell("by writing", (on.put(a, b"x"), on.bits(a)));
    told.tell("by reading", (on.take(a, 1), on.take(a, 1), on.bits(a)));
    on.close(a);
}

pub fn a_broken_one<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.connection();
    on.put(a, b"unread");
    on.settle();
    on.close(b);
    on.settle();
    told.tell("shut", (on.half_close(a, libc::SHUT_RDWR), on.bits(a)));
    told.tell("the error stays", (on.take(a, 1), on.take(a, 1), on.put(a, b"x")));
    on.close(a);
}
