//! The kernel's own structures and numbers, as Linux lays them out: io_uring(7) and epoll(7).
//!
//! `libc` has no io_uring, and its `epoll_event` hides the word that carries generations behind a name per
//! architecture, so both stand here.

/// What matters of `struct stat`: which kind of file it is, and which file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FdStatus {
    /// `st_mode & S_IFMT`.
    pub kind: libc::mode_t,
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// `struct signalfd_siginfo`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs, reason = "the kernel's own names")]
pub struct SignalInfo {
    pub signo: u32,
    pub errno: i32,
    pub code: i32,
    pub pid: u32,
    pub uid: u32,
    pub fd: i32,
    pub tid: u32,
    pub band: u32,
    pub overrun: u32,
    pub trapno: u32,
    pub status: i32,
    pub int: i32,
    pub ptr: u64,
    pub utime: u64,
    pub stime: u64,
    pub addr: u64,
    pub rest: [u64; 6],
}

/// `struct epoll_event`.
#[repr(C)]
#[cfg_attr(target_arch = "x86_64", repr(packed))]
#[derive(Clone, Copy, Default)]
pub struct EpollEvent {
    /// `EPOLL*` bits.
    pub events: u32,
    /// Handed back with the event.
    pub data: u64,
}

/// `struct io_uring_sqe`, the fields that nyario fills.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Sqe {
    /// Which operation.
    pub opcode: u8,
    /// `IOSQE_*`.
    pub flags: u8,
    /// For network operations, the `RECVSEND_*` and `ACCEPT_*` flags.
    pub ioprio: u16,
    /// The descriptor.
    pub fd: i32,
    /// Offset, or the second address.
    pub off: u64,
    /// Buffer, iovec array, or the first address.
    pub addr: u64,
    /// Length or count.
    pub len: u32,
    /// The operation's own flags: message flags, poll events, cancel flags.
    pub op_flags: u32,
    /// Comes back in the completion.
    pub user_data: u64,
    /// The buffer group, under `BUFFER_SELECT`.
    pub buf_group: u16,
    /// Unused here.
    pub personality: u16,
    /// Unused here.
    pub splice_fd: i32,
    /// Unused here.
    pub pad: [u64; 2],
}

/// `struct io_uring_cqe`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Cqe {
    /// What the submission carried.
    pub user_data: u64,
    /// The result: `>= 0` or a negative errno.
    pub res: i32,
    /// `CQE_F_*`; the upper half is the provided buffer's id.
    pub flags: u32,
}

/// `struct io_sqring_offsets`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the kernel's own names")]
pub struct SqOffsets {
    pub head: u32,
    pub tail: u32,
    pub ring_mask: u32,
    pub ring_entries: u32,
    pub flags: u32,
    pub dropped: u32,
    pub array: u32,
    pub resv1: u32,
    pub user_addr: u64,
}

/// `struct io_cqring_offsets`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the kernel's own names")]
pub struct CqOffsets {
    pub head: u32,
    pub tail: u32,
    pub ring_mask: u32,
    pub ring_entries: u32,
    pub overflow: u32,
    pub cqes: u32,
    pub flags: u32,
    pub resv1: u32,
    pub user_addr: u64,
}

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the kernel's own names")]
pub struct UringParams {
    pub sq_entries: u32,
    pub cq_entries: u32,
    pub flags: u32,
    pub sq_thread_cpu: u32,
    pub sq_thread_idle: u32,
    pub features: u32,
    pub wq_fd: u32,
    pub resv: [u32; 3],
    pub sq_off: SqOffsets,
    pub cq_off: CqOffsets,
}

/// `struct io_uring_getevents_arg`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct EventsArg {
    /// Address of a signal mask, or 0.
    pub sigmask: u64,
    /// Size of the signal mask.
    pub sigmask_size: u32,
    /// Unused here.
    pub min_wait_usec: u32,
    /// Address of a [`Timespec`], or 0 to wait for ever.
    pub timeout: u64,
}

/// `struct __kernel_timespec`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Timespec {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest, in nanoseconds.
    pub nanoseconds: i64,
}

impl Timespec {
    /// The span of so many nanoseconds.
    pub fn from_nanos(nanos: u64) -> Self {
        Self { seconds: (nanos / 1_000_000_000) as i64, nanoseconds: (nanos % 1_000_000_000) as i64 }
    }
}

/// `struct io_uring_buf`, one entry of a buffer ring. The first entry's `tail` is the ring's tail.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct BufEntry {
    /// Where the buffer lies.
    pub addr: u64,
    /// How long it is.
    pub len: u32,
    /// Its id.
    pub id: u16,
    /// In entry 0: the ring's tail.
    pub tail: u16,
}

/// `struct io_uring_buf_reg`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct BufReg {
    /// Where the ring of entries lies.
    pub ring_addr: u64,
    /// How many entries, a power of two.
    pub ring_entries: u32,
    /// The group's id.
    pub group: u16,
    /// Unused here.
    pub flags: u16,
    /// Reserved.
    pub resv: [u64; 3],
}

/// `struct io_uring_probe_op`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct ProbeOp {
    /// The opcode.
    pub op: u8,
    /// Reserved.
    pub resv: u8,
    /// Bit 0 says that the kernel has it.
    pub flags: u16,
    /// Reserved.
    pub resv2: u32,
}

/// `struct io_uring_probe` with room for every opcode.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Probe {
    /// The highest opcode that the kernel knows.
    pub last_op: u8,
    /// How many entries it filled.
    pub ops_len: u8,
    /// Reserved.
    pub resv: u16,
    /// Reserved.
    pub resv2: [u32; 3],
    /// An entry each.
    pub ops: [ProbeOp; 64],
}

/// io_uring's numbers, by the kernel's names without their prefix.
#[allow(missing_docs, reason = "the kernel's own names")]
pub mod uring {
    pub const OFF_SQ_RING: u64 = 0;
    pub const OFF_SQES: u64 = 0x1000_0000;

    pub const SETUP_CQSIZE: u32 = 1 << 3;
    pub const SETUP_CLAMP: u32 = 1 << 4;
    pub const SETUP_SUBMIT_ALL: u32 = 1 << 7;
    pub const SETUP_COOP_TASKRUN: u32 = 1 << 8;
    pub const SETUP_TASKRUN_FLAG: u32 = 1 << 9;
    pub const SETUP_SINGLE_ISSUER: u32 = 1 << 12;
    pub const SETUP_DEFER_TASKRUN: u32 = 1 << 13;
    pub const SETUP_NO_SQARRAY: u32 = 1 << 16;

    pub const FEAT_SINGLE_MMAP: u32 = 1 << 0;
    pub const FEAT_NODROP: u32 = 1 << 1;
    pub const FEAT_SUBMIT_STABLE: u32 = 1 << 2;
    pub const FEAT_FAST_POLL: u32 = 1 << 5;
    pub const FEAT_EXT_ARG: u32 = 1 << 8;
    pub const FEAT_NO_IOWAIT: u32 = 1 << 17;

    pub const ENTER_GETEVENTS: u32 = 1 << 0;
    pub const ENTER_EXT_ARG: u32 = 1 << 3;
    pub const ENTER_REGISTERED_RING: u32 = 1 << 4;
    pub const ENTER_NO_IOWAIT: u32 = 1 << 7;

    pub const SQ_CQ_OVERFLOW: u32 = 1 << 1;
    pub const SQ_TASKRUN: u32 = 1 << 2;

    pub const SQE_BUFFER_SELECT: u8 = 1 << 5;

    pub const CQE_F_BUFFER: u32 = 1 << 0;
    pub const CQE_F_MORE: u32 = 1 << 1;
    pub const CQE_F_SOCK_NONEMPTY: u32 = 1 << 2;
    pub const CQE_BUFFER_SHIFT: u32 = 16;

    pub const OP_READV: u8 = 1;
    pub const OP_WRITEV: u8 = 2;
    pub const OP_POLL_ADD: u8 = 6;
    pub const OP_ACCEPT: u8 = 13;
    pub const OP_ASYNC_CANCEL: u8 = 14;
    pub const OP_CONNECT: u8 = 16;
    pub const OP_READ: u8 = 22;
    pub const OP_WRITE: u8 = 23;
    pub const OP_SEND: u8 = 26;
    pub const OP_RECV: u8 = 27;

    pub const RECVSEND_POLL_FIRST: u16 = 1 << 0;
    pub const RECV_MULTISHOT: u16 = 1 << 1;
    pub const ACCEPT_MULTISHOT: u16 = 1 << 0;

    pub const REGISTER_EVENTFD: u32 = 4;
    pub const UNREGISTER_EVENTFD: u32 = 5;
    pub const REGISTER_PROBE: u32 = 8;
    pub const REGISTER_RING_FDS: u32 = 20;
    pub const UNREGISTER_RING_FDS: u32 = 21;
    pub const REGISTER_PBUF_RING: u32 = 22;
    pub const UNREGISTER_PBUF_RING: u32 = 23;
}

/// `struct kevent`, as macOS, OpenBSD, DragonFly and libkqueue lay it out; FreeBSD's has more behind it.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct KEvent {
    /// What is watched: for most filters a descriptor.
    pub ident: usize,
    /// `EVFILT_*`.
    pub filter: i16,
    /// `EV_*`.
    pub flags: u16,
    /// The filter's own flags; with `EV_EOF` the socket's error.
    pub fflags: u32,
    /// The filter's own word; with `EV_ERROR` the errno.
    pub data: isize,
    /// Handed back with the event.
    pub udata: usize,
    /// FreeBSD's further words.
    #[cfg(target_os = "freebsd")]
    pub ext: [u64; 4],
}

/// kqueue's numbers, by the kernels' names.
#[allow(missing_docs, reason = "the kernels' own names")]
pub mod kqueue {
    pub const EVFILT_READ: i16 = -1;
    pub const EVFILT_WRITE: i16 = -2;
    #[cfg(not(target_os = "linux"))]
    pub const EVFILT_USER: i16 = libc::EVFILT_USER;
    /// libkqueue's.
    #[cfg(target_os = "linux")]
    pub const EVFILT_USER: i16 = -11;

    pub const EV_ADD: u16 = 0x0001;
    pub const EV_DELETE: u16 = 0x0002;
    pub const EV_CLEAR: u16 = 0x0020;
    pub const EV_RECEIPT: u16 = 0x0040;
    pub const EV_ERROR: u16 = 0x4000;
    pub const EV_EOF: u16 = 0x8000;

    pub const NOTE_TRIGGER: u32 = 0x0100_0000;
}

// The kernel refuses or misreads anything else.
const _: () = {
    assert!(size_of::<SignalInfo>() == 128);
    assert!(size_of::<Sqe>() == 64 && size_of::<Cqe>() == 16 && size_of::<UringParams>() == 120);
    assert!(size_of::<BufEntry>() == 16 && size_of::<BufReg>() == 40 && size_of::<EventsArg>() == 24);
    #[cfg(target_arch = "x86_64")]
    assert!(size_of::<EpollEvent>() == 12);
};
