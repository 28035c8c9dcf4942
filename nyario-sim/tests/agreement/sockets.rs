//! Connections over the network, listeners, and what epoll tells of them.

use crate::{Ground, Told};
use nyario_core::sys::Fd;
use nyario_core::sys::abi::EpollEvent;

pub fn a_connection<G: Ground>(on: &G, told: &mut Told) {
    let fd = on.socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0);
    told.tell("fresh", on.bits(fd));
    told.tell("not connected", (on.take(fd, 1), on.put(fd, b"x")));
    let (listener, port) = on.listener();
    told.tell("listening", (on.bits(listener), on.accept(listener, 0)));
    told.tell("connect", on.connect_to(fd, port));
    on.settle();
    told.tell("connected", (on.bits(fd), on.bits(listener)));
    told.tell("no error", on.getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR));
    told.tell("connect again", on.connect_to(fd, port));
    let server = on.accept(listener, libc::SOCK_CLOEXEC);
    told.tell("accepted", (server >= 0, on.bits(server), on.bits(listener)));
    told.tell("send", on.put(fd, b"hello"));
    on.settle();
    told.tell("arrived", (on.bits(server), on.take(server, 100), on.bits(server)));
    on.close(fd);
    on.settle();
    told.tell("left", (on.bits(server), on.take(server, 100)));
    on.close(server);
    on.close(listener);
}

pub fn a_refusal<G: Ground>(on: &G, told: &mut Told) {
    let (listener, port) = on.listener();
    on.close(listener);
    let fd = on.dial(port);
    on.settle();
    told.tell("refused", on.bits(fd));
    told.tell("why", on.getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR));
    told.tell("told once", on.getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR));
    told.tell("read", on.take(fd, 1).0);
    on.close(fd);
}

pub fn unread_bytes_break_a_connection<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.connection();
    on.put(a, b"unread");
    on.put(b, b"arrived");
    on.settle();
    on.close(b);
    on.settle();
    told.tell("broken", on.bits(a));
    told.tell("what had arrived", on.take(a, 100));
    told.tell("the error", on.take(a, 100));
    told.tell("the end", (on.take(a, 100), on.bits(a)));
    told.tell("send", on.put(a, b"x"));
    on.close(a);
}

pub fn writing_to_who_left<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.connection();
    on.close(b);
    on.settle();
    told.tell("left", on.bits(a));
    told.tell("the first write", on.put(a, b"x"));
    on.settle();
    told.tell("broken", on.bits(a));
    told.tell("the second", on.put(a, b"x"));
    told.tell("the end", on.take(a, 1));
    on.close(a);
}

pub fn a_half_close<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.connection();
    on.put(a, b"last words");
    on.half_close(a, libc::SHUT_WR);
    on.settle();
    told.tell("half closed", (on.bits(a), on.bits(b)));
    told.tell("read", (on.take(b, 100), on.take(b, 100)));
    told.tell("the other way", on.put(b, b"answer"));
    on.settle();
    told.tell("answered", (on.bits(a), on.take(a, 100)));
    told.tell("refused", on.put(a, b"x"));
    on.half_close(b, libc::SHUT_WR);
    on.settle();
    told.tell("both closed", (on.bits(a), on.bits(b)));
    on.close(a);
    on.close(b);
}

pub fn a_queue<G: Ground>(on: &G, told: &mut Told) {
    let (listener, port) = on.listener();
    let clients = [0, 1, 2].map(|number| {
        let client = on.dial(port);
        on.settle();
        on.put(client, &[number]);
        client
    });
    on.settle();
    for _ in 0..3 {
        let server = on.accept(listener, 0);
        told.tell("in order", (server >= 0, on.take(server, 1)));
        on.close(server);
    }
    told.tell("no more", on.accept(listener, 0));
    let late = on.dial(port);
    on.settle();
    on.close(listener);
    on.settle();
    told.tell("nobody accepted", (on.bits(late), on.take(late, 1)));
    on.close(late);
    for client in clients {
        on.close(client);
    }
}

pub const ALL: u32 = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLPRI) as u32;
pub const EDGE: u32 = libc::EPOLLET as u32;

pub fn add<G: Ground>(on: &G, epoll: Fd, fd: Fd, events: u32, data: u64) -> i32 {
    on.epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, EpollEvent { events, data })
}

/// What epoll reports now.
pub fn news<G: Ground>(on: &G, epoll: Fd) -> Vec<(u64, u32)> {
    let mut events = [EpollEvent::default(); 8];
    let found = on.epoll_wait(epoll, &mut events, Some(0));
    events[..found as usize].iter().map(|event| ({ event.data }, { event.events })).collect()
}

pub fn edges<G: Ground>(on: &G, told: &mut Told) {
    let (epoll, (a, b)) = (on.epoll_create(), on.unix_pair());
    told.tell("add", (add(on, epoll, a, ALL | EDGE, 7), add(on, epoll, a, ALL | EDGE, 7)));
    told.tell("what holds", news(on, epoll));
    told.tell("is told once", news(on, epoll));
    on.put(b, b"one");
    told.tell("bytes", news(on, epoll));
    told.tell("are told once", news(on, epoll));
    on.take(a, 1);
    told.tell("a read is no news", news(on, epoll));
    on.half_close(b, libc::SHUT_WR);
    told.tell("a half close is", news(on, epoll));
    on.close(b);
    told.tell("a hang-up is", news(on, epoll));
    on.close(a);
    told.tell("the closed are silent", news(on, epoll));
    on.close(epoll);
}

pub fn an_edge_for_each_arrival<G: Ground>(on: &G, told: &mut Told) {
    let (epoll, (a, b)) = (on.epoll_create(), on.connection());
    add(on, epoll, a, ALL | EDGE, 1);
    news(on, epoll);
    for round in 0..3 {
        on.put(b, b"more");
        on.settle();
        told.tell("more", (round, news(on, epoll), news(on, epoll)));
    }
    on.put(b, b"and");
    on.put(b, b"more");
    on.settle();
    told.tell("merged", news(on, epoll));
    told.tell("all of it", on.take(a, 100).0);
    on.close(a);
    on.close(b);
    on.close(epoll);
}

pub fn levels<G: Ground>(on: &G, told: &mut Told) {
    let (epoll, (a, b)) = (on.epoll_create(), on.unix_pair());
    add(on, epoll, a, libc::EPOLLIN as u32, 3);
    told.tell("nothing", news(on, epoll));
    on.put(b, b"x");
    told.tell("again and again", (news(on, epoll), news(on, epoll)));
    on.take(a, 1);
    told.tell("no more", news(on, epoll));
    on.close(a);
    on.close(b);
    on.close(epoll);
}

pub fn an_edge_at_a_hangup<G: Ground>(on: &G, told: &mut Told) {
    let (epoll, (a, b)) = (on.epoll_create(), on.connection());
    add(on, epoll, a, ALL | EDGE, 9);
    news(on, epoll);
    on.put(b, b"x");
    on.close(b);
    on.settle();
    told.tell("bytes and the end", news(on, epoll));
    told.tell("read", (on.take(a, 1), on.take(a, 1)));
    told.tell("nothing new", news(on, epoll));
    on.close(a);
    on.close(epoll);
}

pub fn what_cannot_be_waited_for<G: Ground>(on: &G, told: &mut Told) {
    let (epoll, fd) = (on.epoll_create(), on.eventfd());
    on.close(fd);
    told.tell("nothing", add(on, epoll, fd, ALL, 0));
    told.tell("itself", add(on, epoll, epoll, ALL, 0));
    let gone = on.eventfd();
    told.tell("unknown", on.epoll_ctl(epoll, libc::EPOLL_CTL_MOD, gone, EpollEvent::default()));
    on.close(gone);
    on.close(epoll);
}

pub fn modified_interests<G: Ground>(on: &G, told: &mut Told) {
    let (epoll, (a, b)) = (on.epoll_create(), on.unix_pair());
    add(on, epoll, a, ALL | EDGE, 1);
    news(on, epoll);
    let modified = EpollEvent { events: ALL | EDGE, data: 2 };
    told.tell("modify", on.epoll_ctl(epoll, libc::EPOLL_CTL_MOD, a, modified));
    told.tell("what holds is told anew", news(on, epoll));
    let copy = on.duplicate(a);
    on.close(a);
    on.put(b, b"x");
    told.tell("a copy keeps the interest alive", news(on, epoll));
    on.close(copy);
    on.put(b, b"x");
    told.tell("and the last takes it away", news(on, epoll));
    on.close(b);
    on.close(epoll);
}
