//! A fiber that overflows its stack says so before the process ends.
//!
//! Below each stack lies a guard that faults. The handler of that fault runs on a stack of its own, names the fiber, and
//! lets the fault end the process as it would have without it, so that a debugger or a core file shows the culprit.
//! Faults that are not ours go to whoever handled them before.

use crate::fiber::Overflow;
use crate::sys::{Kernel, Native, portable};
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::io::Write;
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::sync::Once;

/// What the handler itself needs, beside what the kernel saves of the registers.
const ROOM: usize = 32 * 1024;

/// Who handled faults before.
struct Before(UnsafeCell<libc::sigaction>);

// SAFETY: written once, before the handler that reads it is installed.
unsafe impl Sync for Before {}

// SAFETY: a sigaction is plain data, for which zeroes are a value.
static BEFORE: Before = Before(UnsafeCell::new(unsafe { zeroed() }));

/// Begins to watch. Whoever installs a handler of their own for SIGSEGV later, watches instead.
pub(super) fn watch() {
    static WATCH: Once = Once::new();
    // SAFETY: the calls read and fill in plain data; the handler keeps to what is allowed in one.
    WATCH.call_once(|| unsafe {
        if libc::sigaction(libc::SIGSEGV, null(), BEFORE.0.get()) != 0 {
            return;
        }
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = faulted as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGSEGV, &action, null_mut());
    });
}

extern "C" fn faulted(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives the handler a valid siginfo, and for this signal it has an address.
    let addr = unsafe { (*info).si_addr() } as usize;
    if let Some(overflow) = super::current().and_then(|looped| looped.overflowed(addr)) {
        tell(&overflow);
    } else {
        // SAFETY: written before this handler was installed.
        let before = unsafe { *BEFORE.0.get() };
        match before.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {}
            handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                // SAFETY: with that flag, it is a handler of three arguments.
                let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                    unsafe { std::mem::transmute(handler) };
                return handler(signal, info, context);
            }
            handler => {
                // SAFETY: without it, it is a handler of one.
                let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
                return handler(signal);
            }
        }
    }
    // SAFETY: plain data. The instruction that faulted faults again, and that ends the process.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &action, null_mut());
    }
}

/// Nothing is allocated and nothing is locked: what was interrupted may hold any lock.
fn tell(overflow: &Overflow) {
    let mut text = [0u8; 192];
    let room = text.len();
    let mut rest = &mut text[..];
    let mut write = || {
        write!(rest, "nyario: fiber {} ", overflow.fiber.word())?;
        if !overflow.name.is_empty() {
            rest.write_all(b"\"")?;
            rest.write_all(overflow.name.as_bytes())?;
            rest.write_all(b"\" ")?;
        }
        writeln!(rest, "overflowed its stack of {} KiB", overflow.stack_size / 1024)
    };
    let written = write();
    let length = room - rest.len();
    if written.is_ok() {
        let iov = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: length };
        // SAFETY: the text outlives the call.
        unsafe { Native.writev(2, &iov, 1, 0) };
    }
}

/// The stack that a thread's handlers run on, if it had none.
pub(super) struct HandlerStack {
    base: *mut u8,
    len: usize,
}

impl HandlerStack {
    /// Gives the calling thread one. `None`: it has one already, or there is no memory for one.
    pub(super) fn new() -> Option<HandlerStack> {
        // SAFETY: the calls read and fill in plain data; the mapping is ours until `drop`.
        unsafe {
            let mut present: libc::stack_t = zeroed();
            if libc::sigaltstack(null(), &mut present) != 0 || present.ss_flags & libc::SS_DISABLE == 0 {
                return None;
            }
            let frame = portable::signal_frame();
            let len = (frame + ROOM).next_multiple_of(4096);
            let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let base = Native.mmap(len, prot, flags, -1, 0);
            if (-4095..0).contains(&base) {
                return None;
            }
            let stack = HandlerStack { base: base as *mut u8, len };
            let wanted = libc::stack_t { ss_sp: stack.base.cast(), ss_flags: 0, ss_size: len };
            (libc::sigaltstack(&wanted, null_mut()) == 0).then_some(stack)
        }
    }
}

impl Drop for HandlerStack {
    fn drop(&mut self) {
        // SAFETY: as above; one that somebody else has put in its place is left alone.
        unsafe {
            let mut present: libc::stack_t = zeroed();
            if libc::sigaltstack(null(), &mut present) == 0 && present.ss_sp == self.base.cast() {
                let none = libc::stack_t { ss_sp: null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
                libc::sigaltstack(&none, null_mut());
            }
            Native.munmap(self.base, self.len);
        }
    }
}
