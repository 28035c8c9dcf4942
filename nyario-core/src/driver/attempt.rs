//! Carrying out an operation at once, without ever blocking: how speculation works on every backend, and how the
//! readiness backend does everything.

use super::fds::Kind;
use super::op::{Code, Request};
use crate::sys::{Fd, Kernel, portable};

/// A write to a pipe that polls as writable takes this many bytes without blocking (`PIPE_BUF`).
const PIPE_ATOMIC: usize = 4096;

/// Tries `request` on a descriptor of that kind: its result, or `-EAGAIN` when it would have to wait.
///
/// # Safety
///
/// The request's pointers must be valid for what it does.
#[inline(always)]
pub(super) unsafe fn attempt<K: Kernel>(kernel: &K, kind: Kind, nonblocking: bool, request: &Request) -> i32 {
    let Request { fd, ptr, len, events, .. } = *request;
    let flags = events as i32 | libc::MSG_DONTWAIT;
    let mut one = libc::iovec { iov_base: ptr.cast(), iov_len: len };
    let (iov, count) = match request.code {
        Code::Readv | Code::Writev => (ptr.cast::<libc::iovec>(), len),
        _ => (&raw mut one, 1),
    };
    loop {
        // SAFETY: the buffers are the caller's to lend, `one` outlives the calls, and each call blocks on nothing.
        let result = unsafe {
            match request.code {
                Code::RecvWith => kernel.recv(fd, ptr, len, flags),
                Code::SendWith => kernel.send(fd, ptr, len, flags | libc::MSG_NOSIGNAL),
                Code::RecvMsg => kernel.recvmsg(fd, ptr.cast(), flags),
                Code::SendMsg => kernel.sendmsg(fd, ptr.cast(), flags | libc::MSG_NOSIGNAL),
                Code::Recv => kernel.recv(fd, ptr, len, libc::MSG_DONTWAIT),
                Code::Send => kernel.send(fd, ptr, len, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL),
                Code::Read if kind == Kind::Socket => kernel.recv(fd, ptr, len, libc::MSG_DONTWAIT),
                Code::Write if kind == Kind::Socket => {
                    kernel.send(fd, ptr, len, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                }
                Code::Readv if kind == Kind::Socket => {
                    let mut msg = message(iov, count);
                    kernel.recvmsg(fd, &mut msg, libc::MSG_DONTWAIT)
                }
                Code::Writev if kind == Kind::Socket => {
                    let msg = message(iov, count);
                    kernel.sendmsg(fd, &msg, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                }
                Code::Read | Code::Readv => read_stream(kernel, kind, fd, iov, count),
                Code::Write | Code::Writev => write_stream(kernel, kind, fd, iov, count),
                Code::Accept | Code::AcceptMulti => accept(kernel, nonblocking, request) as isize,
                Code::Poll => poll(kernel, fd, events as i16) as isize,
                // Asked only when a read is believed to succeed; whoever reads finds out.
                Code::AtHand => 1,
                Code::Connect => kernel.connect(fd, ptr.cast(), len as u32) as isize,
                Code::Close | Code::Park => unreachable!("needs no trying"),
            }
        };
        if result != -(libc::EINTR as isize) {
            return result as i32;
        }
    }
}

/// Begins to connect without blocking. There is no flag for a single connect, so a blocking descriptor's mode is lent
/// for it.
///
/// # Safety
///
/// As with [`attempt`].
pub(super) unsafe fn connect_now<K: Kernel>(kernel: &K, request: &Request) -> i32 {
    let flags = kernel.flags(request.fd);
    let lend = flags >= 0 && flags & libc::O_NONBLOCK == 0;
    if lend {
        kernel.set_flags(request.fd, flags | libc::O_NONBLOCK);
    }
    // SAFETY: forwarded from the caller.
    let result = unsafe { attempt(kernel, Kind::Socket, true, request) };
    if lend {
        kernel.set_flags(request.fd, flags);
    }
    result
}

/// What became of a connect that was begun earlier.
pub(super) fn connect_outcome<K: Kernel>(kernel: &K, fd: Fd) -> i32 {
    match poll(kernel, fd, libc::POLLOUT) {
        waiting if waiting == -libc::EAGAIN => waiting,
        _ => kernel.getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR).map_or_else(|e| e.result(), |error| -error),
    }
}

fn message(iov: *mut libc::iovec, count: usize) -> libc::msghdr {
    // SAFETY: a msghdr of zeroes is one without address, vectors and control data.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_iov = iov;
    msg.msg_iovlen = count as _;
    msg
}

/// The events among `events` that hold now, or `-EAGAIN`.
pub(super) fn poll<K: Kernel>(kernel: &K, fd: Fd, events: i16) -> i32 {
    let mut fds = [libc::pollfd { fd, events, revents: 0 }];
    match kernel.poll(&mut fds, Some(0)) {
        0 => -libc::EAGAIN,
        found if found < 0 => found,
        _ => i32::from(fds[0].revents as u16),
    }
}

unsafe fn accept<K: Kernel>(kernel: &K, nonblocking: bool, request: &Request) -> i32 {
    let Request { fd, ptr, len, .. } = *request;
    if !nonblocking {
        let ready = poll(kernel, fd, libc::POLLIN);
        if ready < 0 {
            return ready;
        }
    }
    if ptr.is_null() {
        return kernel.accept(fd, portable::SOCK_CLOEXEC);
    }
    // SAFETY: forwarded from the caller, who lends the address and the place of its length.
    unsafe { kernel.accept_from(fd, ptr.cast(), std::ptr::with_exposed_provenance_mut(len), portable::SOCK_CLOEXEC) }
}

/// `RWF_NOWAIT` spares a descriptor's blocking mode, which it may share with other processes; what does not know the
/// flag is polled first.
unsafe fn read_stream<K: Kernel>(kernel: &K, kind: Kind, fd: Fd, iov: *const libc::iovec, count: usize) -> isize {
    // SAFETY: forwarded from the caller.
    unsafe {
        if kind == Kind::File {
            return kernel.readv(fd, iov, count, 0);
        }
        let result = kernel.readv(fd, iov, count, portable::RWF_NOWAIT);
        if result != -(libc::EOPNOTSUPP as isize) {
            return result;
        }
        match poll(kernel, fd, libc::POLLIN) {
            ready if ready < 0 => ready as isize,
            _ => kernel.readv(fd, iov, count, 0),
        }
    }
}

unsafe fn write_stream<K: Kernel>(kernel: &K, kind: Kind, fd: Fd, iov: *const libc::iovec, count: usize) -> isize {
    // SAFETY: forwarded from the caller; the vector is read before it is narrowed.
    unsafe {
        if kind == Kind::File {
            return kernel.writev(fd, iov, count, 0);
        }
        let result = kernel.writev(fd, iov, count, portable::RWF_NOWAIT);
        if result != -(libc::EOPNOTSUPP as isize) || count == 0 {
            return result;
        }
        match poll(kernel, fd, libc::POLLOUT) {
            ready if ready < 0 => ready as isize,
            _ => {
                let first = *iov;
                let narrow = libc::iovec { iov_len: first.iov_len.min(PIPE_ATOMIC), ..first };
                kernel.writev(fd, &narrow, 1, 0)
            }
        }
    }
}
