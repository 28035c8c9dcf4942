//! A model of the kernel: deterministic, from a seed, behind the same seam as the real one.
//!
//! ```text
//!   the core's backends --- Kernel ---> Model --> World: descriptors, files, flows, rings, epolls, kqueues
//!                                                   |  a clock that only calls and waits move
//!                                                   '- events yet to happen: arrivals, resets, workers, other threads
//! ```
//!
//! A call moves the clock a little and lets happen what is due; a wait moves it to the next event. Whatever Linux
//! leaves open (when, in which order, how much, whether at all) the seed decides.

mod config;
mod datagram;
mod ending;
mod epoll;
mod file;
mod flow;
mod kqueue;
mod memory;
mod regular;
mod scene;
mod socket;
mod transfer;
mod uring;
mod world;

pub use config::{Character, Faults, Features};
pub use regular::Content;

use file::{FileId, FileKind};
use flow::Wire;
use nyario_core::sys::abi::{EpollEvent, EventsArg, FdStatus, KEvent, UringParams};
use nyario_core::sys::{Errno, Fd, Kernel, Linux};
use std::cell::{RefCell, RefMut};
use std::ffi::c_void;
use std::rc::Rc;
use transfer::Lent;
pub use world::Journal;
use world::{Event, World};

/// A model kernel. Clones are the same kernel.
#[derive(Clone)]
pub struct Model(Rc<RefCell<World>>);

/// A run that makes more calls than this does not end.
const CALLS: u64 = 5_000_000;

impl Model {
    /// The kernel of that character whose choices that seed makes.
    pub fn new(seed: u64, character: Character) -> Model {
        Model(Rc::new(RefCell::new(World::new(seed, character))))
    }

    fn world(&self) -> RefMut<'_, World> {
        self.0.borrow_mut()
    }

    /// Begins a system call: time passes, and what is due happens first.
    #[inline]
    fn call(&self) -> RefMut<'_, World> {
        let mut world = self.world();
        world.calls += 1;
        assert!(world.calls < CALLS, "the run does not end");
        world.now += 50 + world.random.below(256);
        let stall = world.character.faults.stall;
        if world.strikes(stall) {
            world.now += world.random.below(2_000_000);
        }
        if world.next_event().is_some_and(|when| when <= world.now) {
            drop(world);
            self.happen();
            world = self.world();
        }
        world.do_eager_work();
        world
    }

    /// Lets everything happen that is due.
    fn happen(&self) {
        loop {
            let mut world = self.world();
            match world.due() {
                None => return,
                Some(Event::Outside(act)) => {
                    drop(world);
                    act();
                }
                Some(event) => world.happen(event),
            }
        }
    }

    /// Sleeps until something happens, or until that time: then `false`.
    fn pass(&self, until: Option<u64>) -> bool {
        let (next, quiet, idle) = {
            let world = self.world();
            (world.next_event(), world.is_quiet(), world.idle.clone())
        };
        match (next, until) {
            (Some(next), until) if until.is_none_or(|until| next <= until) => {
                let mut world = self.world();
                world.now = world.now.max(next);
                drop(world);
                self.happen();
                if let (true, Some(idle)) = (quiet, idle) {
                    idle(false);
                }
                true
            }
            (_, Some(until)) => {
                let mut world = self.world();
                // A sleeper wakes a little late.
                let late = world.random.below(20_000);
                world.now = world.now.max(until) + late;
                drop(world);
                self.happen();
                if let (true, Some(idle)) = (quiet, idle) {
                    idle(false);
                }
                false
            }
            (_, None) => {
                idle.expect("somebody waits for ever and nothing is to happen")(true);
                true
            }
        }
    }

    /// Waits until `look` finds something; 0 when the time-out passes first.
    fn wait(&self, timeout: Option<u64>, mut look: impl FnMut(&mut World) -> i32) -> i32 {
        let until = timeout.map(|timeout| self.world().now.saturating_add(timeout));
        loop {
            let found = look(&mut self.world());
            if found != 0 || timeout == Some(0) {
                return found;
            }
            if !self.pass(until) {
                return look(&mut self.world());
            }
        }
    }

    fn file_at(&self, world: &World, fd: Fd) -> Result<FileId, i32> {
        world.descriptors.get(fd).ok_or(-libc::EBADF)
    }

    /// Asks whether a call on the descriptor may block its thread, which in a loop it never may.
    fn must_not_block(&self, world: &mut World, fd: Fd, call: &str, result: i32, nonblocking: bool) {
        if result == -libc::EAGAIN && !nonblocking {
            let file = world.descriptors.get(fd).expect("it has just been used");
            assert!(world.file(file).nonblocking, "{call} of descriptor {fd} blocks the loop");
        }
    }
}

// SAFETY: every method reads and writes no more than the call's contract allows; pointers are kept by ring operations
// alone, until their completion.
unsafe impl Kernel for Model {
    fn now(&self) -> u64 {
        let mut world = self.world();
        world.now += 20;
        world.now
    }

    fn lately(&self) -> u64 {
        let world = self.world();
        world.now - world.now % 4_000_000
    }

    fn close(&self, fd: Fd) -> i32 {
        self.call().close(fd)
    }

    fn status(&self, fd: Fd) -> Result<FdStatus, Errno> {
        let mut world = self.call();
        let file = self.file_at(&world, fd).map_err(|error| Errno(-error))?;
        let kind = match world.file(file).kind {
            FileKind::Socket(_) | FileKind::Datagram(_) => libc::S_IFSOCK,
            FileKind::PipeReader(_) | FileKind::PipeWriter(_) => libc::S_IFIFO,
            FileKind::Regular(..) => libc::S_IFREG,
            FileKind::Null => libc::S_IFCHR,
            FileKind::Event(_) | FileKind::Timer(_) => 0,
            FileKind::Epoll(_) | FileKind::Kqueue(_) | FileKind::Uring(_) => 0,
        };
        let inode = match &world.file(file).kind {
            FileKind::Regular(regular) => regular.inode,
            _ => file.0,
        };
        Ok(FdStatus { kind, device: 1, inode: u64::from(inode) })
    }

    unsafe fn status_of_path(&self, path: *const u8) -> Result<FdStatus, Errno> {
        // SAFETY: the path ends with a NUL.
        let path = unsafe { std::ffi::CStr::from_ptr(path.cast()) };
        let name = socket::Name::Path(path.to_bytes().to_vec());
        let world = self.call();
        let file = world.names.get(&name).ok_or(Errno(libc::ENOENT))?;
        Ok(FdStatus { kind: libc::S_IFSOCK, device: 1, inode: u64::from(file.0) })
    }

    fn flags(&self, fd: Fd) -> i32 {
        let mut world = self.call();
        match self.file_at(&world, fd) {
            Ok(file) if world.file(file).nonblocking => libc::O_RDWR | libc::O_NONBLOCK,
            Ok(_) => libc::O_RDWR,
            Err(error) => error,
        }
    }

    fn duplicate(&self, fd: Fd) -> i32 {
        let mut world = self.call();
        match self.file_at(&world, fd) {
            Ok(file) => world.describe(file),
            Err(error) => error,
        }
    }

    fn set_flags(&self, fd: Fd, flags: i32) -> i32 {
        let mut world = self.call();
        match self.file_at(&world, fd) {
            Ok(file) => {
                world.file(file).nonblocking = flags & libc::O_NONBLOCK != 0;
                0
            }
            Err(error) => error,
        }
    }

    unsafe fn recv(&self, fd: Fd, buf: *mut u8, len: usize, flags: i32) -> isize {
        let mut world = self.call();
        let file = match world.any_socket_at(fd) {
            Ok(file) => file,
            Err(error) => return error as isize,
        };
        // SAFETY: the caller lends `len` bytes for the call.
        let result = unsafe { world.read_file(file, &[Lent { at: buf, len }], flags & libc::MSG_PEEK != 0) };
        world.note(|| format!("recv({fd}, {len}) = {result}"));
        self.must_not_block(&mut world, fd, "recv", result, flags & libc::MSG_DONTWAIT != 0);
        result as isize
    }

    unsafe fn send(&self, fd: Fd, buf: *const u8, len: usize, flags: i32) -> isize {
        let mut world = self.call();
        let file = match world.any_socket_at(fd) {
            Ok(file) => file,
            Err(error) => return error as isize,
        };
        // SAFETY: the caller lends `len` bytes for the call, which only reads them.
        let result = unsafe { world.write_file(file, &[Lent { at: buf.cast_mut(), len }]) };
        world.note(|| format!("send({fd}, {len}) = {result}"));
        assert!(result != -libc::EPIPE || flags & libc::MSG_NOSIGNAL != 0, "send of descriptor {fd} raises SIGPIPE");
        self.must_not_block(&mut world, fd, "send", result, flags & libc::MSG_DONTWAIT != 0);
        result as isize
    }

    unsafe fn recvmsg(&self, fd: Fd, msg: *mut libc::msghdr, flags: i32) -> isize {
        let mut world = self.call();
        let file = match world.any_socket_at(fd) {
            Ok(file) => file,
            Err(error) => return error as isize,
        };
        let whole = world.next_message(file).unwrap_or(0);
        // SAFETY: the caller answers for the message and what it leads to.
        let parts = unsafe { transfer::vectors((*msg).msg_iov, (*msg).msg_iovlen) };
        // SAFETY: as above.
        let result = unsafe { world.read_file(file, &parts, flags & libc::MSG_PEEK != 0) };
        if result >= 0 {
            // SAFETY: as above. No message here has an address or control data.
            unsafe {
                (*msg).msg_namelen = 0;
                (*msg).msg_controllen = 0;
                let cut = if whole > transfer::length(&parts) { libc::MSG_TRUNC } else { 0 };
                (*msg).msg_flags = cut | (flags & libc::MSG_CMSG_CLOEXEC);
            }
        }
        world.note(|| format!("recvmsg({fd}) = {result}"));
        self.must_not_block(&mut world, fd, "recvmsg", result, flags & libc::MSG_DONTWAIT != 0);
        result as isize
    }

    unsafe fn sendmsg(&self, fd: Fd, msg: *const libc::msghdr, flags: i32) -> isize {
        let mut world = self.call();
        let file = match world.any_socket_at(fd) {
            Ok(file) => file,
            Err(error) => return error as isize,
        };
        // SAFETY: the caller answers for the message and what it leads to.
        let result = unsafe {
            let parts = transfer::vectors((*msg).msg_iov, (*msg).msg_iovlen);
            world.write_file(file, &parts)
        };
        world.note(|| format!("sendmsg({fd}) = {result}"));
        assert!(result != -libc::EPIPE || flags & libc::MSG_NOSIGNAL != 0, "sendmsg of descriptor {fd} raises SIGPIPE");
        self.must_not_block(&mut world, fd, "sendmsg", result, flags & libc::MSG_DONTWAIT != 0);
        result as isize
    }

    unsafe fn readv(&self, fd: Fd, iov: *const libc::iovec, count: usize, flags: i32) -> isize {
        let mut world = self.call();
        let file = match self.file_at(&world, fd) {
            Ok(file) => file,
            Err(error) => return error as isize,
        };
        let nowait = flags & libc::RWF_NOWAIT != 0;
        if nowait && !world.knows_nowait(file) {
            return -(libc::EOPNOTSUPP as isize);
        }
        // SAFETY: the caller answers for the vectors and what they lead to.
        let result = unsafe { world.read_file(file, &transfer::vectors(iov, count), false) };
        world.note(|| format!("readv({fd}) = {result}"));
        self.must_not_block(&mut world, fd, "readv", result, nowait);
        result as isize
    }

    unsafe fn writev(&self, fd: Fd, iov: *const libc::iovec, count: usize, flags: i32) -> isize {
        let mut world = self.call();
        let file = match self.file_at(&world, fd) {
            Ok(file) => file,
            Err(error) => return error as isize,
        };
        let nowait = flags & libc::RWF_NOWAIT != 0;
        if nowait && !world.knows_nowait(file) {
            return -(libc::EOPNOTSUPP as isize);
        }
        // SAFETY: the caller answers for the vectors and what they lead to.
        let parts = unsafe { transfer::vectors(iov, count) };
        // SAFETY: as above; they are only read.
        let result = unsafe { world.write_file(file, &parts) };
        world.note(|| format!("writev({fd}) = {result}"));
        let blocking = !nowait && !world.file(file).nonblocking;
        let wanted: usize = parts.iter().map(|part| part.len).sum();
        let cut = result >= 0 && (result as usize) < wanted && world.is_pipe(file);
        assert!(!(blocking && cut), "writev of descriptor {fd} blocks the loop half-way");
        self.must_not_block(&mut world, fd, "writev", result, nowait);
        result as isize
    }

    unsafe fn splice(&self, from: Fd, off: *mut i64, to: Fd, to_off: *mut i64, len: usize, flags: u32) -> isize {
        let mut world = self.call();
        assert!(off.is_null() && to_off.is_null(), "nothing that is spliced here has offsets");
        let files = [from, to].map(|fd| self.file_at(&world, fd));
        let [Ok(source), Ok(sink)] = files else { return -(libc::EBADF as isize) };
        let result = world.splice(source, sink, len);
        world.note(|| format!("splice({from}, {to}, {len}) = {result}"));
        for (fd, file) in [(from, source), (to, sink)] {
            let nonblocking =
                world.file(file).nonblocking || (!world.is_socket(file) && flags & libc::SPLICE_F_NONBLOCK != 0);
            assert!(nonblocking, "splice of descriptor {fd} may block the loop");
        }
        result as isize
    }

    unsafe fn sendfile(&self, to: Fd, from: Fd, off: *mut i64, len: usize) -> isize {
        let mut world = self.call();
        let files = [from, to].map(|fd| self.file_at(&world, fd));
        let [Ok(source), Ok(sink)] = files else { return -(libc::EBADF as isize) };
        // SAFETY: forwarded from the caller.
        let place = (!off.is_null()).then(|| unsafe { *off } as usize);
        let at = |world: &mut World, place: Option<usize>| match (&mut world.file(source).kind, place) {
            (FileKind::Regular(regular), Some(place)) => Some(std::mem::replace(&mut regular.position, place)),
            _ => None,
        };
        let position = at(&mut world, place);
        let result = world.sendfile(sink, source, len);
        let end = at(&mut world, position);
        if let Some(end) = end {
            // SAFETY: as above.
            unsafe { *off = end as i64 };
        }
        world.note(|| format!("sendfile({to}, {from}, {len}) = {result}"));
        assert!(world.file(sink).nonblocking, "sendfile to descriptor {to} may block the loop");
        result as isize
    }

    fn socket(&self, domain: i32, kind: i32, _protocol: i32) -> i32 {
        let mut world = self.call();
        let fd = world.socket(domain, kind);
        world.note(|| format!("socket() = {fd}"));
        fd
    }

    fn socketpair(&self, domain: i32, kind: i32, _protocol: i32, ends: &mut [Fd; 2]) -> i32 {
        let mut world = self.call();
        match (domain, kind & 0xf) {
            (libc::AF_UNIX, libc::SOCK_STREAM) => {}
            (libc::AF_UNIX, _) => return -libc::ESOCKTNOSUPPORT,
            _ => return -libc::EOPNOTSUPP,
        }
        world.two(ends, |world| world.pair(Wire::Unix, kind & libc::SOCK_NONBLOCK != 0))
    }

    fn pipe(&self, ends: &mut [Fd; 2]) -> i32 {
        self.call().two(ends, |world| world.pipe(false))
    }

    fn accept(&self, fd: Fd, _flags: i32) -> i32 {
        let mut world = self.call();
        let file = match world.socket_at(fd) {
            Ok(file) => file,
            Err(error) => return error,
        };
        let result = world.accept(file);
        world.note(|| format!("accept({fd}) = {result}"));
        self.must_not_block(&mut world, fd, "accept", result, false);
        result
    }

    unsafe fn accept_from(&self, fd: Fd, addr: *mut c_void, len: *mut u32, flags: i32) -> i32 {
        let result = self.accept(fd, flags);
        if result >= 0 {
            // SAFETY: forwarded from the caller.
            unsafe { self.world().tell_peer(result, addr, len) };
        }
        result
    }

    fn shutdown(&self, fd: Fd, how: i32) -> i32 {
        let mut world = self.call();
        let result = world.shutdown(fd, how);
        world.note(|| format!("shutdown({fd}, {how}) = {result}"));
        result
    }

    unsafe fn bind(&self, fd: Fd, addr: *const c_void, len: u32) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { self.call().bind(fd, addr, len) }
    }

    fn listen(&self, fd: Fd, backlog: i32) -> i32 {
        self.call().listen(fd, backlog)
    }

    unsafe fn connect(&self, fd: Fd, addr: *const c_void, len: u32) -> i32 {
        let mut world = self.call();
        let file = match world.socket_at(fd) {
            Ok(file) => file,
            Err(error) => return error,
        };
        // SAFETY: forwarded from the caller.
        let result = unsafe { world.connect(file, addr, len) };
        world.note(|| format!("connect({fd}) = {result}"));
        let waits = result == -libc::EINPROGRESS || result == -libc::EAGAIN;
        assert!(!waits || world.file(file).nonblocking, "connect of descriptor {fd} blocks the loop");
        result
    }

    unsafe fn getsockname(&self, fd: Fd, addr: *mut c_void, len: *mut u32) -> i32 {
        let mut world = self.call();
        let (wire, name) = match world.name_at(fd) {
            Ok(found) => found,
            Err(error) => return error,
        };
        // SAFETY: forwarded from the caller.
        unsafe { socket::write_name(wire, name, addr, len) };
        0
    }

    unsafe fn getpeername(&self, fd: Fd, addr: *mut c_void, len: *mut u32) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { self.call().tell_peer(fd, addr, len) }
    }

    fn getsockopt(&self, fd: Fd, level: i32, name: i32) -> Result<i32, Errno> {
        let mut world = self.call();
        let file = world.any_socket_at(fd).map_err(|error| Errno(-error))?;
        if let FileKind::Datagram(_) = world.file(file).kind {
            return match (level, name) {
                (libc::SOL_SOCKET, libc::SO_TYPE) => Ok(libc::SOCK_DGRAM),
                (libc::SOL_SOCKET, libc::SO_DOMAIN) => Ok(libc::AF_UNIX),
                _ => Ok(0),
            };
        }
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => Ok(world.take_error(file)),
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => {
                let socket = world.socket_of(file).expect("checked above");
                Ok(matches!(socket.state, socket::State::Listening { .. }).into())
            }
            (libc::SOL_SOCKET, libc::SO_TYPE) => Ok(libc::SOCK_STREAM),
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => {
                let socket = world.socket_of(file).expect("checked above");
                Ok(if socket.wire == Wire::Inet { libc::AF_INET } else { libc::AF_UNIX })
            }
            _ => Err(Errno(libc::ENOPROTOOPT)),
        }
    }

    fn setsockopt(&self, fd: Fd, _level: i32, _name: i32, _value: i32) -> i32 {
        self.call().socket_at(fd).err().unwrap_or(0)
    }

    unsafe fn unlink(&self, path: *const u8) -> i32 {
        // SAFETY: the path ends with a NUL.
        let path = unsafe { std::ffi::CStr::from_ptr(path.cast()) };
        let name = socket::Name::Path(path.to_bytes().to_vec());
        if self.call().names.remove(&name).is_some() { 0 } else { -libc::ENOENT }
    }

    fn poll(&self, fds: &mut [libc::pollfd], timeout: Option<u64>) -> i32 {
        drop(self.call());
        self.wait(timeout, |world| world.poll(fds))
    }

    fn eventfd(&self) -> i32 {
        self.call().install(FileKind::Event(0), false)
    }

    fn eventfd_signal(&self, fd: Fd) -> i32 {
        let mut world = self.call();
        let one = 1u64.to_ne_bytes();
        let Some(file) = world.descriptors.get(fd) else { return -libc::EBADF };
        let FileKind::Event(count) = &mut world.file(file).kind else { return -libc::EINVAL };
        *count += 1;
        world.note(|| format!("signal({fd})"));
        world.wake(file, libc::POLLIN as u32);
        one.len() as i32
    }

    fn timerfd(&self) -> i32 {
        self.call().install(FileKind::Timer(0), false)
    }

    fn timerfd_set(&self, fd: Fd, nanos: u64) -> i32 {
        let mut world = self.call();
        let when = world.now + nanos;
        let Some(file) = world.descriptors.get(fd) else { return -libc::EBADF };
        let FileKind::Timer(due) = &mut world.file(file).kind else { return -libc::EINVAL };
        *due = when;
        world.schedule(nanos, Event::Timer(file));
        0
    }

    fn epoll_create(&self) -> i32 {
        self.call().epoll_create()
    }

    fn epoll_ctl(&self, epoll: Fd, op: i32, fd: Fd, event: EpollEvent) -> i32 {
        let mut world = self.call();
        let result = world.epoll_ctl(epoll, op, fd, event);
        world.note(|| format!("epoll_ctl({op}, {fd}) = {result}"));
        result
    }

    fn epoll_wait(&self, epoll: Fd, events: &mut [EpollEvent], timeout: Option<u64>) -> i32 {
        let mut world = self.call();
        let file = match self.file_at(&world, epoll) {
            Ok(file) if matches!(world.file(file).kind, FileKind::Epoll(_)) => file,
            Ok(_) => return -libc::EINVAL,
            Err(error) => return error,
        };
        let interrupted = world.character.faults.interrupted;
        if world.strikes(interrupted) {
            return -libc::EINTR;
        }
        drop(world);
        let found = self.wait(timeout, |world| world.epoll_harvest(file, events));
        self.note(|| format!("epoll_wait({timeout:?}) = {found}"));
        found
    }

    fn kqueue(&self) -> i32 {
        self.call().kqueue_create()
    }

    fn kevent(&self, queue: Fd, changes: &[KEvent], events: &mut [KEvent], timeout: Option<u64>) -> i32 {
        let mut world = self.call();
        let file = match self.file_at(&world, queue) {
            Ok(file) if matches!(world.file(file).kind, FileKind::Kqueue(_)) => file,
            Ok(_) | Err(_) => return -libc::EBADF,
        };
        let told = world.kqueue_change(file, changes, events);
        if told != 0 || events.is_empty() {
            return told;
        }
        let interrupted = world.character.faults.interrupted;
        if world.strikes(interrupted) {
            return -libc::EINTR;
        }
        drop(world);
        let found = self.wait(timeout, |world| world.kqueue_harvest(file, events));
        self.note(|| format!("kevent({timeout:?}) = {found}"));
        found
    }

    fn uring_setup(&self, entries: u32, params: &mut UringParams) -> i32 {
        self.call().uring_setup(entries, params)
    }

    unsafe fn uring_enter(&self, ring: Fd, submit: u32, wait: u32, flags: u32, arg: Option<&EventsArg>) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { self.enter_uring(ring, submit, wait, flags, arg) }
    }

    unsafe fn uring_register(&self, ring: Fd, opcode: u32, arg: *mut c_void, count: u32) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { self.call().uring_register(ring, opcode, arg, count) }
    }

    unsafe fn mmap(&self, len: usize, prot: i32, flags: i32, fd: Fd, offset: u64) -> isize {
        let mut world = self.call();
        if fd == -1 {
            return world.memory.map(len, prot, flags);
        }
        world.uring_map(fd, len, offset)
    }

    unsafe fn munmap(&self, addr: *mut u8, len: usize) -> i32 {
        let mut world = self.call();
        world.uring_unmapped(addr);
        // SAFETY: forwarded from the caller.
        unsafe { world.memory.unmap(addr, len) }
    }

    unsafe fn madvise(&self, addr: *mut u8, len: usize, advice: i32) -> i32 {
        // SAFETY: forwarded from the caller: the memory is the host's own.
        unsafe { Linux.madvise(addr, len, advice) }
    }

    unsafe fn mprotect(&self, addr: *mut u8, len: usize, prot: i32) -> i32 {
        // SAFETY: as above.
        unsafe { Linux.mprotect(addr, len, prot) }
    }
}
