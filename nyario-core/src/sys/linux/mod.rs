//! The real kernel: Linux, trapped into directly.

#[cfg(nyario_kqueue)]
mod libkqueue;
#[cfg(not(nyario_kqueue))]
mod no_kqueue;
mod sigpipe;
mod trap;

use super::abi::{EpollEvent, EventsArg, FdStatus, KEvent, Timespec, UringParams};
use super::{Errno, Fd, Kernel};
#[cfg(nyario_kqueue)]
use libkqueue as kqueues;
#[cfg(not(nyario_kqueue))]
use no_kqueue as kqueues;
use sigpipe::without_sigpipe;
use std::ffi::c_void;
use trap::trap;

/// The running Linux kernel. It has no state: every value of it is the same kernel.
#[derive(Clone, Copy, Default, Debug)]
pub struct Linux;

/// The kernel's signal mask is 64 bits wide, whatever libc's type says.
const SIGMASK_SIZE: usize = 8;

macro_rules! call {
    ($number:ident $(, $arg:expr)*) => {
        // SAFETY: each use passes the arguments of that very system call; the pointers among them are either locals
        // that outlive the call or the caller's, who answers for them by the contract of `Kernel`.
        unsafe { trap(libc::$number as usize, &[$($arg as usize),*]) }
    };
}

fn status(stat: &libc::stat) -> FdStatus {
    FdStatus { kind: stat.st_mode & libc::S_IFMT, device: stat.st_dev, inode: stat.st_ino }
}

/// The one libc call: it reads a page that the kernel shares (the vDSO) and enters nothing that could block, so there is
/// no reason to interpose it, and a trap would cost five times as much.
fn clock(which: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the duration of the call.
    unsafe { libc::clock_gettime(which, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

// SAFETY: each method is the system call of its name with the arguments in the kernel's order; nothing is kept.
unsafe impl Kernel for Linux {
    fn now(&self) -> u64 {
        clock(libc::CLOCK_MONOTONIC)
    }

    fn lately(&self) -> u64 {
        clock(libc::CLOCK_MONOTONIC_COARSE)
    }

    fn close(&self, fd: Fd) -> i32 {
        kqueues::closing(fd);
        call!(SYS_close, fd) as i32
    }

    fn status(&self, fd: Fd) -> Result<FdStatus, Errno> {
        // SAFETY: `struct stat` is plain data, for which zeroes are a value.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        super::check(call!(SYS_fstat, fd, &raw mut stat) as i32)?;
        Ok(status(&stat))
    }

    fn flags(&self, fd: Fd) -> i32 {
        call!(SYS_fcntl, fd, libc::F_GETFL) as i32
    }

    fn duplicate(&self, fd: Fd) -> i32 {
        call!(SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, 0) as i32
    }

    fn set_flags(&self, fd: Fd, flags: i32) -> i32 {
        call!(SYS_fcntl, fd, libc::F_SETFL, flags) as i32
    }

    unsafe fn recv(&self, fd: Fd, buf: *mut u8, len: usize, flags: i32) -> isize {
        call!(SYS_recvfrom, fd, buf, len, flags, 0, 0)
    }

    unsafe fn send(&self, fd: Fd, buf: *const u8, len: usize, flags: i32) -> isize {
        call!(SYS_sendto, fd, buf, len, flags, 0, 0)
    }

    unsafe fn recvmsg(&self, fd: Fd, msg: *mut libc::msghdr, flags: i32) -> isize {
        call!(SYS_recvmsg, fd, msg, flags)
    }

    unsafe fn sendmsg(&self, fd: Fd, msg: *const libc::msghdr, flags: i32) -> isize {
        call!(SYS_sendmsg, fd, msg, flags)
    }

    unsafe fn readv(&self, fd: Fd, iov: *const libc::iovec, count: usize, flags: i32) -> isize {
        if flags == 0 {
            return call!(SYS_readv, fd, iov, count);
        }
        // An offset of -1 stands for the descriptor's own position; it is split in two words on 32-bit machines.
        call!(SYS_preadv2, fd, iov, count, -1isize, -1isize, flags)
    }

    unsafe fn writev(&self, fd: Fd, iov: *const libc::iovec, count: usize, flags: i32) -> isize {
        if flags == 0 {
            return call!(SYS_writev, fd, iov, count);
        }
        call!(SYS_pwritev2, fd, iov, count, -1isize, -1isize, flags)
    }

    unsafe fn splice(&self, from: Fd, off: *mut i64, to: Fd, to_off: *mut i64, len: usize, flags: u32) -> isize {
        without_sigpipe(|| call!(SYS_splice, from, off, to, to_off, len, flags))
    }

    unsafe fn sendfile(&self, to: Fd, from: Fd, off: *mut i64, len: usize) -> isize {
        without_sigpipe(|| call!(SYS_sendfile, to, from, off, len))
    }

    fn socket(&self, domain: i32, kind: i32, protocol: i32) -> i32 {
        call!(SYS_socket, domain, kind, protocol) as i32
    }

    fn socketpair(&self, domain: i32, kind: i32, protocol: i32, ends: &mut [Fd; 2]) -> i32 {
        call!(SYS_socketpair, domain, kind, protocol, ends.as_mut_ptr()) as i32
    }

    fn pipe(&self, ends: &mut [Fd; 2]) -> i32 {
        call!(SYS_pipe2, ends.as_mut_ptr(), libc::O_CLOEXEC) as i32
    }

    fn accept(&self, fd: Fd, flags: i32) -> i32 {
        call!(SYS_accept4, fd, 0, 0, flags) as i32
    }

    unsafe fn accept_from(&self, fd: Fd, addr: *mut c_void, len: *mut u32, flags: i32) -> i32 {
        call!(SYS_accept4, fd, addr, len, flags) as i32
    }

    fn shutdown(&self, fd: Fd, how: i32) -> i32 {
        call!(SYS_shutdown, fd, how) as i32
    }

    unsafe fn bind(&self, fd: Fd, addr: *const c_void, len: u32) -> i32 {
        call!(SYS_bind, fd, addr, len) as i32
    }

    fn listen(&self, fd: Fd, backlog: i32) -> i32 {
        call!(SYS_listen, fd, backlog) as i32
    }

    unsafe fn connect(&self, fd: Fd, addr: *const c_void, len: u32) -> i32 {
        call!(SYS_connect, fd, addr, len) as i32
    }

    unsafe fn getsockname(&self, fd: Fd, addr: *mut c_void, len: *mut u32) -> i32 {
        call!(SYS_getsockname, fd, addr, len) as i32
    }

    unsafe fn getpeername(&self, fd: Fd, addr: *mut c_void, len: *mut u32) -> i32 {
        call!(SYS_getpeername, fd, addr, len) as i32
    }

    fn getsockopt(&self, fd: Fd, level: i32, name: i32) -> Result<i32, Errno> {
        let mut value = 0i32;
        let mut len = size_of::<i32>() as u32;
        super::check(call!(SYS_getsockopt, fd, level, name, &raw mut value, &raw mut len) as i32)?;
        Ok(value)
    }

    fn setsockopt(&self, fd: Fd, level: i32, name: i32, value: i32) -> i32 {
        call!(SYS_setsockopt, fd, level, name, &raw const value, size_of::<i32>()) as i32
    }

    unsafe fn status_of_path(&self, path: *const u8) -> Result<FdStatus, Errno> {
        // SAFETY: as in `status`.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        super::check(call!(SYS_newfstatat, libc::AT_FDCWD, path, &raw mut stat, flags) as i32)?;
        Ok(status(&stat))
    }

    unsafe fn unlink(&self, path: *const u8) -> i32 {
        call!(SYS_unlinkat, libc::AT_FDCWD, path, 0) as i32
    }

    fn poll(&self, fds: &mut [libc::pollfd], timeout: Option<u64>) -> i32 {
        let mut time = timeout.map(Timespec::from_nanos);
        let time = time.as_mut().map_or(std::ptr::null_mut(), |time| time as *mut Timespec);
        call!(SYS_ppoll, fds.as_mut_ptr(), fds.len(), time, 0, SIGMASK_SIZE) as i32
    }

    fn eventfd(&self) -> i32 {
        call!(SYS_eventfd2, 0, libc::EFD_CLOEXEC) as i32
    }

    fn eventfd_signal(&self, fd: Fd) -> i32 {
        let one = 1u64;
        call!(SYS_write, fd, &raw const one, size_of::<u64>()) as i32
    }

    fn timerfd(&self) -> i32 {
        call!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) as i32
    }

    fn timerfd_set(&self, fd: Fd, nanos: u64) -> i32 {
        let times = [Timespec::from_nanos(0), Timespec::from_nanos(nanos)];
        call!(SYS_timerfd_settime, fd, 0, times.as_ptr(), 0) as i32
    }

    fn epoll_create(&self) -> i32 {
        call!(SYS_epoll_create1, libc::EPOLL_CLOEXEC) as i32
    }

    fn epoll_ctl(&self, epoll: Fd, op: i32, fd: Fd, event: EpollEvent) -> i32 {
        call!(SYS_epoll_ctl, epoll, op, fd, &raw const event) as i32
    }

    fn epoll_wait(&self, epoll: Fd, events: &mut [EpollEvent], timeout: Option<u64>) -> i32 {
        if let Some(nanos) = timeout.filter(|&nanos| nanos != 0) {
            let mut time = Timespec::from_nanos(nanos);
            let time = &raw mut time;
            let found = call!(SYS_epoll_pwait2, epoll, events.as_mut_ptr(), events.len(), time, 0, SIGMASK_SIZE) as i32;
            if found != -libc::ENOSYS {
                return found;
            }
        }
        // Before Linux 5.11: milliseconds, rounded up so that no timer is met too early.
        let millis = timeout.map_or(-1, |nanos| nanos.div_ceil(1_000_000).min(i32::MAX as u64) as i32);
        call!(SYS_epoll_pwait, epoll, events.as_mut_ptr(), events.len(), millis, 0, SIGMASK_SIZE) as i32
    }

    fn kqueue(&self) -> i32 {
        kqueues::kqueue()
    }

    fn kevent(&self, queue: Fd, changes: &[KEvent], events: &mut [KEvent], timeout: Option<u64>) -> i32 {
        kqueues::kevent(queue, changes, events, timeout)
    }

    fn uring_setup(&self, entries: u32, params: &mut UringParams) -> i32 {
        call!(SYS_io_uring_setup, entries, params as *mut UringParams) as i32
    }

    unsafe fn uring_enter(&self, ring: Fd, submit: u32, wait: u32, flags: u32, arg: Option<&EventsArg>) -> i32 {
        let (arg, size) = arg.map_or((std::ptr::null(), 0), |arg| (arg as *const EventsArg, size_of::<EventsArg>()));
        call!(SYS_io_uring_enter, ring, submit, wait, flags, arg, size) as i32
    }

    unsafe fn uring_register(&self, ring: Fd, opcode: u32, arg: *mut c_void, count: u32) -> i32 {
        call!(SYS_io_uring_register, ring, opcode, arg, count) as i32
    }

    fn affinity(&self, set: &mut [u64]) -> i32 {
        call!(SYS_sched_getaffinity, 0, size_of_val(set), set.as_mut_ptr()) as i32
    }

    fn set_affinity(&self, set: &[u64]) -> i32 {
        call!(SYS_sched_setaffinity, 0, size_of_val(set), set.as_ptr()) as i32
    }

    fn pidfd_open(&self, pid: i32) -> i32 {
        call!(SYS_pidfd_open, pid, 0) as i32
    }

    fn wait4(&self, pid: i32, status: &mut i32, options: i32) -> i32 {
        call!(SYS_wait4, pid, status as *mut i32, options, 0) as i32
    }

    fn waitid(&self, kind: u32, id: u32, options: i32, child: &mut i32) -> i32 {
        // SAFETY: zeroes say that nothing was found.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let result = call!(SYS_waitid, kind, id, &raw mut info, options, 0) as i32;
        // SAFETY: the call fills in the fields of a child's signal, or none.
        *child = unsafe { info.si_pid() };
        result
    }

    fn signalfd(&self, set: u64) -> i32 {
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        call!(SYS_signalfd4, -1isize, &raw const set, SIGMASK_SIZE, flags) as i32
    }

    fn block_signals(&self, set: u64) -> i32 {
        call!(SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const set, 0, SIGMASK_SIZE) as i32
    }

    unsafe fn mmap(&self, len: usize, prot: i32, flags: i32, fd: Fd, offset: u64) -> isize {
        call!(SYS_mmap, 0, len, prot, flags, fd, offset)
    }

    unsafe fn munmap(&self, addr: *mut u8, len: usize) -> i32 {
        call!(SYS_munmap, addr, len) as i32
    }

    unsafe fn madvise(&self, addr: *mut u8, len: usize, advice: i32) -> i32 {
        call!(SYS_madvise, addr, len, advice) as i32
    }

    unsafe fn mprotect(&self, addr: *mut u8, len: usize, prot: i32) -> i32 {
        call!(SYS_mprotect, addr, len, prot) as i32
    }
}
