//! The one seam to the kernel.
//!
//! Everything that nyario asks of an operating system passes through [`Kernel`]. Two reasons hold it together:
//!
//! * The real implementation, [`Linux`], traps into the kernel itself and never calls a libc function, so a preloaded
//!   library that replaces `read`, `close` or `poll` cannot end up beneath the very loop that serves it.
//! * A model kernel can stand in for it. The driver is generic over the trait and compiled once per kernel, so the
//!   real one costs nothing and the backends that are simulated are the backends that ship.
//!
//! Results are the kernel's own: `>= 0`, or a negative errno.

pub mod abi;
mod errno;
mod linux;

pub use errno::{Errno, check};
pub use linux::Linux;

use abi::{EpollEvent, EventsArg, FdStatus, UringParams};
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

    /// `socket(2)`.
    fn socket(&self, domain: i32, kind: i32, protocol: i32) -> i32;
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

    /// `epoll_create1(2)`, close-on-exec.
    fn epoll_create(&self) -> i32;
    /// `epoll_ctl(2)`.
    fn epoll_ctl(&self, epoll: Fd, op: i32, fd: Fd, event: EpollEvent) -> i32;
    /// `epoll_pwait2(2)`, or `epoll_wait(2)` with the time-out rounded up where the former is missing.
    fn epoll_wait(&self, epoll: Fd, events: &mut [EpollEvent], timeout: Option<u64>) -> i32;

    /// `io_uring_setup(2)`.
    fn uring_setup(&self, entries: u32, params: &mut UringParams) -> i32;
    /// `io_uring_enter(2)`, with the extended argument where one is given.
    unsafe fn uring_enter(&self, ring: Fd, submit: u32, wait: u32, flags: u32, arg: Option<&EventsArg>) -> i32;
    /// `io_uring_register(2)`.
    unsafe fn uring_register(&self, ring: Fd, opcode: u32, arg: *mut c_void, count: u32) -> i32;

    /// `mmap(2)`; a negative errno is returned as the address, as the system call does.
    unsafe fn mmap(&self, len: usize, prot: i32, flags: i32, fd: Fd, offset: u64) -> isize;
    /// `munmap(2)`.
    unsafe fn munmap(&self, addr: *mut u8, len: usize) -> i32;
    /// `madvise(2)`.
    unsafe fn madvise(&self, addr: *mut u8, len: usize, advice: i32) -> i32;
    /// `mprotect(2)`.
    unsafe fn mprotect(&self, addr: *mut u8, len: usize, prot: i32) -> i32;
}
