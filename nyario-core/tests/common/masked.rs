//! The real kernel with one thing missing: older kernels, as far as this one can play them. `NYARIO_TEST_MASK` names
//! what is missing in a run of the suites, and `masks.rs` goes through all of it. Without a mask every call goes
//! straight through, apart from the count of what is mapped.
//!
//! What an old kernel refuses is refused in its way: a set-up, an enter or a registration here, a submission by giving
//! it a flag that no kernel knows, so that its refusal comes by the completion ring in its turn.

use nyario_core::sys::abi::{Cqe, EpollEvent, EventsArg, FdStatus, KEvent, Sqe, UringParams, uring as abi};
use nyario_core::sys::{Errno, Fd, Kernel, Linux};
use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicIsize, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// What a kernel lacks.
#[derive(Clone, Copy, Default, Debug)]
pub struct Mask {
    pub name: &'static str,
    /// `SETUP_*`.
    setup: u32,
    /// `FEAT_*`, and the `ENTER_*` that they announce.
    features: u32,
    enter: u32,
    /// `REGISTER_*`, by number.
    register: u64,
    /// The flags of receives, sends and accepts that stand in `ioprio`.
    receive: u16,
    send: u16,
    accept: u16,
    /// What completions do not tell.
    told: u32,
}

const NOTHING: Mask =
    Mask { name: "", setup: 0, features: 0, enter: 0, register: 0, receive: 0, send: 0, accept: 0, told: 0 };

const COOPERATION: u32 = abi::SETUP_COOP_TASKRUN | abi::SETUP_TASKRUN_FLAG;
const SINGLE: u32 = abi::SETUP_SINGLE_ISSUER | abi::SETUP_DEFER_TASKRUN;

/// Each thing that a kernel may lack, and at the end all of them, which makes Linux 5.15.
pub const MASKS: [Mask; 12] = [
    Mask { name: "no_sqarray", setup: abi::SETUP_NO_SQARRAY, ..NOTHING },
    Mask { name: "single_issuer", setup: SINGLE, ..NOTHING },
    Mask { name: "coop_taskrun", setup: COOPERATION, ..NOTHING },
    Mask { name: "submit_all", setup: abi::SETUP_SUBMIT_ALL, ..NOTHING },
    Mask { name: "buffer_rings", register: 1 << abi::REGISTER_PBUF_RING, ..NOTHING },
    Mask { name: "multishot_receive", receive: abi::RECV_MULTISHOT, ..NOTHING },
    Mask { name: "multishot_accept", accept: abi::ACCEPT_MULTISHOT, ..NOTHING },
    Mask { name: "registered_rings", register: 1 << abi::REGISTER_RING_FDS, ..NOTHING },
    Mask { name: "nonempty_hint", told: abi::CQE_F_SOCK_NONEMPTY, ..NOTHING },
    Mask { name: "no_iowait", features: abi::FEAT_NO_IOWAIT, enter: abi::ENTER_NO_IOWAIT, ..NOTHING },
    // Polling first came with cooperation, in 5.19; the stable kernels of before refuse it, and the rest overlook it.
    Mask {
        name: "poll_first",
        setup: COOPERATION,
        receive: abi::RECVSEND_POLL_FIRST,
        send: abi::RECVSEND_POLL_FIRST,
        ..NOTHING
    },
    Mask {
        name: "everything",
        setup: abi::SETUP_NO_SQARRAY | SINGLE | COOPERATION | abi::SETUP_SUBMIT_ALL,
        features: abi::FEAT_NO_IOWAIT,
        enter: abi::ENTER_NO_IOWAIT,
        register: 1 << abi::REGISTER_PBUF_RING | 1 << abi::REGISTER_RING_FDS,
        receive: abi::RECVSEND_POLL_FIRST | abi::RECV_MULTISHOT,
        send: abi::RECVSEND_POLL_FIRST,
        accept: abi::ACCEPT_MULTISHOT,
        told: abi::CQE_F_SOCK_NONEMPTY,
    },
];

/// A submission's flag that no kernel knows.
const UNKNOWN: u16 = 1 << 15;

static MASK: AtomicPtr<Mask> = AtomicPtr::new(null_mut());
static REFUSED: AtomicUsize = AtomicUsize::new(0);
static MAPPED: AtomicIsize = AtomicIsize::new(0);

/// Puts a mask on for the loops to come, instead of the environment's.
pub fn put_on(mask: &'static Mask) {
    MASK.store(std::ptr::from_ref(mask).cast_mut(), Ordering::Relaxed);
    REFUSED.store(0, Ordering::Relaxed);
}

/// How often the mask withheld something since it was put on.
pub fn refused() -> usize {
    REFUSED.load(Ordering::Relaxed)
}

/// How many bytes the loops have mapped and not given back.
pub fn mapped() -> isize {
    MAPPED.load(Ordering::Relaxed)
}

fn mask() -> &'static Mask {
    // SAFETY: nothing but static masks is put there.
    unsafe { MASK.load(Ordering::Relaxed).as_ref() }.unwrap_or_else(|| {
        static NAMED: OnceLock<&'static Mask> = OnceLock::new();
        NAMED.get_or_init(|| match std::env::var("NYARIO_TEST_MASK") {
            Ok(name) => MASKS.iter().find(|mask| mask.name == name).expect("NYARIO_TEST_MASK names a mask"),
            Err(_) => &NOTHING,
        })
    })
}

fn refuse() -> i32 {
    REFUSED.fetch_add(1, Ordering::Relaxed);
    -libc::EINVAL
}

/// A ring, as far as its submissions and completions have to be reached.
struct View {
    fd: Fd,
    /// The index that it is registered with, or its descriptor.
    entry: Fd,
    params: UringParams,
    rings: *mut u8,
    sqes: *mut Sqe,
}

thread_local! {
    /// The rings of this thread's loops.
    static VIEWS: RefCell<Vec<View>> = const { RefCell::new(Vec::new()) };
}

impl View {
    fn word(&self, offset: u32) -> u32 {
        // SAFETY: the kernel laid the word out there, and it is treated atomically by both sides.
        unsafe { (*self.rings.add(offset as usize).cast::<AtomicU32>()).load(Ordering::Acquire) }
    }

    /// Makes the submissions to come such that the kernel refuses what it is not to know.
    fn spoil(&self, mask: &Mask) {
        let (sq, room) = (&self.params.sq_off, self.params.sq_entries - 1);
        let (mut at, tail) = (self.word(sq.head), self.word(sq.tail));
        while at != tail {
            // SAFETY: between head and tail lie whole submissions, and the kernel reads them only when entered. The
            // array of indices, where there is one, names each in its own place.
            let sqe = unsafe { &mut *self.sqes.add((at & room) as usize) };
            let unknown = match sqe.opcode {
                abi::OP_RECV => mask.receive,
                abi::OP_SEND => mask.send,
                abi::OP_ACCEPT => mask.accept,
                _ => 0,
            };
            if sqe.ioprio & unknown != 0 {
                sqe.ioprio = UNKNOWN;
                refuse();
            }
            at = at.wrapping_add(1);
        }
    }

    /// Takes from the completions what the kernel is not to tell.
    fn hush(&self, mask: &Mask) {
        let (cq, room) = (&self.params.cq_off, self.params.cq_entries - 1);
        let (mut at, tail) = (self.word(cq.head), self.word(cq.tail));
        while at != tail {
            // SAFETY: between head and tail lie whole completions, which the kernel does not touch until the head has
            // passed them.
            let cqe = unsafe { &mut *self.rings.add(cq.cqes as usize).cast::<Cqe>().add((at & room) as usize) };
            if cqe.flags & mask.told != 0 {
                cqe.flags &= !mask.told;
                refuse();
            }
            at = at.wrapping_add(1);
        }
    }
}

fn with_view<T>(ring: Fd, by_entry: bool, work: impl FnOnce(&mut View) -> T) -> Option<T> {
    VIEWS.with_borrow_mut(|views| {
        views.iter_mut().find(|view| (if by_entry { view.entry } else { view.fd }) == ring).map(work)
    })
}

/// The running kernel, masked.
#[derive(Clone, Copy, Default, Debug)]
pub struct Masked;

// SAFETY: each call is the real kernel's own, or refused without a look at its pointers. Of io_uring's memory only what
// lies between heads and tails is touched, which is then this side's.
unsafe impl Kernel for Masked {
    fn kqueue(&self) -> i32 {
        Linux.kqueue()
    }

    fn kevent(&self, queue: Fd, changes: &[KEvent], events: &mut [KEvent], timeout: Option<u64>) -> i32 {
        Linux.kevent(queue, changes, events, timeout)
    }

    fn uring_setup(&self, entries: u32, params: &mut UringParams) -> i32 {
        let mask = mask();
        if params.flags & mask.setup != 0 {
            return refuse();
        }
        let fd = Linux.uring_setup(entries, params);
        if fd >= 0 {
            if params.features & mask.features != 0 {
                params.features &= !mask.features;
                refuse();
            }
            let view = View { fd, entry: fd, params: *params, rings: null_mut(), sqes: null_mut() };
            VIEWS.with_borrow_mut(|views| views.push(view));
        }
        fd
    }

    unsafe fn uring_enter(&self, ring: Fd, submit: u32, wait: u32, flags: u32, arg: Option<&EventsArg>) -> i32 {
        let mask = mask();
        if flags & mask.enter != 0 {
            return refuse();
        }
        let by_entry = flags & abi::ENTER_REGISTERED_RING != 0;
        if mask.receive | mask.send | mask.accept != 0 {
            with_view(ring, by_entry, |view| view.spoil(mask));
        }
        // SAFETY: forwarded from the caller.
        let result = unsafe { Linux.uring_enter(ring, submit, wait, flags, arg) };
        if mask.told != 0 {
            with_view(ring, by_entry, |view| view.hush(mask));
        }
        result
    }

    unsafe fn uring_register(&self, ring: Fd, opcode: u32, arg: *mut c_void, count: u32) -> i32 {
        if mask().register & 1 << opcode != 0 {
            return refuse();
        }
        // SAFETY: forwarded from the caller.
        let result = unsafe { Linux.uring_register(ring, opcode, arg, count) };
        if opcode == abi::REGISTER_RING_FDS && result == 1 {
            // SAFETY: the update begins with the index that the kernel has filled in.
            let entry = unsafe { *arg.cast::<u32>() };
            with_view(ring, false, |view| view.entry = entry as Fd);
        }
        result
    }

    unsafe fn mmap(&self, len: usize, prot: i32, flags: i32, fd: Fd, offset: u64) -> isize {
        // SAFETY: forwarded from the caller.
        let address = unsafe { Linux.mmap(len, prot, flags, fd, offset) };
        if (-4095..0).contains(&address) {
            return address;
        }
        MAPPED.fetch_add(len as isize, Ordering::Relaxed);
        with_view(fd, false, |view| match offset {
            abi::OFF_SQ_RING => view.rings = address as *mut u8,
            _ => view.sqes = address as *mut Sqe,
        });
        address
    }

    unsafe fn munmap(&self, addr: *mut u8, len: usize) -> i32 {
        MAPPED.fetch_sub(len as isize, Ordering::Relaxed);
        // SAFETY: forwarded from the caller.
        unsafe { Linux.munmap(addr, len) }
    }

    fn close(&self, fd: Fd) -> i32 {
        VIEWS.with_borrow_mut(|views| {
            views.retain(|view| view.fd != fd);
            // An empty one holds no memory, which would count as the scenario's.
            views.shrink_to_fit();
        });
        Linux.close(fd)
    }

    fn now(&self) -> u64 {
        Linux.now()
    }

    fn lately(&self) -> u64 {
        Linux.lately()
    }

    fn status(&self, fd: Fd) -> Result<FdStatus, Errno> {
        Linux.status(fd)
    }

    fn flags(&self, fd: Fd) -> i32 {
        Linux.flags(fd)
    }

    fn duplicate(&self, fd: Fd) -> i32 {
        Linux.duplicate(fd)
    }

    fn set_flags(&self, fd: Fd, flags: i32) -> i32 {
        Linux.set_flags(fd, flags)
    }

    unsafe fn recv(&self, fd: Fd, buf: *mut u8, len: usize, flags: i32) -> isize {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.recv(fd, buf, len, flags) }
    }

    unsafe fn send(&self, fd: Fd, buf: *const u8, len: usize, flags: i32) -> isize {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.send(fd, buf, len, flags) }
    }

    unsafe fn recvmsg(&self, fd: Fd, msg: *mut libc::msghdr, flags: i32) -> isize {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.recvmsg(fd, msg, flags) }
    }

    unsafe fn sendmsg(&self, fd: Fd, msg: *const libc::msghdr, flags: i32) -> isize {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.sendmsg(fd, msg, flags) }
    }

    unsafe fn readv(&self, fd: Fd, iov: *const libc::iovec, count: usize, flags: i32) -> isize {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.readv(fd, iov, count, flags) }
    }

    unsafe fn writev(&self, fd: Fd, iov: *const libc::iovec, count: usize, flags: i32) -> isize {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.writev(fd, iov, count, flags) }
    }

    unsafe fn splice(&self, from: Fd, off: *mut i64, to: Fd, to_off: *mut i64, len: usize, flags: u32) -> isize {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.splice(from, off, to, to_off, len, flags) }
    }

    unsafe fn sendfile(&self, to: Fd, from: Fd, off: *mut i64, len: usize) -> isize {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.sendfile(to, from, off, len) }
    }

    fn socket(&self, domain: i32, kind: i32, protocol: i32) -> i32 {
        Linux.socket(domain, kind, protocol)
    }

    fn socketpair(&self, domain: i32, kind: i32, protocol: i32, ends: &mut [Fd; 2]) -> i32 {
        Linux.socketpair(domain, kind, protocol, ends)
    }

    fn pipe(&self, ends: &mut [Fd; 2]) -> i32 {
        Linux.pipe(ends)
    }

    fn accept(&self, fd: Fd, flags: i32) -> i32 {
        Linux.accept(fd, flags)
    }

    unsafe fn accept_from(&self, fd: Fd, addr: *mut c_void, len: *mut u32, flags: i32) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.accept_from(fd, addr, len, flags) }
    }

    fn shutdown(&self, fd: Fd, how: i32) -> i32 {
        Linux.shutdown(fd, how)
    }

    unsafe fn bind(&self, fd: Fd, addr: *const c_void, len: u32) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.bind(fd, addr, len) }
    }

    fn listen(&self, fd: Fd, backlog: i32) -> i32 {
        Linux.listen(fd, backlog)
    }

    unsafe fn connect(&self, fd: Fd, addr: *const c_void, len: u32) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.connect(fd, addr, len) }
    }

    unsafe fn getsockname(&self, fd: Fd, addr: *mut c_void, len: *mut u32) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.getsockname(fd, addr, len) }
    }

    unsafe fn getpeername(&self, fd: Fd, addr: *mut c_void, len: *mut u32) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.getpeername(fd, addr, len) }
    }

    fn getsockopt(&self, fd: Fd, level: i32, name: i32) -> Result<i32, Errno> {
        Linux.getsockopt(fd, level, name)
    }

    fn setsockopt(&self, fd: Fd, level: i32, name: i32, value: i32) -> i32 {
        Linux.setsockopt(fd, level, name, value)
    }

    unsafe fn status_of_path(&self, path: *const u8) -> Result<FdStatus, Errno> {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.status_of_path(path) }
    }

    unsafe fn unlink(&self, path: *const u8) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.unlink(path) }
    }

    fn poll(&self, fds: &mut [libc::pollfd], timeout: Option<u64>) -> i32 {
        Linux.poll(fds, timeout)
    }

    fn eventfd(&self) -> i32 {
        Linux.eventfd()
    }

    fn eventfd_signal(&self, fd: Fd) -> i32 {
        Linux.eventfd_signal(fd)
    }

    fn timerfd(&self) -> i32 {
        Linux.timerfd()
    }

    fn timerfd_set(&self, fd: Fd, nanos: u64) -> i32 {
        Linux.timerfd_set(fd, nanos)
    }

    fn epoll_create(&self) -> i32 {
        Linux.epoll_create()
    }

    fn epoll_ctl(&self, epoll: Fd, op: i32, fd: Fd, event: EpollEvent) -> i32 {
        Linux.epoll_ctl(epoll, op, fd, event)
    }

    fn epoll_wait(&self, epoll: Fd, events: &mut [EpollEvent], timeout: Option<u64>) -> i32 {
        Linux.epoll_wait(epoll, events, timeout)
    }

    // `pidfd_open` is missing, as it is on kernels before Linux 5.3.

    fn wait4(&self, pid: i32, status: &mut i32, options: i32) -> i32 {
        Linux.wait4(pid, status, options)
    }

    fn waitid(&self, kind: u32, id: u32, options: i32, child: &mut i32) -> i32 {
        Linux.waitid(kind, id, options, child)
    }

    fn signalfd(&self, set: u64) -> i32 {
        Linux.signalfd(set)
    }

    fn block_signals(&self, set: u64) -> i32 {
        Linux.block_signals(set)
    }

    unsafe fn madvise(&self, addr: *mut u8, len: usize, advice: i32) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.madvise(addr, len, advice) }
    }

    unsafe fn mprotect(&self, addr: *mut u8, len: usize, prot: i32) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { Linux.mprotect(addr, len, prot) }
    }
}
