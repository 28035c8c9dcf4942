//! The one seam to the kernel.
//!
//! Everything that nyario asks of an operating system passes through [`Kernel`]. Two reasons hold it together:
//!
//! * The real implementation, [`Native`], traps into the kernel itself on Linux and never calls a libc function, so a
//!   preloaded library that replaces `read`, `close` or `poll` cannot end up beneath the very loop that serves it.
//! * A model kernel can stand in for it. The driver is generic over the trait and compiled once per kernel, so the
//!   real one costs nothing and the backends that are simulated are the backends that ship.
//!
//! Results are the kernel's own: `>= 0`, or a negative errno.

#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple")))]
compile_error!("nyario knows Linux, macOS and FreeBSD");

pub mod abi;
#[cfg(not(target_os = "linux"))]
mod bsd;
mod errno;
#[cfg(target_os = "linux")]
mod linux;
pub mod portable;

#[cfg(not(target_os = "linux"))]
pub use bsd::Bsd as Native;
pub use errno::{Errno, check};
#[cfg(target_os = "linux")]
pub use linux::{Linux, Linux as Native};

use abi::{EpollEvent, EventsArg, FdStatus, KEvent, UringParams};
use std::ffi::c_void;

/// A file descriptor's number, as the kernel counts them.
pub type Fd = i32;

/// The system calls that nyario makes.
///
/// # Safety
///
/// An implementation must treat each pointer exactly as Linux treats the argument of the call of that name: read or
/// write no more than the call's contract allows, and keep none of them past the call, except what io_uring keeps
/// until an operation's completion. Callers answer for the pointers that they pass, as with the call itself.
#[allow(clippy::missing_safety_doc, reason = "the contract of every call is the trait's own and the kernel's")]
pub unsafe trait Kernel: Clone + 'static {
    /// Nanoseconds of the monotonic clock.
    fn now(&self) -> u64;
    /// The same, up to ten milliseconds late, and cheap enough for every turn.
    fn lately(&self) -> u64;

    /// `close(2)`.
    fn close(&self, fd: Fd) -> i32;
    /// What `fstat(2)` says of the descriptor's kind and identity.
    fn status(&self, fd: Fd) -> Result<FdStatus, Errno>;
    /// `fcntl(F_GETFL)`.
    fn flags(&self, fd: Fd) -> i32;
    /// `fcntl(F_DUPFD_CLOEXEC)`: another descriptor of the same file.
    fn duplicate(&self, fd: Fd) -> i32;
    /// `fcntl(F_SETFL)`.
    fn set_flags(&self, fd: Fd, flags: i32) -> i32;

    /// `recvfrom(2)` without an address.
    unsafe fn recv(&self, fd: Fd, buf: *mut u8, len: usize, flags: i32) -> isize;
    /// `sendto(2)` without an address.
    unsafe fn send(&self, fd: Fd, buf: *const u8, len: usize, flags: i32) -> isize;
    /// `recvmsg(2)`.
    unsafe fn recvmsg(&self, fd: Fd, msg: *mut libc::msghdr, flags: i32) -> isize;
    /// `sendmsg(2)`.
    unsafe fn sendmsg(&self, fd: Fd, msg: *const libc::msghdr, flags: i32) -> isize;
    /// `preadv2(2)` at the descriptor's own position; `flags` are the `RWF_*` ones, 0 makes it `readv(2)`.
    unsafe fn readv(&self, fd: Fd, iov: *const libc::iovec, count: usize, flags: i32) -> isize;
    /// `pwritev2(2)` at the descriptor's own position; `flags` are the `RWF_*` ones, 0 makes it `writev(2)`.
    unsafe fn writev(&self, fd: Fd, iov: *const libc::iovec, count: usize, flags: i32) -> isize;

    /// `splice(2)`, which here raises no SIGPIPE.
    unsafe fn splice(&self, from: Fd, off: *mut i64, to: Fd, to_off: *mut i64, len: usize, flags: u32) -> isize;
    /// `sendfile(2)`, which here raises no SIGPIPE.
    unsafe fn sendfile(&self, to: Fd, from: Fd, off: *mut i64, len: usize) -> isize;

    /// `socket(2)`.
    fn socket(&self, domain: i32, kind: i32, protocol: i32) -> i32;
    /// `socketpair(2)`.
    fn socketpair(&self, domain: i32, kind: i32, protocol: i32, ends: &mut [Fd; 2]) -> i32;
    /// `pipe2(2)`, close-on-exec: where to read, where to write.
    fn pipe(&self, ends: &mut [Fd; 2]) -> i32;
    /// `accept4(2)` without the peer's address.
    fn accept(&self, fd: Fd, flags: i32) -> i32;
    /// `accept4(2)` with the peer's address.
    unsafe fn accept_from(&self, fd: Fd, addr: *mut c_void, len: *mut u32, flags: i32) -> i32;
    /// `shutdown(2)`.
    fn shutdown(&self, fd: Fd, how: i32) -> i32;
    /// `bind(2)`.
    unsafe fn bind(&self, fd: Fd, addr: *const c_void, len: u32) -> i32;
    /// `listen(2)`.
    fn listen(&self, fd: Fd, backlog: i32) -> i32;
    /// `connect(2)`.
    unsafe fn connect(&self, fd: Fd, addr: *const c_void, len: u32) -> i32;
    /// `getsockname(2)`.
    unsafe fn getsockname(&self, fd: Fd, addr: *mut c_void, len: *mut u32) -> i32;
    /// `getpeername(2)`.
    unsafe fn getpeername(&self, fd: Fd, addr: *mut c_void, len: *mut u32) -> i32;
    /// `getsockopt(2)` of an `int` option.
    fn getsockopt(&self, fd: Fd, level: i32, name: i32) -> Result<i32, Errno>;
    /// `setsockopt(2)` of an `int` option.
    fn setsockopt(&self, fd: Fd, level: i32, name: i32, value: i32) -> i32;
    /// What `lstat(2)` says of a path's kind and identity; `path` ends with a NUL.
    unsafe fn status_of_path(&self, path: *const u8) -> Result<FdStatus, Errno>;
    /// `unlink(2)`; `path` ends with a NUL.
    unsafe fn unlink(&self, path: *const u8) -> i32;

    /// `ppoll(2)`; no time-out waits for ever, and times are nanoseconds.
    fn poll(&self, fds: &mut [libc::pollfd], timeout: Option<u64>) -> i32;

    /// `eventfd2(2)`, close-on-exec.
    fn eventfd(&self) -> i32;
    /// Adds one to an eventfd.
    fn eventfd_signal(&self, fd: Fd) -> i32;

    /// `timerfd_create(2)` of the monotonic clock, close-on-exec. `-ENOSYS` where there is none.
    fn timerfd(&self) -> i32 {
        -libc::ENOSYS
    }
    /// `timerfd_settime(2)`: once, in so many nanoseconds, which are more than 0. What it counted before is forgotten.
    fn timerfd_set(&self, fd: Fd, nanos: u64) -> i32 {
        let _ = (fd, nanos);
        -libc::ENOSYS
    }

    /// `epoll_create1(2)`, close-on-exec.
    fn epoll_create(&self) -> i32;
    /// `epoll_ctl(2)`.
    fn epoll_ctl(&self, epoll: Fd, op: i32, fd: Fd, event: EpollEvent) -> i32;
    /// `epoll_pwait2(2)`, or `epoll_wait(2)` with the time-out rounded up where the former is missing.
    fn epoll_wait(&self, epoll: Fd, events: &mut [EpollEvent], timeout: Option<u64>) -> i32;

    /// `kqueue(2)`, close-on-exec. `-ENOSYS` where there is none.
    fn kqueue(&self) -> i32;
    /// `kevent(2)`: makes the changes; then, if there is room for events and no change failed or asked for a receipt,
    /// waits for some.
    fn kevent(&self, queue: Fd, changes: &[KEvent], events: &mut [KEvent], timeout: Option<u64>) -> i32;

    /// `io_uring_setup(2)`.
    fn uring_setup(&self, entries: u32, params: &mut UringParams) -> i32;
    /// `io_uring_enter(2)`, with the extended argument where one is given.
    unsafe fn uring_enter(&self, ring: Fd, submit: u32, wait: u32, flags: u32, arg: Option<&EventsArg>) -> i32;
    /// `io_uring_register(2)`.
    unsafe fn uring_register(&self, ring: Fd, opcode: u32, arg: *mut c_void, count: u32) -> i32;

    /// `sched_getaffinity(2)` of the calling thread; bits beyond what the kernel knows are left as they are.
    fn affinity(&self, set: &mut [u64]) -> i32 {
        let _ = set;
        -libc::ENOSYS
    }
    /// `sched_setaffinity(2)` of the calling thread.
    fn set_affinity(&self, set: &[u64]) -> i32 {
        let _ = set;
        -libc::ENOSYS
    }

    /// `pidfd_open(2)`, close-on-exec.
    fn pidfd_open(&self, pid: i32) -> i32 {
        let _ = pid;
        -libc::ENOSYS
    }
    /// `wait4(2)` without the child's usage of resources.
    fn wait4(&self, pid: i32, status: &mut i32, options: i32) -> i32 {
        let _ = (pid, status, options);
        -libc::ENOSYS
    }
    /// `waitid(2)`; `child` becomes the one that was found, or 0.
    fn waitid(&self, kind: u32, id: u32, options: i32, child: &mut i32) -> i32 {
        let _ = (kind, id, options, child);
        -libc::ENOSYS
    }

    /// `signalfd4(2)` of a new descriptor, close-on-exec and non-blocking; bit 0 of the set is signal 1.
    fn signalfd(&self, set: u64) -> i32 {
        let _ = set;
        -libc::ENOSYS
    }
    /// `rt_sigprocmask(2)`: blocks these signals, too, in the calling thread.
    fn block_signals(&self, set: u64) -> i32 {
        let _ = set;
        -libc::ENOSYS
    }

    /// `mmap(2)`; a negative errno is returned as the address, as the system call does.
    unsafe fn mmap(&self, len: usize, prot: i32, flags: i32, fd: Fd, offset: u64) -> isize;
    /// `munmap(2)`.
    unsafe fn munmap(&self, addr: *mut u8, len: usize) -> i32;
    /// `madvise(2)`.
    unsafe fn madvise(&self, addr: *mut u8, len: usize, advice: i32) -> i32;
    /// `mprotect(2)`.
    unsafe fn mprotect(&self, addr: *mut u8, len: usize, prot: i32) -> i32;
}
