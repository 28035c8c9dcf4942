//! Configuring the loop.

use crate::boundary::{guard, keeping_errno, sized, text};
use nyario_core::driver::{BackendKind, Config};
use nyario_core::fiber::Loop;
use nyario_core::local;
use nyario_core::sys::Errno;
use std::ffi::{c_char, c_int};

/// How nyario_configure makes a thread's loop. What is zero is left at its default.
#[allow(non_camel_case_types, reason = "C's name for it")]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nyario_options {
    /// `sizeof (nyario_options)`.
    pub size: usize,
    /// The backend to insist on: "uring", "epoll" or "kqueue". NULL takes the best that the kernel allows. The
    /// environment variable NYARIO_BACKEND has the last word in both cases.
    pub backend: *const c_char,
    /// How many bytes of stack those fibers have that are spawned without a size, handlers of connections among them: from
    /// 16 KiB to 64 MiB, rounded up to a power of two. 256 KiB by default.
    pub stack_size: usize,
    /// How many fibers there may be at a time. Beyond it nyario_spawn answers -EAGAIN, and the handlers of connections
    /// wait for their turn. Any number by default.
    pub fibers: usize,
    /// How many accepted connections there may be at a time. Beyond it the rest wait in the queues of their listeners.
    /// Any number by default.
    pub connections: usize,
}

/// Makes the calling thread's loop as `options` say; NULL is all defaults. Without it, the first call that needs the
/// loop makes it. The struct is read before the call returns. Does not suspend.
///
/// Returns 0, or -EBUSY when the thread has a loop already, -EINVAL for a backend that there is not, a stack size out of
/// bounds, or options of a later version that this one does not know and that are not zero; the kernel's reason when it
/// denies the backend insisted on, such as -EPERM or -ENOSYS; -EMFILE, -ENFILE, -ENOMEM. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_configure(options: *const nyario_options) -> c_int {
    guard(|| {
        // SAFETY: the caller lends a struct that begins with its size; ours is plain data.
        let options = unsafe { sized(options) }?;
        let mut config = Config::from_env()?;
        if !options.backend.is_null() {
            // SAFETY: the caller lends a C string for the call.
            let name = unsafe { text(options.backend) }?;
            let backend = BackendKind::from_name(name).ok_or(Errno(libc::EINVAL))?;
            config.backend.get_or_insert(backend);
        }
        let prepare = |looped: &Loop| {
            if options.stack_size != 0 {
                looped.set_stack_size(options.stack_size)?;
            }
            if options.fibers != 0 {
                looped.set_fiber_limit(options.fibers)?;
            }
            if options.connections != 0 {
                looped.set_connection_limit(options.connections)?;
            }
            Ok(())
        };
        keeping_errno(|| local::make_with(&config, prepare)).map(|_| 0)
    })
}
