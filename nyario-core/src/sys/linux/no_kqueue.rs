//! Linux has no kqueue.

use crate::sys::Fd;
use crate::sys::abi::KEvent;

#[inline(always)]
pub(super) fn closing(_fd: Fd) {}

/// Says so, once per process.
pub(super) fn kqueue() -> i32 {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        eprintln!("nyario: Linux has no kqueue; scripts/kqueue builds nyario with libkqueue, for its tests")
    });
    -libc::ENOSYS
}

pub(super) fn kevent(_queue: Fd, _changes: &[KEvent], _events: &mut [KEvent], _timeout: Option<u64>) -> i32 {
    -libc::ENOSYS
}
