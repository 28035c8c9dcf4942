//! The real kernel of macOS and FreeBSD, asked through the C library: only that is stable there.

use super::abi::{EpollEvent, EventsArg, FdStatus, KEvent, UringParams};
#[cfg(target_vendor = "apple")]
use super::portable;
use super::{Errno, Fd, Kernel};
use std::ffi::c_void;
use std::ptr::null_mut;

/// The running kernel. It has no state: every value of it is the same kernel.
#[derive(Clone, Copy, Default, Debug)]
pub struct Bsd;

// The structure is laid out like the system's.
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<KEvent>() == size_of::<libc::kevent>());
    assert!(offset_of!(KEvent, filter) == offset_of!(libc::kevent, filter));
    assert!(offset_of!(KEvent, flags) == offset_of!(libc::kevent, flags));
    assert!(offset_of!(KEvent, fflags) == offset_of!(libc::kevent, fflags));
    assert!(offset_of!(KEvent, data) == offset_of!(libc::kevent, data));
    assert!(offset_of!(KEvent, udata) == offset_of!(libc::kevent, udata));
};

/// A result as the kernel's own: negative errors. errno is the callers' and stays as it was.
fn kept(call: impl FnOnce() -> isize) -> isize {
    // SAFETY: the thread's own errno.
    unsafe {
        let place = libc::__error();
        let before = *place;
        let result = call();
        let result = if result == -1 { -(*place as isize) } else { result };
        *place = before;
        result
    }
}

macro_rules! call {
    ($name:ident($($arg:expr),*)) => {
        // SAFETY: each use passes the arguments of that very function; the pointers among them are either locals that
        // outlive the call or the caller's, who answers for them by the contract of `Kernel`.
        kept(|| unsafe { libc::$name($($arg),*) as isize })
    };
}

#[allow(clippy::unnecessary_cast, reason = "the widths differ from system to system")]
fn status(stat: &libc::stat) -> FdStatus {
    FdStatus { kind: stat.st_mode & libc::S_IFMT, device: stat.st_dev as u64, inode: stat.st_ino as u64 }
}

fn timespec(nanos: u64) -> libc::timespec {
    libc::timespec { tv_sec: (nanos / 1_000_000_000) as _, tv_nsec: (nanos % 1_000_000_000) as _ }
}

fn clock(which: libc::clockid_t) -> u64 {
    let mut time = timespec(0);
    call!(clock_gettime(which, &mut time));
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Does to a fresh descriptor what Linux does when it makes it, where that is asked for.
fn fresh(fd: isize, cloexec: bool, nonblocking: Option<bool>) -> i32 {
    let fd = fd as i32;
    if fd >= 0 {
        if cloexec {
            call!(fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC));
        }
        if let Some(nonblocking) = nonblocking {
            let flags = Bsd.flags(fd);
            let cleared = flags & !libc::O_NONBLOCK;
            Bsd.set_flags(fd, if nonblocking { cleared | libc::O_NONBLOCK } else { cleared });
        }
    }
    fd
}

/// Sees to it that a send raises no SIGPIPE, which macOS has no flag for, and leaves the flags that the kernel knows.
#[cfg(target_vendor = "apple")]
fn quiet(fd: Fd, flags: i32) -> i32 {
    if flags & libc::MSG_NOSIGNAL != 0 {
        Bsd.setsockopt(fd, libc::SOL_SOCKET, libc::SO_NOSIGPIPE, 1);
    }
    flags & !libc::MSG_NOSIGNAL
}

#[cfg(not(target_vendor = "apple"))]
fn quiet(_fd: Fd, flags: i32) -> i32 {
    flags
}

/// Descriptors that come with a message are not to be inherited, which macOS has no flag for.
///
/// # Safety
///
/// The message must be one that `recvmsg` has just filled in.
#[cfg(target_vendor = "apple")]
unsafe fn close_on_exec(msg: *const libc::msghdr) {
    // SAFETY: the kernel wrote well-formed headers, as far as the message's length of them goes.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(msg);
        while !header.is_null() {
            if ((*header).cmsg_level, (*header).cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let count = ((*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize) / size_of::<Fd>();
                let fds = libc::CMSG_DATA(header).cast::<Fd>();
                for at in 0..count {
                    fresh(fds.add(at).read_unaligned() as isize, true, None);
                }
            }
            header = libc::CMSG_NXTHDR(msg, header);
        }
    }
}

// SAFETY: each method is the function of its name with the arguments in its order; nothing is kept.
unsafe impl Kernel for Bsd {
    fn now(&self) -> u64 {
        clock(libc::CLOCK_MONOTONIC)
    }

    fn lately(&self) -> u64 {
        #[cfg(target_os = "freebsd")]
        return clock(libc::CLOCK_MONOTONIC_FAST);
        #[cfg(not(target_os = "freebsd"))]
        clock(libc::CLOCK_MONOTONIC)
    }

    fn close(&self, fd: Fd) -> i32 {
        call!(close(fd)) as i32
    }

    fn status(&self, fd: Fd) -> Result<FdStatus, Errno> {
        // SAFETY: `struct stat` is plain data, for which zeroes are a value.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        super::check(call!(fstat(fd, &mut stat)) as i32)?;
        Ok(status(&stat))
    }

    fn flags(&self, fd: Fd) -> i32 {
        call!(fcntl(fd, libc::F_GETFL)) as i32
    }

    fn duplicate(&self, fd: Fd) -> i32 {
        call!(fcntl(fd, libc::F_DUPFD_CLOEXEC, 0)) as i32
    }

    fn set_flags(&self, fd: Fd, flags: i32) -> i32 {
        call!(fcntl(fd, libc::F_SETFL, flags)) as i32
    }

    unsafe fn recv(&self, fd: Fd, buf: *mut u8, len: usize, flags: i32) -> isize {
        call!(recv(fd, buf.cast(), len, flags))
    }

    unsafe fn send(&self, fd: Fd, buf: *const u8, len: usize, flags: i32) -> isize {
        let flags = quiet(fd, flags);
        call!(send(fd, buf.cast(), len, flags))
    }

    unsafe fn recvmsg(&self, fd: Fd, msg: *mut libc::msghdr, flags: i32) -> isize {
        #[cfg(target_vendor = "apple")]
        {
            let result = call!(recvmsg(fd, msg, flags & !portable::MSG_CMSG_CLOEXEC));
            if result >= 0 && flags & portable::MSG_CMSG_CLOEXEC != 0 {
                // SAFETY: the call has just filled it in.
                unsafe { close_on_exec(msg) };
            }
            result
        }
        #[cfg(not(target_vendor = "apple"))]
        call!(recvmsg(fd, msg, flags))
    }

    unsafe fn sendmsg(&self, fd: Fd, msg: *const libc::msghdr, flags: i32) -> isize {
        let flags = quiet(fd, flags);
        call!(sendmsg(fd, msg, flags))
    }

    unsafe fn readv(&self, fd: Fd, iov: *const libc::iovec, count: usize, flags: i32) -> isize {
        if flags != 0 {
            return -(libc::EOPNOTSUPP as isize);
        }
        call!(readv(fd, iov, count as i32))
    }

    unsafe fn writev(&self, fd: Fd, iov: *const libc::iovec, count: usize, flags: i32) -> isize {
        if flags != 0 {
            return -(libc::EOPNOTSUPP as isize);
        }
        call!(writev(fd, iov, count as i32))
    }

    unsafe fn splice(&self, _from: Fd, _off: *mut i64, _to: Fd, _to_off: *mut i64, _len: usize, _flags: u32) -> isize {
        -(libc::ENOSYS as isize)
    }

    unsafe fn sendfile(&self, _to: Fd, _from: Fd, _off: *mut i64, _len: usize) -> isize {
        -(libc::ENOSYS as isize)
    }

    fn socket(&self, domain: i32, kind: i32, protocol: i32) -> i32 {
        #[cfg(target_vendor = "apple")]
        {
            let bare = kind & !(portable::SOCK_CLOEXEC | portable::SOCK_NONBLOCK);
            let nonblocking = (kind & portable::SOCK_NONBLOCK != 0).then_some(true);
            fresh(call!(socket(domain, bare, protocol)), kind & portable::SOCK_CLOEXEC != 0, nonblocking)
        }
        #[cfg(not(target_vendor = "apple"))]
        {
            call!(socket(domain, kind, protocol)) as i32
        }
    }

    fn socketpair(&self, domain: i32, kind: i32, protocol: i32, ends: &mut [Fd; 2]) -> i32 {
        #[cfg(target_vendor = "apple")]
        {
            let bare = kind & !(portable::SOCK_CLOEXEC | portable::SOCK_NONBLOCK);
            let nonblocking = (kind & portable::SOCK_NONBLOCK != 0).then_some(true);
            let result = call!(socketpair(domain, bare, protocol, ends.as_mut_ptr()));
            for &end in ends.iter().filter(|_| result == 0) {
                fresh(end as isize, kind & portable::SOCK_CLOEXEC != 0, nonblocking);
            }
            result as i32
        }
        #[cfg(not(target_vendor = "apple"))]
        {
            call!(socketpair(domain, kind, protocol, ends.as_mut_ptr())) as i32
        }
    }

    fn pipe(&self, ends: &mut [Fd; 2]) -> i32 {
        #[cfg(target_vendor = "apple")]
        {
            let result = call!(pipe(ends.as_mut_ptr()));
            for &end in ends.iter().filter(|_| result == 0) {
                fresh(end as isize, true, None);
            }
            result as i32
        }
        #[cfg(not(target_vendor = "apple"))]
        {
            call!(pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC)) as i32
        }
    }

    fn accept(&self, fd: Fd, flags: i32) -> i32 {
        // SAFETY: no address is asked for.
        unsafe { self.accept_from(fd, null_mut(), null_mut(), flags) }
    }

    unsafe fn accept_from(&self, fd: Fd, addr: *mut c_void, len: *mut u32, flags: i32) -> i32 {
        #[cfg(target_vendor = "apple")]
        {
            // There, what is accepted has its listener's mode.
            let nonblocking = Some(flags & portable::SOCK_NONBLOCK != 0);
            fresh(call!(accept(fd, addr.cast(), len)), flags & portable::SOCK_CLOEXEC != 0, nonblocking)
        }
        #[cfg(not(target_vendor = "apple"))]
        {
            call!(accept4(fd, addr.cast(), len, flags)) as i32
        }
    }

    fn shutdown(&self, fd: Fd, how: i32) -> i32 {
        call!(shutdown(fd, how)) as i32
    }

    unsafe fn bind(&self, fd: Fd, addr: *const c_void, len: u32) -> i32 {
        call!(bind(fd, addr.cast(), len)) as i32
    }

    fn listen(&self, fd: Fd, backlog: i32) -> i32 {
        call!(listen(fd, backlog)) as i32
    }

    unsafe fn connect(&self, fd: Fd, addr: *const c_void, len: u32) -> i32 {
        call!(connect(fd, addr.cast(), len)) as i32
    }

    unsafe fn getsockname(&self, fd: Fd, addr: *mut c_void, len: *mut u32) -> i32 {
        call!(getsockname(fd, addr.cast(), len)) as i32
    }

    unsafe fn getpeername(&self, fd: Fd, addr: *mut c_void, len: *mut u32) -> i32 {
        call!(getpeername(fd, addr.cast(), len)) as i32
    }

    fn getsockopt(&self, fd: Fd, level: i32, name: i32) -> Result<i32, Errno> {
        #[cfg(target_vendor = "apple")]
        if (level, name) == (libc::SOL_SOCKET, portable::SO_DOMAIN) {
            // SAFETY: zeroes are an address of no family.
            let mut addr: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
            let mut len = size_of_val(&addr) as u32;
            super::check(call!(getsockname(fd, (&raw mut addr).cast(), &mut len)) as i32)?;
            return Ok(addr.ss_family.into());
        }
        let mut value = 0i32;
        let mut len = size_of::<i32>() as u32;
        super::check(call!(getsockopt(fd, level, name, (&raw mut value).cast(), &mut len)) as i32)?;
        Ok(value)
    }

    fn setsockopt(&self, fd: Fd, level: i32, name: i32, value: i32) -> i32 {
        call!(setsockopt(fd, level, name, (&raw const value).cast(), size_of::<i32>() as u32)) as i32
    }

    unsafe fn status_of_path(&self, path: *const u8) -> Result<FdStatus, Errno> {
        // SAFETY: as in `status`.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        super::check(call!(lstat(path.cast(), &mut stat)) as i32)?;
        Ok(status(&stat))
    }

    unsafe fn unlink(&self, path: *const u8) -> i32 {
        call!(unlink(path.cast())) as i32
    }

    fn poll(&self, fds: &mut [libc::pollfd], timeout: Option<u64>) -> i32 {
        #[cfg(target_os = "freebsd")]
        {
            let time = timeout.map(timespec);
            let time = time.as_ref().map_or(std::ptr::null(), |time| time as *const _);
            call!(ppoll(fds.as_mut_ptr(), fds.len() as _, time, std::ptr::null())) as i32
        }
        #[cfg(not(target_os = "freebsd"))]
        {
            // Milliseconds, rounded up so that no timer is met too early.
            let millis = timeout.map_or(-1, |nanos| nanos.div_ceil(1_000_000).min(i32::MAX as u64) as i32);
            call!(poll(fds.as_mut_ptr(), fds.len() as _, millis)) as i32
        }
    }

    fn eventfd(&self) -> i32 {
        -libc::ENOSYS
    }

    fn eventfd_signal(&self, _fd: Fd) -> i32 {
        -libc::ENOSYS
    }

    fn epoll_create(&self) -> i32 {
        -libc::ENOSYS
    }

    fn epoll_ctl(&self, _epoll: Fd, _op: i32, _fd: Fd, _event: EpollEvent) -> i32 {
        -libc::ENOSYS
    }

    fn epoll_wait(&self, _epoll: Fd, _events: &mut [EpollEvent], _timeout: Option<u64>) -> i32 {
        -libc::ENOSYS
    }

    fn kqueue(&self) -> i32 {
        fresh(call!(kqueue()), true, None)
    }

    fn kevent(&self, queue: Fd, changes: &[KEvent], events: &mut [KEvent], timeout: Option<u64>) -> i32 {
        let time = timeout.map(timespec);
        let time = time.as_ref().map_or(std::ptr::null(), |time| time as *const _);
        let (change_count, room) = (changes.len() as _, events.len() as _);
        call!(kevent(queue, changes.as_ptr().cast(), change_count, events.as_mut_ptr().cast(), room, time)) as i32
    }

    fn uring_setup(&self, _entries: u32, _params: &mut UringParams) -> i32 {
        -libc::ENOSYS
    }

    unsafe fn uring_enter(&self, _ring: Fd, _submit: u32, _wait: u32, _flags: u32, _arg: Option<&EventsArg>) -> i32 {
        -libc::ENOSYS
    }

    unsafe fn uring_register(&self, _ring: Fd, _opcode: u32, _arg: *mut c_void, _count: u32) -> i32 {
        -libc::ENOSYS
    }

    unsafe fn mmap(&self, len: usize, prot: i32, flags: i32, fd: Fd, offset: u64) -> isize {
        call!(mmap(null_mut(), len, prot, flags, fd, offset as _))
    }

    unsafe fn munmap(&self, addr: *mut u8, len: usize) -> i32 {
        call!(munmap(addr.cast(), len)) as i32
    }

    unsafe fn madvise(&self, addr: *mut u8, len: usize, advice: i32) -> i32 {
        call!(madvise(addr.cast(), len, advice)) as i32
    }

    unsafe fn mprotect(&self, addr: *mut u8, len: usize, prot: i32) -> i32 {
        call!(mprotect(addr.cast(), len, prot)) as i32
    }
}
