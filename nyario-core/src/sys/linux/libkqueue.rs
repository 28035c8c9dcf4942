//! kqueue(2) on Linux, for tests alone: libkqueue, linked where `--cfg nyario_kqueue` asks for it (`scripts/kqueue`).
//!
//! What version 2.3.1, which Debian has, lacks of a kernel's is made up for here, so that the backend need not know:
//!
//! * A descriptor has one filter per queue. A queue of ours is two of the library's, one for each direction, beneath an
//!   epoll, which is also what can be polled: the library's own descriptor, a pipe's end, cannot.
//! * A queue that is closed is noticed later, by a thread, by a signal, and not in a child. Queues are not closed, but
//!   emptied and used again; the thread is ended as soon as it waits for its first signal.
//! * It overlooks that a descriptor is closed, and cannot change what is registered. What is closed is taken out first,
//!   and what is registered again as well.
//! * Receipts and errors are not counted and do not end the call. Changes are made one at a time.
//! * It locks, so a signal handler must not ring an `EVFILT_USER`: that is an eventfd of ours.
//! * It knows no eventfds, pidfds and the like: the epoll watches those itself.
//! * It uses up `SO_ERROR`, says `EV_EOF` of every stream without bytes, and lets programs inherit what it opens.
//!
//! `scripts/kqueue` leads calls of its to this file.

use super::{Fd, Kernel, Linux};
use crate::sys::abi::{EpollEvent, KEvent, Timespec, kqueue as abi};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once};

#[link(name = "nyario_kqueue", kind = "static")]
unsafe extern "C" {
    #[link_name = "kqueue"]
    fn library_kqueue() -> c_int;
    #[link_name = "kevent"]
    fn library_kevent(
        queue: c_int,
        changes: *const KEvent,
        count: c_int,
        events: *mut KEvent,
        room: c_int,
        timeout: *const Timespec,
    ) -> c_int;
}

/// A queue of the library's, and the epoll behind it.
#[derive(Clone, Copy)]
struct Half {
    queue: c_int,
    epoll: Fd,
}

/// How a descriptor is watched in one direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watch {
    No,
    Library,
    Epoll,
}

#[derive(Clone, Copy)]
struct Entry {
    watch: [Watch; 2],
    udata: usize,
}

struct Queue {
    /// Whose it is: a child has its parent's memory, but neither its threads nor its queues.
    process: u32,
    epoll: Fd,
    bell: Fd,
    halves: [Half; 2],
    /// By descriptor.
    watched: Mutex<Vec<Entry>>,
}

/// What the epoll's own events carry; others carry the descriptor that they are of.
const BELL: u64 = u64::MAX;
const HALF: u64 = 1 << 32;

/// The queues that are open.
static QUEUES: Mutex<BTreeMap<Fd, Arc<Queue>>> = Mutex::new(BTreeMap::new());

/// The bells of the open queues, by descriptor, for signal handlers: one more than their descriptor, or 0.
static BELLS: [AtomicI32; 1 << 16] = [const { AtomicI32::new(0) }; 1 << 16];

/// Pairs of the library's queues that serve nobody.
struct Spares {
    process: u32,
    pairs: Vec<[Half; 2]>,
}

static SPARES: Mutex<Spares> = Mutex::new(Spares { process: 0, pairs: Vec::new() });

/// How many pairs are made at first, so that later ones seldom have to be.
const PAIRS: usize = 8;

type Locks = (MutexGuard<'static, BTreeMap<Fd, Arc<Queue>>>, MutexGuard<'static, Spares>);

thread_local! {
    /// What the thread holds while it forks: what another one held, the child would find locked for ever.
    static FORKING: Cell<Option<Locks>> = const { Cell::new(None) };
}

/// Has forks wait until nobody holds the locks.
fn lock_for_forks() {
    extern "C" fn before() {
        FORKING.set(Some((lock(&QUEUES), lock(&SPARES))));
    }
    extern "C" fn after() {
        FORKING.take();
    }
    static ONCE: Once = Once::new();
    // SAFETY: the functions take nothing, and glibc forgets them when the library that they are of is unloaded.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(Some(before), Some(after), Some(after));
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn errno() -> i32 {
    // SAFETY: the thread's own errno.
    unsafe { *libc::__errno_location() }
}

/// Puts errno back as it was: it is the callers', and a system call of the kernel's own does not touch it.
struct Errno(i32);

impl Errno {
    fn keep() -> Errno {
        Errno(errno())
    }
}

impl Drop for Errno {
    fn drop(&mut self) {
        // SAFETY: the thread's own errno.
        unsafe { *libc::__errno_location() = self.0 };
    }
}

pub(super) fn kqueue() -> i32 {
    let _errno = Errno::keep();
    lock_for_forks();
    let Some(halves) = take_pair() else { return -errno() };
    let queue = Linux.epoll_create();
    let bell = Linux.eventfd();
    if queue < 0 || bell < 0 || queue as usize >= BELLS.len() {
        for fd in [queue, bell].into_iter().filter(|&fd| fd >= 0) {
            Linux.close(fd);
        }
        lock(&SPARES).pairs.push(halves);
        return if queue < 0 { queue } else { -libc::EMFILE };
    }
    let watch = |fd, events: i32, data| {
        Linux.epoll_ctl(queue, libc::EPOLL_CTL_ADD, fd, EpollEvent { events: events as u32, data })
    };
    watch(bell, libc::EPOLLIN | libc::EPOLLET, BELL);
    for (side, half) in halves.iter().enumerate() {
        watch(half.epoll, libc::EPOLLIN, HALF + side as u64);
    }
    BELLS[queue as usize].store(bell + 1, Ordering::Release);
    let made = Queue { process: std::process::id(), epoll: queue, bell, halves, watched: Mutex::new(Vec::new()) };
    lock(&QUEUES).insert(queue, Arc::new(made));
    queue
}

/// A pair that serves nobody. A child's are its own: it shares its parent's epolls.
fn take_pair() -> Option<[Half; 2]> {
    let mut spares = lock(&SPARES);
    if spares.process != std::process::id() {
        *spares = Spares { process: std::process::id(), pairs: Vec::with_capacity(8 * PAIRS) };
        for _ in 0..PAIRS {
            let pair = make_pair()?;
            spares.pairs.push(pair);
        }
    }
    spares.pairs.pop().or_else(make_pair)
}

fn make_pair() -> Option<[Half; 2]> {
    let half = || {
        // SAFETY: it takes nothing.
        let queue = unsafe { library_kqueue() };
        (queue >= 0).then(|| Half { queue, epoll: CREATED.get() })
    };
    let pair = [half()?, half()?];
    await_watchman();
    Some(pair)
}

/// The library's thread, once it is about to end.
static WATCHMAN: AtomicI32 = AtomicI32::new(0);

/// Waits until the library's thread is gone, so that nobody counts it.
fn await_watchman() {
    loop {
        let thread = WATCHMAN.load(Ordering::Acquire);
        // SAFETY: signal 0 reaches nobody; it only finds out.
        if thread != 0 && unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, 0) } < 0 {
            return;
        }
        std::thread::yield_now();
    }
}

/// A descriptor is about to be closed.
pub(super) fn closing(fd: Fd) {
    let _errno = Errno::keep();
    let mut queues = lock(&QUEUES);
    if let Some(queue) = queues.remove(&fd) {
        drop(queues);
        BELLS[fd as usize].store(0, Ordering::Release);
        Linux.close(queue.bell);
        if !queue.is_own() {
            return;
        }
        let count = lock(&queue.watched).len() as Fd;
        let clean = (0..count).map(|fd| queue.forget(fd)).fold(true, |clean, one| clean & one);
        // What could not be taken out may still tell of itself, so that pair is not used again.
        if clean {
            lock(&SPARES).pairs.push(queue.halves);
        }
        return;
    }
    for queue in queues.values().filter(|queue| queue.is_own()) {
        queue.forget(fd);
    }
}

pub(super) fn kevent(queue: Fd, changes: &[KEvent], events: &mut [KEvent], timeout: Option<u64>) -> i32 {
    if let [bell] = changes
        && bell.fflags & abi::NOTE_TRIGGER != 0
        && events.is_empty()
    {
        let bell = BELLS.get(queue as usize).map_or(0, |bell| bell.load(Ordering::Acquire));
        return if bell == 0 { -libc::EBADF } else { Linux.eventfd_signal(bell - 1).min(0) };
    }
    let _errno = Errno::keep();
    let Some(queue) = lock(&QUEUES).get(&queue).cloned() else { return -libc::EBADF };
    let mut found = 0;
    for change in changes {
        let error = queue.change(change);
        if error == 0 && change.flags & abi::EV_RECEIPT == 0 {
            continue;
        }
        let Some(place) = events.get_mut(found) else { return -error };
        *place = KEvent { flags: change.flags | abi::EV_ERROR, data: error as isize, ..*change };
        found += 1;
    }
    if found > 0 || events.is_empty() {
        return found as i32;
    }
    queue.wait(events, timeout)
}

impl Queue {
    fn is_own(&self) -> bool {
        self.process == std::process::id()
    }

    /// Makes one change: 0 or an errno.
    fn change(&self, change: &KEvent) -> i32 {
        let side = match change.filter {
            abi::EVFILT_READ => 0,
            abi::EVFILT_WRITE => 1,
            abi::EVFILT_USER => return 0,
            _ => return libc::EINVAL,
        };
        let fd = change.ident as Fd;
        let kind = match Linux.status(fd) {
            Ok(status) => status.kind,
            Err(error) => return error.0,
        };
        let mut watched = lock(&self.watched);
        if watched.len() <= change.ident {
            let none = Entry { watch: [Watch::No; 2], udata: 0 };
            watched.resize((change.ident + 1).next_power_of_two().max(64), none);
        }
        let entry = &mut watched[change.ident];
        self.end(fd, side, &mut entry.watch[side]);
        entry.udata = change.udata;
        match kind {
            libc::S_IFSOCK | libc::S_IFIFO | libc::S_IFCHR => {
                if let Err(error) = tell(self.halves[side], change) {
                    // It does not say what was the matter.
                    let cannot = error == libc::EFAULT && kind == libc::S_IFCHR;
                    return if cannot { libc::EINVAL } else { libc::ENOMEM };
                }
                entry.watch[side] = Watch::Library;
                0
            }
            libc::S_IFREG | libc::S_IFBLK | libc::S_IFDIR => libc::EINVAL,
            _ => {
                let events = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
                let event = EpollEvent { events, data: fd as u64 };
                let mut result = Linux.epoll_ctl(self.epoll, libc::EPOLL_CTL_ADD, fd, event);
                if result == -libc::EEXIST {
                    result = Linux.epoll_ctl(self.epoll, libc::EPOLL_CTL_MOD, fd, event);
                }
                if result == 0 {
                    entry.watch[side] = Watch::Epoll;
                }
                -result
            }
        }
    }

    /// Watches a descriptor no longer in one direction. `false` says that something of it may be left.
    fn end(&self, fd: Fd, side: usize, watch: &mut Watch) -> bool {
        match std::mem::replace(watch, Watch::No) {
            Watch::Library => {
                let filter = if side == 0 { abi::EVFILT_READ } else { abi::EVFILT_WRITE };
                let delete = KEvent { ident: fd as usize, filter, flags: abi::EV_DELETE, ..KEvent::default() };
                tell(self.halves[side], &delete).is_ok()
            }
            Watch::Epoll => {
                Linux.epoll_ctl(self.epoll, libc::EPOLL_CTL_DEL, fd, EpollEvent::default());
                true
            }
            Watch::No => true,
        }
    }

    fn forget(&self, fd: Fd) -> bool {
        let mut watched = lock(&self.watched);
        let Some(entry) = watched.get_mut(fd as u32 as usize) else { return true };
        self.end(fd, 0, &mut entry.watch[0]) & self.end(fd, 1, &mut entry.watch[1])
    }

    fn wait(&self, events: &mut [KEvent], timeout: Option<u64>) -> i32 {
        let mut own = [EpollEvent::default(); 16];
        let own_count = Linux.epoll_wait(self.epoll, &mut own[..events.len().div_ceil(4).min(16)], timeout);
        if own_count < 0 {
            return own_count;
        }
        let mut found = 0;
        let mut put = |event| {
            if found < events.len() {
                events[found] = event;
                found += 1;
            }
        };
        let own = &own[..own_count as usize];
        for &EpollEvent { events: bits, data } in own {
            if data == BELL {
                put(KEvent { filter: abi::EVFILT_USER, flags: abi::EV_CLEAR, ..KEvent::default() });
            } else if data < HALF {
                let udata = lock(&self.watched)[data as usize].udata;
                let event = KEvent { ident: data as usize, udata, flags: abi::EV_CLEAR, ..KEvent::default() };
                let ends = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
                let flags = if bits & ends != 0 { event.flags | abi::EV_EOF } else { event.flags };
                if bits & (ends | libc::EPOLLIN as u32) != 0 {
                    put(KEvent { filter: abi::EVFILT_READ, flags, ..event });
                }
                if bits & (ends | libc::EPOLLOUT as u32) != 0 {
                    put(KEvent { filter: abi::EVFILT_WRITE, flags, ..event });
                }
            }
        }
        for (side, half) in self.halves.iter().enumerate() {
            if own.iter().any(|event| event.data == HALF + side as u64) {
                found += fetch(*half, &mut events[found..]);
            }
        }
        found as i32
    }
}

fn tell(half: Half, change: &KEvent) -> Result<(), i32> {
    let change = KEvent { flags: change.flags & !abi::EV_RECEIPT, ..*change };
    // SAFETY: one change, and no room for events.
    let result = unsafe { library_kevent(half.queue, &change, 1, std::ptr::null_mut(), 0, std::ptr::null()) };
    if result < 0 { Err(errno()) } else { Ok(()) }
}

/// Fetches what a queue of the library's has, without waiting.
fn fetch(half: Half, events: &mut [KEvent]) -> usize {
    let now = Timespec::from_nanos(0);
    let room = events.len().min(512) as c_int;
    if room == 0 {
        return 0;
    }
    // SAFETY: the room is that of the slice.
    let found = unsafe { library_kevent(half.queue, std::ptr::null(), 0, events.as_mut_ptr(), room, &now) };
    let found = found.max(0) as usize;
    for event in &mut events[..found] {
        if event.flags & abi::EV_EOF != 0 {
            let ends = libc::POLLRDHUP;
            let mut polled = [libc::pollfd { fd: event.ident as Fd, events: ends, revents: 0 }];
            if Linux.poll(&mut polled, Some(0)) == 0 {
                event.flags &= !abi::EV_EOF;
            }
        }
    }
    found
}

thread_local! {
    /// The epoll that the library made last.
    static CREATED: Cell<Fd> = const { Cell::new(-1) };
}

// What the library calls in the place of the C library's functions.

#[unsafe(no_mangle)]
extern "C" fn nyario_kqueue_epoll_create(_size: c_int) -> c_int {
    // SAFETY: it takes no memory.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    CREATED.set(epoll);
    epoll
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nyario_kqueue_pipe(ends: *mut c_int) -> c_int {
    // SAFETY: the caller lends room for two.
    unsafe { libc::pipe2(ends, libc::O_CLOEXEC) }
}

#[unsafe(no_mangle)]
extern "C" fn nyario_kqueue_eventfd(count: c_uint, flags: c_int) -> c_int {
    // SAFETY: it takes no memory.
    unsafe { libc::eventfd(count, flags | libc::EFD_CLOEXEC) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nyario_kqueue_getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut libc::socklen_t,
) -> c_int {
    if (level, name) == (libc::SOL_SOCKET, libc::SO_ERROR) {
        // That there is an error is all that it may know: the call that meets it takes it.
        // SAFETY: the caller lends room for an int.
        unsafe { value.cast::<c_int>().write(libc::EIO) };
        return 0;
    }
    // SAFETY: forwarded from the caller.
    unsafe { libc::getsockopt(fd, level, name, value, len) }
}

/// The library's thread begins to wait: it ends.
#[unsafe(no_mangle)]
extern "C" fn nyario_kqueue_sigwaitinfo(_set: *const c_void, _info: *mut c_void) -> c_int {
    // SAFETY: the thread is detached and holds nothing. It does not return through the library's frames, and glibc is
    // not asked, as it would unwind them.
    unsafe {
        WATCHMAN.store(libc::syscall(libc::SYS_gettid) as i32, Ordering::Release);
        libc::syscall(libc::SYS_exit, 0);
    }
    unreachable!("the thread has ended")
}

/// The library asks for signals to its thread, which there is not.
#[unsafe(no_mangle)]
extern "C" fn nyario_kqueue_fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    const F_SETSIG: c_int = 10;
    const F_SETOWN_EX: c_int = 15;
    let argument = if command == libc::F_SETFL { argument & !(libc::O_ASYNC as usize) } else { argument };
    // SAFETY: the remaining commands, of flags, take no memory.
    if matches!(command, F_SETSIG | F_SETOWN_EX) { 0 } else { unsafe { libc::fcntl(fd, command, argument) } }
}
