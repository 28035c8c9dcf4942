//! Calls with flags and messages, from one descriptor to another, and of several at once.

use super::fiber::{Actor, LATE};
use super::plan::Link;
use super::rig::{Person, Place, Rig, What};
use super::streams::Stream;
use nyario_core::driver::BackendKind;
use nyario_core::net;
use nyario_core::sys::{Errno, Fd};
use std::ptr::null_mut;

/// How a socket's call is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Manner {
    /// As `recvmsg` or `sendmsg`.
    pub message: bool,
    /// `MSG_*`.
    pub flags: i32,
}

/// Room for an address and for control data, of which there is none.
const ROOM: usize = 64;

/// What lies in memory that nothing was written to.
const UNTOLD: u8 = 0xee;

fn result(of: Result<usize, Errno>) -> i32 {
    of.map_or_else(|error| error.result(), |count| count as i32)
}

/// Two parts of a fiber's memory.
fn halves(base: *mut u8, len: usize) -> [libc::iovec; 2] {
    let part = |from: usize, to: usize| libc::iovec { iov_base: base.wrapping_add(from).cast(), iov_len: to - from };
    [part(0, len / 3), part(len / 3, len)]
}

impl Rig {
    /// An end of a pair as it is now.
    fn place(&self, end: usize, fd: Fd) -> Place {
        Place { fd, end, life: self.end(end).life }
    }

    pub(super) fn is_gone(&self, place: Place) -> bool {
        self.end(place.end).life != place.life
    }
}

impl Actor {
    /// Whether there was a reason to move less than was asked for.
    fn was_cut_short(&self, place: Place, stream: usize) -> bool {
        let rig = &self.rig;
        let fate = rig.streams.borrow()[stream].fate;
        let people = rig.people.borrow();
        let person = &people[self.me];
        let late = person.deadline != 0 && person.deadline <= rig.model.clock();
        let ended = fate.finished || fate.deaf || fate.broken || rig.faults().reset > 0 || rig.faults().exhausted > 0;
        person.cancelled || late || ended || rig.stopped.get() || rig.is_gone(place)
    }

    pub(super) fn receive(&mut self, end: usize, len: usize, manner: Manner) {
        let rig = self.rig.clone();
        let (Some(fd), Some(stream)) = (self.usable(end), rig.end(end).reads) else { return };
        let Manner { message, flags } = manner;
        let pair = rig.plan.pairs[end / 2];
        let now = flags & libc::MSG_DONTWAIT != 0;
        let whole = flags & libc::MSG_WAITALL != 0 && pair.link.is_connection();
        // What is not the loop's own, or could not be watched as such, is asked for past those who wait.
        let alone = whole || (now && !(pair.owned && rig.faults().exhausted == 0));
        if !rig.streams.borrow_mut()[stream].reads_alone(alone) {
            return;
        }
        let (ticket, place) = (rig.streams.borrow_mut()[stream].begin_read(), rig.place(end, fd));
        let waits = |person: &Person| person.pending.is_some_and(|pending| pending.what == What::Read(fd));
        let nobody_else = !rig.people.borrow().iter().any(waits);
        // One look at a small ring need not bring what a multishot receive has taken.
        let ahead = pair.owned && rig.plan.config.backend == Some(BackendKind::Uring);
        let there =
            nobody_else && !ahead && rig.faults().refused == 0 && rig.model.holds(fd) & libc::POLLIN as u32 != 0;
        self.lend(len);
        let (looped, buf) = (rig.looped, self.memory.as_mut_ptr());
        let mut told = (0, 0, 0);
        let count = self.suspend(What::Read(fd), Some(end), Some(stream), || {
            if !message {
                // SAFETY: the fiber's memory, which stays as it is until the call is over.
                return result(net::recv(looped, fd, unsafe { std::slice::from_raw_parts_mut(buf, len) }, flags));
            }
            let (mut parts, mut name, mut control) = (halves(buf, len), [UNTOLD; ROOM], [UNTOLD; ROOM]);
            // SAFETY: zeroes are a message, and what it leads to stays as it is until the call is over.
            unsafe {
                let mut msg: libc::msghdr = std::mem::zeroed();
                (msg.msg_iov, msg.msg_iovlen) = (parts.as_mut_ptr(), parts.len() as _);
                (msg.msg_name, msg.msg_namelen) = (name.as_mut_ptr().cast(), ROOM as u32);
                (msg.msg_control, msg.msg_controllen) = (control.as_mut_ptr().cast(), ROOM as _);
                let count = result(net::recvmsg(looped, fd, &mut msg, flags));
                told = (msg.msg_namelen as usize, msg.msg_controllen as usize, msg.msg_flags);
                assert!([name, control].iter().flatten().all(|&byte| byte == UNTOLD), "something came with a message");
                count
            }
        });
        let cut = if pair.link == Link::Messages { libc::MSG_TRUNC } else { 0 };
        let told = (told.0, told.1, told.2 & !(libc::MSG_CMSG_CLOEXEC | cut));
        assert!(count < 0 || told == (0, 0, 0), "a message came with an address, control data and flags: {told:?}");
        let mut errors = rig.errors(Some(stream), Stream::read_errors);
        errors.extend((!pair.link.is_socket()).then_some(libc::ENOTSOCK));
        errors.extend(now.then_some(libc::EAGAIN));
        self.allow(count, &errors);
        assert!(!there || count != -libc::EAGAIN, "fiber {} is told that nothing is there", self.me);
        let full = !whole || count < 0 || count as usize == len;
        assert!(full || self.was_cut_short(place, stream), "fiber {} is told of {count} of all {len} bytes", self.me);
        let looked = flags & libc::MSG_PEEK != 0;
        let streams = &mut rig.streams.borrow_mut()[stream];
        match looked {
            true => streams.looked(ticket, count, &self.memory[..len]),
            false => streams.read(ticket, count, &self.memory[..len]),
        }
        self.take_back(len);
    }

    pub(super) fn send(&mut self, end: usize, len: usize, manner: Manner) {
        let rig = self.rig.clone();
        let (Some(fd), Some(stream)) = (self.usable(end), rig.end(end).writes) else { return };
        let Manner { message, flags } = manner;
        let pair = rig.plan.pairs[end / 2];
        let now = flags & libc::MSG_DONTWAIT != 0;
        let whole = !now && pair.link.is_connection();
        let alone = whole || (now && !(pair.owned && rig.faults().exhausted == 0));
        if !rig.streams.borrow_mut()[stream].writes_alone(alone) {
            return;
        }
        let (ticket, place) = (rig.streams.borrow_mut()[stream].begin_write(), rig.place(end, fd));
        let bytes = self.words(len);
        let (looped, buf) = (rig.looped, self.memory.as_mut_ptr());
        let count = self.suspend(What::Write(fd), Some(end), None, || {
            // SAFETY: the fiber's memory, which stays as it is until the call is over; zeroes are a message.
            unsafe {
                if !message {
                    return result(net::send(looped, fd, std::slice::from_raw_parts(buf, len), flags));
                }
                let mut parts = halves(buf, len);
                let mut msg: libc::msghdr = std::mem::zeroed();
                (msg.msg_iov, msg.msg_iovlen) = (parts.as_mut_ptr(), parts.len() as _);
                result(net::sendmsg(looped, fd, &msg, flags))
            }
        });
        let mut errors = rig.errors(Some(stream), Stream::write_errors);
        errors.extend((!pair.link.is_socket()).then_some(libc::ENOTSOCK));
        errors.extend(now.then_some(libc::EAGAIN));
        self.allow(count, &errors);
        let full = !whole || count < 0 || count as usize == len;
        assert!(full || self.was_cut_short(place, stream), "fiber {} has sent {count} of {len} bytes", self.me);
        rig.streams.borrow_mut()[stream].wrote(ticket, count, &bytes);
        self.take_back(len);
    }

    /// Moves bytes from one end to another, without their passing through the fiber's memory.
    pub(super) fn transfer(&mut self, from_end: usize, to_end: usize, len: usize, of_file: bool) {
        let rig = self.rig.clone();
        let (Some(from), Some(source)) = (self.usable(from_end), rig.end(from_end).reads) else { return };
        let (Some(to), Some(sink)) = (self.usable(to_end), rig.end(to_end).writes) else { return };
        let links = [from_end, to_end].map(|end| rig.plan.pairs[end / 2].link);
        let fits = if of_file { links[0] == Link::File } else { links.contains(&Link::Pipe) && links[0] != Link::File };
        if !fits || source == sink || [links[0], links[1]].contains(&Link::Messages) || links[1] == Link::File {
            return;
        }
        if !rig.streams.borrow_mut()[source].reads_alone(true) {
            return;
        }
        if !rig.streams.borrow_mut()[sink].writes_alone(true) {
            rig.streams.borrow_mut()[source].is_shared();
            return;
        }
        let (reads, writes) = {
            let mut streams = rig.streams.borrow_mut();
            (streams[source].begin_read(), streams[sink].begin_write())
        };
        let places = [rig.place(from_end, from), rig.place(to_end, to)];
        let flow = rig.model.flows(to).1.expect("what is written to flows");
        rig.model.record(flow);
        let looped = rig.looped;
        let what = if of_file { What::SendFile(places) } else { What::Splice(places) };
        let count = self.suspend(what, None, Some(source).filter(|_| !of_file), || {
            let (from, to) = ((from, null_mut()), (to, null_mut()));
            // SAFETY: there are no offsets.
            unsafe {
                result(match of_file {
                    true => net::sendfile(looped, to.0, from, len),
                    false => net::splice(looped, from, to, len, 0),
                })
            }
        });
        let gone = places.iter().any(|&place| rig.is_gone(place));
        assert!(count != -libc::EBADF || gone, "fiber {} finds an end closed, which is not", self.me);
        let mut errors = rig.errors(Some(source), Stream::read_errors);
        errors.extend(rig.errors(Some(sink), Stream::write_errors));
        self.allow(count, &errors);
        let moved = rig.model.recorded(flow);
        assert_eq!(moved.len(), count.max(0) as usize, "fiber {} is told what was moved", self.me);
        let mut streams = rig.streams.borrow_mut();
        streams[source].read(reads, count, &moved);
        streams[sink].wrote(writes, count, &moved);
    }

    /// Waits for any of several ends.
    pub(super) fn polls(&mut self, ends: [usize; 3], events: u32, timeout: Option<u64>) {
        let rig = self.rig.clone();
        let mut places = [None; 3];
        for (at, &end) in ends.iter().enumerate() {
            let known = ends[..at].contains(&end);
            places[at] = self.usable(end).filter(|_| !known).map(|fd| rig.place(end, fd));
        }
        if places.iter().all(Option::is_none) {
            return;
        }
        let entry = |place: Option<Place>| libc::pollfd {
            fd: place.map_or(-1, |place| place.fd),
            events: events as i16,
            revents: 0,
        };
        let mut fds = places.map(entry);
        let until = timeout.map(|timeout| rig.model.clock() + timeout);
        let deadline = rig.people.borrow()[self.me].deadline;
        let (looped, polled) = (rig.looped, &mut fds);
        let what = What::Polls(places, events, until);
        let count = self.suspend(what, None, None, || result(net::poll(looped, polled, timeout)));
        self.allow(count, &[]);
        let gone = places.iter().flatten().any(|&place| rig.is_gone(place));
        assert!(count != -libc::EBADF || gone, "fiber {} finds an end closed, which is not", self.me);
        if count < 0 {
            return;
        }
        let found = fds.iter().filter(|entry| entry.revents != 0).count();
        assert_eq!(found, count as usize, "as many have something to tell as it says");
        for (entry, place) in fds.iter().zip(places) {
            let Some(place) = place else { continue };
            let told = u32::from(entry.revents as u16);
            let gone = rig.is_gone(place);
            let always = (libc::POLLERR | libc::POLLHUP) as u32;
            assert!(gone || told & !(events | always) == 0, "a poll for {events:#x} says {told:#x}");
            let hangup = told & (libc::POLLHUP | libc::POLLRDHUP) as u32;
            assert!(
                gone || hangup & !rig.model.holds(place.fd) == 0,
                "descriptor {} is told to have hung up",
                place.fd
            );
        }
        let now = rig.model.clock();
        if let Some(until) = until {
            assert!(count > 0 || now >= until, "fiber {} polled until {now} instead of {until}", self.me);
            let bound = if deadline == 0 { until } else { until.min(deadline.max(until - timeout.unwrap_or(0))) };
            assert!(now < bound + LATE, "fiber {} polled until {now} instead of {bound}", self.me);
        }
        assert!(count > 0 || until.is_some(), "a poll without an end says that its time is up");
    }

    /// A deadline within the deadline.
    pub(super) fn within(&mut self, nanos: u64, sleep: u64) {
        let rig = self.rig.clone();
        let outer = rig.people.borrow()[self.me].deadline;
        assert_eq!(rig.looped.within(nanos), Ok(outer), "the deadline is the one that was set");
        let inner = rig.looped.deadline(outer).expect("it runs on a fiber");
        assert!(inner != 0 && (outer == 0 || inner <= outer), "a deadline is narrowed, and never widened");
        self.set_deadline(inner);
        self.sleep(sleep);
        assert_eq!(rig.looped.deadline(outer), Ok(inner), "nobody else sets a fiber's deadline");
        self.set_deadline(outer);
    }

    /// Ends a direction by the library's own call.
    pub(super) fn shutdown(&mut self, end: usize, how: i32) {
        let rig = self.rig.clone();
        let Some(fd) = self.usable(end) else { return };
        if rig.plan.pairs[end / 2].link.is_connection() {
            rig.will_be_shut(end, how);
            let done = net::shutdown(rig.looped, fd, how);
            let broken = rig.end(end).reads.is_some_and(|stream| rig.streams.borrow()[stream].fate.broken);
            let lost = rig.faults().reset > 0 || broken;
            assert!(done.is_ok() || lost, "fiber {} cannot shut: {done:?}", self.me);
        } else {
            let expected = if rig.plan.pairs[end / 2].link == Link::Messages { return } else { libc::ENOTSOCK };
            assert_eq!(net::shutdown(rig.looped, fd, how), Err(Errno(expected)));
        }
    }
}
