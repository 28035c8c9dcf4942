//! Numbers of Linux's that other systems lack or count differently. Elsewhere a flag without a counterpart is 0, which
//! asks for nothing, and what `sys::bsd` has to do by other calls has a bit of its own.

#![allow(missing_docs, reason = "the kernel's own names")]

#[cfg(target_os = "linux")]
pub use libc::{
    EAI_NODATA, ENODATA, ENONET, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLIN, ETIME, MADV_DONTFORK,
    MADV_NOHUGEPAGE, MAP_NORESERVE, MAP_POPULATE, MAP_STACK, MSG_CMSG_CLOEXEC, MSG_ERRQUEUE, O_DIRECT, POLLRDHUP,
    RWF_NOWAIT, SO_DOMAIN, SOCK_CLOEXEC, SOCK_NONBLOCK, SPLICE_F_NONBLOCK,
};

/// The C library's, which `libc` leaves out.
#[cfg(target_os = "linux")]
pub const EAI_ADDRFAMILY: i32 = -9;

/// What the kernel needs of a signal handler's stack.
#[cfg(target_os = "linux")]
pub fn signal_frame() -> usize {
    // SAFETY: it reads what the kernel gave the process when it began.
    unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) as usize }
}

#[cfg(not(target_os = "linux"))]
pub use elsewhere::*;

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    pub const EAI_ADDRFAMILY: i32 = 1;
    pub const EAI_NODATA: i32 = 7;
    /// No error is so.
    pub const ENONET: i32 = i32::MAX;
    pub const ETIME: i32 = libc::ETIMEDOUT;

    pub const EPOLL_CTL_ADD: i32 = 1;
    pub const EPOLL_CTL_DEL: i32 = 2;
    pub const EPOLL_CTL_MOD: i32 = 3;
    pub const EPOLLIN: i32 = 1;
    pub const EPOLLET: i32 = 1 << 31;

    /// `MADV_NORMAL`.
    pub const MADV_DONTFORK: i32 = 0;
    pub const MADV_NOHUGEPAGE: i32 = 0;
    pub const MAP_NORESERVE: i32 = 0;
    pub const MAP_POPULATE: i32 = 0;
    pub const MSG_ERRQUEUE: i32 = 0;
    /// No pipe is so.
    pub const O_DIRECT: i32 = 0;
    /// Always refused, so that whoever asks for it polls first.
    pub const RWF_NOWAIT: i32 = 8;
    pub const SPLICE_F_NONBLOCK: u32 = 2;

    #[cfg(target_vendor = "apple")]
    pub use libc::ENODATA;
    /// The nearest.
    #[cfg(not(target_vendor = "apple"))]
    pub const ENODATA: i32 = libc::ENOATTR;

    #[cfg(not(target_vendor = "apple"))]
    pub use libc::{MAP_STACK, MSG_CMSG_CLOEXEC, POLLRDHUP, SO_DOMAIN, SOCK_CLOEXEC, SOCK_NONBLOCK};

    #[cfg(target_vendor = "apple")]
    mod apple {
        pub const MAP_STACK: i32 = 0;
        pub const MSG_CMSG_CLOEXEC: i32 = 1 << 30;
        pub const POLLRDHUP: i16 = 0;
        pub const SO_DOMAIN: i32 = 1 << 30;
        pub const SOCK_CLOEXEC: i32 = 1 << 30;
        pub const SOCK_NONBLOCK: i32 = 1 << 29;
    }
    #[cfg(target_vendor = "apple")]
    pub use apple::*;

    pub fn signal_frame() -> usize {
        libc::MINSIGSTKSZ
    }
}
