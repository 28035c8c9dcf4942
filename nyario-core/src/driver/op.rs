//! What can be asked of the driver, and how it is written down.

use super::list::{Index, Link, NONE};
use crate::sys::Fd;
use std::ffi::c_void;

/// An operation as its caller states it.
///
/// Buffers, vectors and addresses are borrowed by the operation until it completes: see
/// [`Driver::submit`](super::Driver::submit).
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Reads once from any descriptor. Completes with the number of bytes, 0 at the end.
    Read {
        /// The descriptor.
        fd: Fd,
        /// Where the bytes go.
        buf: *mut u8,
        /// How many fit.
        len: usize,
    },
    /// Like [`Op::Read`], into several buffers.
    Readv {
        /// The descriptor.
        fd: Fd,
        /// The buffers.
        iov: *const libc::iovec,
        /// How many buffers, at most 1024.
        count: usize,
    },
    /// Receives once from a socket; anything else answers `-ENOTSOCK`.
    Recv {
        /// The socket.
        fd: Fd,
        /// Where the bytes go.
        buf: *mut u8,
        /// How many fit.
        len: usize,
    },
    /// Like [`Op::Recv`], with flags. `MSG_DONTWAIT` says nothing here: [`Driver::attempt`](super::Driver::attempt) is
    /// what does not wait.
    RecvWith {
        /// The socket.
        fd: Fd,
        /// Where the bytes go.
        buf: *mut u8,
        /// How many fit.
        len: usize,
        /// `MSG_*`.
        flags: i32,
    },
    /// Receives one message, or what there is of a stream, with its sender's address and control data.
    RecvMsg {
        /// The socket.
        fd: Fd,
        /// Where everything goes; filled in as by `recvmsg(2)`.
        msg: *mut libc::msghdr,
        /// `MSG_*`, as with [`Op::RecvWith`].
        flags: i32,
    },
    /// Completes with a count above 0 once a read is likely to succeed, and reads nothing into the caller's memory.
    /// The caller then asks [`Driver::try_read`](super::Driver::try_read), which may still say `-EAGAIN`.
    AtHand {
        /// The descriptor.
        fd: Fd,
    },
    /// Writes once to any descriptor. Completes with the number of bytes taken, which may be fewer than given.
    Write {
        /// The descriptor.
        fd: Fd,
        /// The bytes.
        buf: *const u8,
        /// How many.
        len: usize,
    },
    /// Like [`Op::Write`], from several buffers.
    Writev {
        /// The descriptor.
        fd: Fd,
        /// The buffers.
        iov: *const libc::iovec,
        /// How many buffers, at most 1024.
        count: usize,
    },
    /// Sends once on a socket; anything else answers `-ENOTSOCK`. Never raises SIGPIPE.
    Send {
        /// The socket.
        fd: Fd,
        /// The bytes.
        buf: *const u8,
        /// How many.
        len: usize,
    },
    /// Like [`Op::Send`], with flags, as with [`Op::RecvWith`].
    SendWith {
        /// The socket.
        fd: Fd,
        /// The bytes.
        buf: *const u8,
        /// How many.
        len: usize,
        /// `MSG_*`.
        flags: i32,
    },
    /// Sends one message, or what a stream takes of it. Never raises SIGPIPE.
    SendMsg {
        /// The socket.
        fd: Fd,
        /// Where everything is, as for `sendmsg(2)`.
        msg: *const libc::msghdr,
        /// `MSG_*`, as with [`Op::RecvWith`].
        flags: i32,
    },
    /// Accepts a connection, close-on-exec. With `multi`, completes once for each connection, `more` set, until it
    /// fails or is cancelled.
    Accept {
        /// The listening socket.
        fd: Fd,
        /// Whether to go on accepting.
        multi: bool,
    },
    /// Accepts one connection, close-on-exec, and tells its peer's address.
    AcceptFrom {
        /// The listening socket.
        fd: Fd,
        /// Where the address goes.
        addr: *mut c_void,
        /// How much room there is for it, and then how long it is.
        len: *mut u32,
    },
    /// Connects a socket.
    Connect {
        /// The socket.
        fd: Fd,
        /// The peer's address.
        addr: *const c_void,
        /// The address's length.
        len: u32,
    },
    /// Completes with the subset of `events` (`POLL*`) that hold, errors and hang-ups always among them. Reads nothing.
    Poll {
        /// The descriptor.
        fd: Fd,
        /// `POLL*` bits.
        events: u32,
    },
    /// Closes: everything that waits on the descriptor completes with `-EBADF`, and the kernel's close happens when
    /// the last of it has let go.
    Close {
        /// The descriptor.
        fd: Fd,
    },
    /// Waits for nothing but its deadline (it then completes with 0), a cancel, or
    /// [`Driver::complete`](super::Driver::complete).
    Park,
}

/// Names one operation; it stays unique when the record behind it serves another operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpId {
    pub(super) index: Index,
    pub(super) generation: u32,
}

impl OpId {
    /// Names no operation; every verb ignores it.
    pub const NONE: OpId = OpId { index: NONE, generation: 0 };
}

/// What became of a submission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// It succeeded or failed at once, with this result; no completion follows.
    Done(i32),
    /// It is under way; exactly one last completion follows.
    Pending(OpId),
}

/// The end of an operation, or one result of a `multi` one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion {
    /// The word that was handed in with the operation.
    pub waiter: u64,
    /// `>= 0` or a negative errno.
    pub result: i32,
    /// Whether the same operation will complete again.
    pub more: bool,
}

/// Why an operation is being ended early. The first reason stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Reason {
    None,
    Cancelled,
    Deadline,
    Closed,
    /// Its number came to another file without a word to us, which the waiter, who vouched for it, is to look into.
    Stale,
}

impl Reason {
    /// What the waiter is told instead of the kernel's bare `-ECANCELED`.
    pub(super) fn result(self) -> i32 {
        match self {
            Reason::None | Reason::Cancelled => -libc::ECANCELED,
            Reason::Deadline => -libc::ETIMEDOUT,
            Reason::Closed => -libc::EBADF,
            Reason::Stale => -libc::ESTALE,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Code {
    Read,
    Readv,
    Recv,
    RecvWith,
    RecvMsg,
    AtHand,
    Write,
    Writev,
    Send,
    SendWith,
    SendMsg,
    Accept,
    AcceptMulti,
    Connect,
    Poll,
    Close,
    Park,
}

/// Which of a descriptor's queues an operation waits in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Read,
    Write,
    Poll,
}

impl Code {
    /// The name of the call that it stands for.
    pub(super) fn name(self) -> &'static str {
        match self {
            Code::Read | Code::AtHand => "read",
            Code::Readv => "readv",
            Code::Recv => "recv",
            Code::RecvWith => "recvfrom",
            Code::RecvMsg => "recvmsg",
            Code::Write => "write",
            Code::Writev => "writev",
            Code::Send => "send",
            Code::SendWith => "sendto",
            Code::SendMsg => "sendmsg",
            Code::Accept | Code::AcceptMulti => "accept",
            Code::Connect => "connect",
            Code::Poll => "poll",
            Code::Close => "close",
            Code::Park => "park",
        }
    }

    /// Whether it moves bytes, and nothing else.
    pub(super) fn transfers(self) -> bool {
        match self {
            Code::Read | Code::Readv | Code::Recv | Code::RecvWith | Code::RecvMsg | Code::AtHand => true,
            Code::Write | Code::Writev | Code::Send | Code::SendWith | Code::SendMsg => true,
            Code::Accept | Code::AcceptMulti | Code::Connect | Code::Poll | Code::Close | Code::Park => false,
        }
    }

    /// Whether nothing but a socket can do it.
    pub(super) fn needs_socket(self) -> bool {
        self.is_message() || matches!(self, Code::Recv | Code::Send | Code::Accept | Code::AcceptMulti | Code::Connect)
    }

    /// Whether it is a receive into one buffer.
    pub(super) fn receives(self) -> bool {
        matches!(self, Code::Read | Code::Recv)
    }

    /// Whether it is a socket's call with flags.
    pub(super) fn is_message(self) -> bool {
        matches!(self, Code::RecvWith | Code::RecvMsg | Code::SendWith | Code::SendMsg)
    }

    pub(super) fn side(self) -> Side {
        match self {
            Code::Read | Code::Readv | Code::Recv | Code::RecvWith | Code::RecvMsg | Code::AtHand => Side::Read,
            Code::Accept | Code::AcceptMulti => Side::Read,
            Code::Write | Code::Writev | Code::Send | Code::SendWith | Code::SendMsg | Code::Connect => Side::Write,
            Code::Poll | Code::Close | Code::Park => Side::Poll,
        }
    }
}

/// An [`Op`] in the one shape that the backends work on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) ptr: *mut u8,
    pub(super) len: usize,
    pub(super) fd: Fd,
    /// The events of a poll, the flags of a socket's call.
    pub(super) events: u32,
    pub(super) code: Code,
}

/// The kernel's own bound on one transfer (`MAX_RW_COUNT`); it also keeps every count within an i32.
const TRANSFER_MAX: usize = 0x7fff_f000;

impl Request {
    /// Inlined, because every caller states one certain operation: nothing of the match is left.
    #[inline(always)]
    pub(super) fn new(op: Op) -> Request {
        let request =
            |code, fd, ptr: *mut u8, len: usize| Request { ptr, len: len.min(TRANSFER_MAX), fd, events: 0, code };
        let message = |code, fd, ptr: *mut u8, len: usize, flags: i32| Request {
            events: (flags & !libc::MSG_DONTWAIT) as u32,
            ..request(code, fd, ptr, len)
        };
        match op {
            Op::Read { fd, buf, len } => request(Code::Read, fd, buf, len),
            Op::Readv { fd, iov, count } => request(Code::Readv, fd, iov.cast_mut().cast(), count),
            Op::Recv { fd, buf, len } => request(Code::Recv, fd, buf, len),
            Op::RecvWith { fd, buf, len, flags } => message(Code::RecvWith, fd, buf, len, flags),
            Op::RecvMsg { fd, msg, flags } => message(Code::RecvMsg, fd, msg.cast(), 0, flags),
            Op::AtHand { fd } => request(Code::AtHand, fd, std::ptr::null_mut(), 0),
            Op::Write { fd, buf, len } => request(Code::Write, fd, buf.cast_mut(), len),
            Op::Writev { fd, iov, count } => request(Code::Writev, fd, iov.cast_mut().cast(), count),
            Op::Send { fd, buf, len } => request(Code::Send, fd, buf.cast_mut(), len),
            Op::SendWith { fd, buf, len, flags } => message(Code::SendWith, fd, buf.cast_mut(), len, flags),
            Op::SendMsg { fd, msg, flags } => message(Code::SendMsg, fd, msg.cast_mut().cast(), 0, flags),
            Op::AcceptFrom { fd, addr, len } => {
                Request { len: len.expose_provenance(), ..request(Code::Accept, fd, addr.cast(), 0) }
            }
            Op::Accept { fd, multi: false } => request(Code::Accept, fd, std::ptr::null_mut(), 0),
            Op::Accept { fd, multi: true } => request(Code::AcceptMulti, fd, std::ptr::null_mut(), 0),
            Op::Connect { fd, addr, len } => request(Code::Connect, fd, addr.cast_mut().cast(), len as usize),
            Op::Poll { fd, events } => Request { events, ..request(Code::Poll, fd, std::ptr::null_mut(), 0) },
            Op::Close { fd } => request(Code::Close, fd, std::ptr::null_mut(), 0),
            Op::Park => request(Code::Park, -1, std::ptr::null_mut(), 0),
        }
    }
}

/// Where a record's operation stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum State {
    /// The record serves nobody.
    Free,
    /// It waits here; nobody else holds anything of it.
    Waiting,
    /// The kernel holds it: its buffer is the kernel's until the completion is reaped.
    InFlight,
    /// It has its result and waits to be handed out.
    Done,
}

/// One operation under way, in a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Record {
    pub(super) request: Request,
    pub(super) waiter: u64,
    pub(super) link: Link,
    pub(super) generation: u32,
    pub(super) timer: Index,
    /// Until there is a result, when the operation began: see [`Slab::age`](super::slab::Slab::age).
    pub(super) result: i32,
    pub(super) state: State,
    pub(super) reason: Reason,
    /// A readiness poll runs in the kernel on the operation's behalf (see the uring backend).
    pub(super) polling: bool,
    /// Whoever asked said that the number is still its file's: see `Driver::submit_vouched`.
    pub(super) vouched: bool,
}

const _: () = assert!(size_of::<Record>() == 64);
