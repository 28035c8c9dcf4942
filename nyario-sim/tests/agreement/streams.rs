//! Pairs, pipes, counters, and the numbers that name them.

use crate::{Ground, Told};

pub fn a_unix_pair<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.unix_pair();
    told.tell("fresh", (on.bits(a), on.bits(b)));
    told.tell("nothing there", on.take(a, 8));
    told.tell("send", on.put(a, b"hello"));
    told.tell("readable", (on.bits(a), on.bits(b)));
    told.tell("a part", on.take(b, 3));
    told.tell("still readable", on.bits(b));
    told.tell("the rest", on.take(b, 8));
    told.tell("drained", on.bits(b));
    on.half_close(a, libc::SHUT_WR);
    told.tell("half closed", (on.bits(a), on.bits(b)));
    told.tell("the end", on.take(b, 8));
    told.tell("the other way", on.put(b, b"x"));
    told.tell("arrives", (on.bits(a), on.take(a, 8)));
    told.tell("refused", on.put(a, b"x"));
    on.close(a);
    told.tell("peer gone", on.bits(b));
    told.tell("send to nobody", on.put(b, b"x"));
    told.tell("read the end again", on.take(b, 8));
    on.close(b);
    told.tell("closed", on.take(b, 8));
}

pub fn a_unix_pair_that_is_full<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.unix_pair();
    while on.put(a, &[7; 4096]) == 4096 {}
    while on.put(a, &[7; 1]) > 0 {}
    told.tell("full", (on.put(a, b"x"), on.bits(a)));
    while on.take(b, 65_536).0 > 0 {}
    told.tell("drained", (on.bits(a), on.bits(b)));
    told.tell("room", on.put(a, b"x"));
    on.close(a);
    on.close(b);
}

pub fn unread_bytes_break_a_unix_pair<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.unix_pair();
    on.put(a, b"unread");
    on.put(b, b"underway");
    on.close(b);
    told.tell("broken", on.bits(a));
    told.tell("what had arrived", on.take(a, 100));
    told.tell("the error", on.take(a, 100));
    told.tell("the end", (on.take(a, 100), on.bits(a)));
    on.close(a);
}

pub fn a_pipe<G: Ground>(on: &G, told: &mut Told) {
    let (read, write) = on.new_pipe();
    told.tell("fresh", (on.bits(read), on.bits(write)));
    told.tell("nothing there", on.take_stream(read, 8));
    told.tell("write", on.put_stream(write, b"hello"));
    told.tell("readable", on.bits(read));
    told.tell("read", on.take_stream(read, 3));
    told.tell("the wrong way", (on.take_stream(write, 3), on.put_stream(read, b"x")));
    told.tell("no socket", (on.put(write, b"x"), on.take(read, 1).0));
    on.close(write);
    told.tell("ended with bytes", on.bits(read));
    told.tell("the rest", on.take_stream(read, 8));
    told.tell("ended", on.bits(read));
    told.tell("the end", on.take_stream(read, 8));
    on.close(read);
}

pub fn a_pipe_that_is_full<G: Ground>(on: &G, told: &mut Told) {
    let (read, write) = on.new_pipe();
    let block = [1; 4096];
    for round in 0..17 {
        told.tell("block", (round, on.put_stream(write, &block)));
    }
    told.tell("full", (on.bits(write), on.put_stream(write, b"x")));
    told.tell("a page less one", on.take_stream(read, 4095).0);
    told.tell("no room yet", (on.bits(write), on.put_stream(write, b"x")));
    told.tell("a page", on.take_stream(read, 1).0);
    told.tell("room", (on.bits(write), on.put_stream(write, &block)));
    on.close(read);
    on.close(write);
}

pub fn a_pipe_without_a_reader<G: Ground>(on: &G, told: &mut Told) {
    let (read, write) = on.new_pipe();
    on.close(read);
    told.tell("deaf", on.bits(write));
    told.tell("write", on.put_stream(write, b"x"));
    on.close(write);
}

pub fn an_eventfd<G: Ground>(on: &G, told: &mut Told) {
    let fd = on.eventfd();
    told.tell("fresh", on.bits(fd));
    told.tell("nothing there", on.take_stream(fd, 8));
    told.tell("signal", (on.eventfd_signal(fd), on.eventfd_signal(fd)));
    told.tell("readable", on.bits(fd));
    told.tell("too little room", on.take_stream(fd, 4));
    told.tell("both at once", on.take_stream(fd, 8));
    told.tell("nothing more", on.take_stream(fd, 8));
    on.close(fd);
}

pub fn numbers_are_reused<G: Ground>(on: &G, told: &mut Told) {
    let fds = [(); 4].map(|()| on.eventfd());
    on.close(fds[2]);
    on.close(fds[1]);
    told.tell("closed twice", on.close(fds[1]));
    let (read, write) = on.new_pipe();
    told.tell("the lowest first", (read == fds[1], write == fds[2]));
    let copy = on.duplicate(fds[0]);
    on.eventfd_signal(fds[0]);
    told.tell("the same file", (on.status(copy) == on.status(fds[0]), on.take_stream(copy, 8)));
    for fd in [fds[0], read, write, fds[3], copy] {
        told.tell("close", on.close(fd));
    }
    told.tell("nothing there", (on.status(fds[0]), on.flags(fds[0]), on.bits(fds[0])));
}

pub fn vectors<G: Ground>(on: &G, told: &mut Told) {
    let (a, b) = on.unix_pair();
    let mut words = [*b"one", *b"two"];
    let mut iov = words.each_mut().map(|word| libc::iovec { iov_base: word.as_mut_ptr().cast(), iov_len: word.len() });
    // SAFETY: zeroes are a message; what it leads to outlives the calls.
    unsafe {
        let mut msg: libc::msghdr = std::mem::zeroed();
        (msg.msg_iov, msg.msg_iovlen) = (iov.as_mut_ptr(), iov.len() as _);
        told.tell("send", on.sendmsg(a, &msg, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL));
        words = [[0; 3]; 2];
        told.tell("a part", on.take(b, 1));
        told.tell("receive", on.recvmsg(b, &mut msg, libc::MSG_DONTWAIT));
        told.tell("nothing more", on.recvmsg(b, &mut msg, libc::MSG_DONTWAIT));
    }
    told.tell("words", words);
    on.close(a);
    on.close(b);
}
