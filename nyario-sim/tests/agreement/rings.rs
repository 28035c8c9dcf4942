//! io_uring, by hand.

use crate::{Ground, Told};
use nyario_core::sys::Fd;
use nyario_core::sys::abi::{
    BufEntry, BufReg, CqOffsets, Cqe, EventsArg, SqOffsets, Sqe, Timespec, UringParams, uring as abi,
};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

const FLAGS: u32 =
    abi::SETUP_SINGLE_ISSUER | abi::SETUP_DEFER_TASKRUN | abi::SETUP_SUBMIT_ALL | abi::SETUP_CQSIZE | abi::SETUP_CLAMP;

/// A ring with the least that scripts need.
pub struct Ring<'a, G: Ground> {
    on: &'a G,
    fd: Fd,
    sq: SqOffsets,
    cq: CqOffsets,
    rings: *mut u8,
    rings_len: usize,
    sqes: *mut Sqe,
    sqes_len: usize,
    mask: u32,
    queued: u32,
    buffers: Option<(*mut u8, usize)>,
}

impl<'a, G: Ground> Ring<'a, G> {
    /// None where the kernel has none, or an older one than these scripts speak of.
    pub fn new(on: &'a G, told: &mut Told, entries: u32, completions: u32) -> Option<Ring<'a, G>> {
        let mut params = UringParams { flags: FLAGS, cq_entries: completions, ..UringParams::default() };
        let fd = on.uring_setup(entries, &mut params);
        if fd < 0 {
            eprintln!("skipped: no ring is to be had ({fd})");
            told.skipped = true;
            return None;
        }
        let rings_len = (params.sq_off.array + params.sq_entries * 4) as usize;
        let rings_len = rings_len.max(params.cq_off.cqes as usize + params.cq_entries as usize * size_of::<Cqe>());
        let sqes_len = params.sq_entries as usize * size_of::<Sqe>();
        let (prot, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: fresh mappings.
        let (rings, sqes) = unsafe {
            (on.mmap(rings_len, prot, shared, fd, abi::OFF_SQ_RING), on.mmap(sqes_len, prot, shared, fd, abi::OFF_SQES))
        };
        assert!(rings > 0 && sqes > 0);
        let (rings, sqes) = (rings as *mut u8, sqes as *mut Sqe);
        for slot in 0..params.sq_entries {
            // SAFETY: the array lies in the mapping.
            unsafe { rings.add(params.sq_off.array as usize).cast::<u32>().add(slot as usize).write(slot) };
        }
        let (sq, cq, mask) = (params.sq_off, params.cq_off, params.sq_entries - 1);
        Some(Ring { on, fd, sq, cq, rings, rings_len, sqes, sqes_len, mask, queued: 0, buffers: None })
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel laid the word out there.
        unsafe { &*self.rings.add(offset as usize).cast() }
    }

    pub fn push(&mut self, sqe: Sqe) {
        let tail = self.word(self.sq.tail).load(Ordering::Relaxed);
        // SAFETY: scripts queue no more than fit.
        unsafe { self.sqes.add((tail & self.mask) as usize).write(sqe) };
        self.word(self.sq.tail).store(tail + 1, Ordering::Release);
        self.queued += 1;
    }

    /// Submits, and waits for a completion for as long as that may take on a busy machine, or not at all.
    fn enter(&mut self, wait: u32) -> i32 {
        let time = Timespec::from_nanos(200_000_000);
        let arg = EventsArg { timeout: &raw const time as u64, ..EventsArg::default() };
        let flags = abi::ENTER_GETEVENTS | abi::ENTER_EXT_ARG;
        // SAFETY: what the scripts lend stays until their ring is gone.
        unsafe { self.on.uring_enter(self.fd, std::mem::take(&mut self.queued), wait, flags, Some(&arg)) }
    }

    fn pop(&mut self) -> Option<Cqe> {
        let head = self.word(self.cq.head).load(Ordering::Relaxed);
        if head == self.word(self.cq.tail).load(Ordering::Acquire) {
            return None;
        }
        let slot = head & self.word(self.cq.ring_mask).load(Ordering::Relaxed);
        // SAFETY: the kernel has published the entry.
        let cqe = unsafe { self.rings.add(self.cq.cqes as usize).cast::<Cqe>().add(slot as usize).read() };
        self.word(self.cq.head).store(head + 1, Ordering::Release);
        Some(cqe)
    }

    /// Submits and tells of everything that completes, in the order of its names and, for one name, of its coming.
    pub fn told(&mut self, told: &mut Told, what: &str) {
        self.on.settle();
        told.tell(&format!("{what}: entered"), self.enter(0).min(0));
        self.on.settle();
        self.enter(0);
        let mut all: Vec<_> = std::iter::from_fn(|| self.pop()).map(|it| (it.user_data, it.res, it.flags)).collect();
        all.sort_by_key(|&(name, ..)| name);
        told.tell(what, all);
    }

    /// Offers buffers of 4 bytes.
    fn offer(&mut self, count: u16) {
        let len = 4096 + 64;
        let (prot, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh mapping, which the entries and the buffers fit into.
        unsafe {
            let map = self.on.mmap(len, prot, private, -1, 0) as *mut u8;
            for id in 0..count {
                let entry = map.cast::<BufEntry>().add(id.into());
                (&raw mut (*entry).addr).write(map.add(4096 + 4 * usize::from(id)) as u64);
                (&raw mut (*entry).len).write(4);
                (&raw mut (*entry).id).write(id);
            }
            let tail = (&raw mut (*map.cast::<BufEntry>()).tail).cast::<AtomicU16>();
            (*tail).store(count, Ordering::Release);
            let mut reg = BufReg { ring_addr: map as u64, ring_entries: 8, ..BufReg::default() };
            assert_eq!(self.on.uring_register(self.fd, abi::REGISTER_PBUF_RING, (&raw mut reg).cast(), 1), 0);
            self.buffers = Some((map, len));
        }
    }

    /// The bytes of a provided buffer.
    fn buffer(&self, id: usize) -> [u8; 4] {
        // SAFETY: it lies in the mapping, behind the entries.
        unsafe { self.buffers.unwrap().0.add(4096 + 4 * id).cast::<[u8; 4]>().read() }
    }
}

impl<G: Ground> Drop for Ring<'_, G> {
    fn drop(&mut self) {
        // SAFETY: the mappings are the ring's own.
        unsafe {
            if let Some((map, len)) = self.buffers {
                let mut reg = BufReg::default();
                self.on.uring_register(self.fd, abi::UNREGISTER_PBUF_RING, (&raw mut reg).cast(), 1);
                self.on.munmap(map, len);
            }
            self.on.munmap(self.rings, self.rings_len);
            self.on.munmap(self.sqes.cast(), self.sqes_len);
        }
        self.on.close(self.fd);
    }
}

pub fn receive(fd: Fd, into: &mut [u8], name: u64) -> Sqe {
    let (addr, len) = (into.as_mut_ptr() as u64, into.len() as u32);
    Sqe { opcode: abi::OP_RECV, fd, addr, len, user_data: name, ..Sqe::default() }
}

fn receive_many(fd: Fd, name: u64) -> Sqe {
    let ioprio = abi::RECV_MULTISHOT;
    Sqe { opcode: abi::OP_RECV, flags: abi::SQE_BUFFER_SELECT, ioprio, fd, user_data: name, ..Sqe::default() }
}

fn cancel(target: u64, name: u64) -> Sqe {
    Sqe { opcode: abi::OP_ASYNC_CANCEL, fd: -1, addr: target, user_data: name, ..Sqe::default() }
}

pub fn a_receive<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 8) else { return };
    let (a, b) = on.unix_pair();
    let mut bytes = [0; 4];
    on.put(b, b"at hand");
    ring.push(receive(a, &mut bytes, 1));
    ring.told(told, "with more behind it");
    told.tell("bytes", bytes);
    ring.push(receive(a, &mut bytes, 2));
    ring.told(told, "the last of it");
    on.close(b);
    ring.push(receive(a, &mut bytes, 3));
    ring.told(told, "the end");
    on.close(a);
}

pub fn a_receive_in_advance<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 8) else { return };
    let (a, b) = on.unix_pair();
    let mut bytes = [0; 16];
    ring.push(Sqe { ioprio: abi::RECVSEND_POLL_FIRST, ..receive(a, &mut bytes, 1) });
    ring.told(told, "nothing yet");
    on.close(on.duplicate(a));
    on.put(b, b"later");
    told.tell("nothing before it is asked for", ring.pop().is_none());
    ring.told(told, "then it is there");
    told.tell("bytes", bytes);
    on.close(a);
    on.close(b);
}

pub fn a_cancel<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 8) else { return };
    let (a, b) = on.unix_pair();
    let mut bytes = [0; 16];
    ring.push(receive(a, &mut bytes, 1));
    ring.told(told, "under way");
    ring.push(cancel(1, 2));
    ring.told(told, "cancelled");
    on.put(b, b"x");
    ring.told(told, "and over");
    told.tell("the byte is still there", on.take(a, 1));
    on.close(a);
    on.close(b);
}

pub fn a_cancel_of_nothing<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 8) else { return };
    ring.push(cancel(77, 2));
    ring.told(told, "nothing");
}

pub fn a_poll<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 8) else { return };
    let (a, b) = on.unix_pair();
    let poll = |fd, events: i16, name| Sqe {
        opcode: abi::OP_POLL_ADD,
        fd,
        op_flags: events as u32,
        user_data: name,
        ..Sqe::default()
    };
    ring.push(poll(a, libc::POLLIN, 1));
    ring.push(poll(a, libc::POLLIN | libc::POLLOUT, 2));
    ring.told(told, "what holds");
    on.put(b, b"x");
    ring.told(told, "a byte");
    ring.push(poll(a, libc::POLLIN | libc::POLLRDHUP, 3));
    ring.told(told, "still there");
    on.take(a, 1);
    ring.push(poll(a, libc::POLLIN | libc::POLLRDHUP, 4));
    ring.told(told, "gone");
    on.close(b);
    ring.told(told, "hung up");
    on.close(a);
}

pub fn many_from_one<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 16) else { return };
    ring.offer(8);
    let (a, b) = on.unix_pair();
    ring.push(receive_many(a, 1));
    ring.told(told, "armed");
    on.put(b, b"one");
    ring.told(told, "one");
    on.put(b, b"two of them");
    ring.told(told, "two of them");
    told.tell("bytes", [ring.buffer(0), ring.buffer(1), ring.buffer(2)]);
    on.close(b);
    ring.told(told, "the end");
    on.close(a);
}

pub fn many_and_no_buffers<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 16) else { return };
    ring.offer(2);
    let (a, b) = on.unix_pair();
    ring.push(receive_many(a, 1));
    ring.told(told, "armed");
    on.put(b, b"more than fits");
    ring.told(told, "dry");
    told.tell("the rest stays", on.take(a, 100));
    on.close(a);
    on.close(b);
}

pub fn an_end_of_many<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 16) else { return };
    ring.offer(8);
    let (a, b) = on.connection();
    ring.push(receive_many(a, 1));
    ring.told(told, "armed");
    on.put(a, b"unread");
    on.settle();
    on.close(b);
    ring.told(told, "broken");
    on.close(a);
}

pub fn a_half_close_of_many<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 16) else { return };
    ring.offer(8);
    let (a, b) = on.connection();
    ring.push(receive_many(a, 1));
    ring.told(told, "armed");
    on.put(b, b"last");
    on.half_close(b, libc::SHUT_WR);
    ring.told(told, "the last and the end");
    told.tell("the other way", on.put(a, b"x"));
    on.close(a);
    on.close(b);
}

pub fn deaf_ears_of_many<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 16) else { return };
    ring.offer(8);
    let (a, b) = on.unix_pair();
    ring.push(receive_many(a, 1));
    ring.told(told, "armed");
    on.put(b, b"more");
    on.half_close(a, libc::SHUT_RD);
    ring.told(told, "what was there, and the end");
    on.close(a);
    on.close(b);
}

pub fn many_cancelled<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 16) else { return };
    ring.offer(8);
    let (a, b) = on.unix_pair();
    ring.push(receive_many(a, 1));
    ring.told(told, "armed");
    on.put(b, b"one");
    ring.told(told, "one");
    ring.push(cancel(1, 2));
    ring.told(told, "cancelled");
    on.put(b, b"x");
    ring.told(told, "and over");
    on.close(a);
    on.close(b);
}

pub fn accepts<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 16) else { return };
    let (listener, port) = on.listener();
    let ioprio = abi::ACCEPT_MULTISHOT;
    ring.push(Sqe { opcode: abi::OP_ACCEPT, ioprio, fd: listener, user_data: 1, ..Sqe::default() });
    ring.enter(0);
    let clients = [(); 3].map(|()| {
        let client = on.dial(port);
        on.settle();
        client
    });
    ring.enter(0);
    for _ in 0..3 {
        let cqe = ring.pop().expect("one for each");
        told.tell("accepted", (cqe.res >= 0, cqe.flags));
        on.close(cqe.res);
    }
    ring.push(cancel(1, 2));
    ring.told(told, "cancelled");
    on.close(listener);
    for client in clients {
        on.close(client);
    }
}

pub fn more_than_fit<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 2, 2) else { return };
    let fd = on.eventfd();
    let poll =
        |name| Sqe { opcode: abi::OP_POLL_ADD, fd, op_flags: libc::POLLOUT as u32, user_data: name, ..Sqe::default() };
    for round in 0..3 {
        ring.push(poll(2 * round));
        ring.push(poll(2 * round + 1));
        told.tell("submitted", ring.enter(0));
    }
    let overflown = |ring: &Ring<G>| ring.word(ring.sq.flags).load(Ordering::Relaxed) & abi::SQ_CQ_OVERFLOW != 0;
    told.tell("overflown", overflown(&ring));
    let mut names = Vec::new();
    for _ in 0..4 {
        names.extend(std::iter::from_fn(|| ring.pop()).map(|cqe| cqe.user_data));
        told.tell("entered", ring.enter(0));
    }
    told.tell("none is lost", (names, overflown(&ring)));
    on.close(fd);
}

pub fn misuse<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 8) else { return };
    let fd = on.eventfd();
    on.close(fd);
    let mut bytes = [0; 4];
    ring.push(receive(fd, &mut bytes, 1));
    ring.told(told, "closed");
    let fd = on.eventfd();
    ring.push(receive(fd, &mut bytes, 2));
    ring.push(Sqe { opcode: abi::OP_ACCEPT, fd, user_data: 3, ..Sqe::default() });
    ring.told(told, "no socket");
    on.close(fd);
    let mut params = UringParams { flags: abi::SETUP_DEFER_TASKRUN, ..UringParams::default() };
    told.tell("deferred without a single issuer", on.uring_setup(4, &mut params));
    let mut params = UringParams { flags: abi::SETUP_CQSIZE, cq_entries: 2, ..UringParams::default() };
    told.tell("fewer completions than submissions", on.uring_setup(4, &mut params));
}

pub fn a_send_to_who_left<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 8) else { return };
    let (a, b) = on.unix_pair();
    let bytes = *b"hello";
    let flags = libc::MSG_NOSIGNAL as u32;
    let send = |name| Sqe {
        opcode: abi::OP_SEND,
        fd: a,
        addr: bytes.as_ptr() as u64,
        len: 5,
        op_flags: flags,
        user_data: name,
        ..Sqe::default()
    };
    ring.push(send(1));
    ring.told(told, "sent");
    told.tell("arrived", on.take(b, 10));
    on.close(b);
    ring.push(send(2));
    ring.told(told, "refused");
    on.close(a);
}

pub fn time_out<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 8) else { return };
    told.tell("nothing comes", ring.enter(1));
}
