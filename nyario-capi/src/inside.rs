//! Seeing inside.

use crate::boundary::{fill, guard};
use nyario_core::local;
use nyario_core::sys::{Errno, Kernel, Linux, check};
use std::ffi::{c_char, c_int};

/// What nyario_stats tells of a loop: counts since it was made, and how many there are now of what it holds.
#[allow(non_camel_case_types, reason = "C's name for it")]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nyario_statistics {
    /// `sizeof (nyario_statistics)`, set by the caller.
    pub size: usize,
    /// The backend at work: "uring", "epoll" or "kqueue". Constant.
    pub backend: *const c_char,
    /// Turns taken.
    pub turns: u64,
    /// Looks at the kernel that were system calls: waits, and submissions.
    pub enters: u64,
    /// Operations that were over as soon as they were begun.
    pub at_once: u64,
    /// Operations that had to wait, or were queued for the kernel; sleeps, joins and whatever else a fiber waits for are
    /// among them.
    pub waited: u64,
    /// Operations that are waiting now.
    pub waiting: u64,
    /// How often a fiber was resumed.
    pub switches: u64,
    /// Fibers that were ever begun, handlers of connections among them.
    pub spawned: u64,
    /// Fibers that have not ended.
    pub fibers: u64,
    /// Handlers of connections, and calls of timers, that wait because there are as many fibers as the loop allows.
    pub crowded: u64,
    /// Registered servers.
    pub servers: u64,
    /// Connections that servers have accepted.
    pub accepted: u64,
    /// Those of them that have not spoken yet and have no fiber.
    pub idle: u64,
    /// Connections that were dialled.
    pub clients: u64,
    /// Descriptors that the loop watches and did not open; registered servers are among them.
    pub adopted: u64,
    /// Armed timers and deadlines.
    pub timers: u64,
    /// Stacks that are mapped.
    pub stacks: u64,
    /// Those of them that wait for a fiber.
    pub stacks_free: u64,
    /// Provided buffers, which only the backend "uring" has.
    pub buffers: u64,
    /// Those of them that hold bytes which nobody has read yet.
    pub buffers_used: u64,
    /// What other threads have told the loop: what was posted, and the ends of what its fibers wait for.
    pub posts: u64,
    /// Times that the loop kept house.
    pub sweeps: u64,
}

/// Tells what the calling thread's loop has done and holds, in `*statistics`, whose `size` the caller has set. A later
/// version may tell more than a caller's struct has room for; what this version does not know of becomes 0. Does not
/// suspend.
///
/// Returns 0, or -ESRCH when the thread has no loop, -EINVAL for NULL or a size that cannot be. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_stats(statistics: *mut nyario_statistics) -> c_int {
    guard(|| {
        let looped = local::current().ok_or(Errno(libc::ESRCH))?;
        let known = looped.statistics();
        let (runtime, driver) = (known.runtime, known.runtime.driver);
        let known = nyario_statistics {
            size: 0,
            backend: known.backend.c_name().as_ptr(),
            turns: runtime.turns,
            enters: driver.enters,
            at_once: driver.at_once,
            waited: driver.waited,
            waiting: driver.pending,
            switches: known.switches,
            spawned: known.spawned,
            fibers: known.fibers,
            crowded: known.crowded,
            servers: runtime.servers,
            accepted: runtime.accepted,
            idle: runtime.idle,
            clients: runtime.clients,
            adopted: driver.adopted,
            timers: driver.timers,
            stacks: known.stacks,
            stacks_free: known.stacks_free,
            buffers: driver.buffers,
            buffers_used: driver.buffers_used,
            posts: driver.notes + known.posted,
            sweeps: runtime.sweeps,
        };
        // SAFETY: the caller lends a struct that begins with its size; ours is words throughout.
        unsafe { fill(statistics, known) }?;
        Ok(0)
    })
}

/// Writes to `fd`, for people to read, what the calling thread's loop is busy with. A line for each fiber that has not
/// ended: its number, its name, and what it does; and a last one that counts the connections:
///
///     fiber 4294967296 "resolver": in offload for 120 ms
///     fiber 4294967297: in recv on fd 7 for 2040 ms, deadline in 2960 ms
///     fiber 4294967298: ready
///     fiber 4294967299 "console": running
///     connections: servers 1, accepted 60 (59 without a fiber), clients 0
///
/// A fiber is in the call that it waits in, or in what it waits for: sleep, join, mutex, and so on. Times are taken from a
/// coarse clock, once a turn: they are about 10 ms off, and what one turn takes does not count. The lines may change
/// from version to version. Allocates, and does not suspend: a pipe that is full blocks the thread.
///
/// Returns 0, or -ESRCH when the thread has no loop, -EBADF, or another error of write(2). Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_dump(fd: c_int) -> c_int {
    guard(|| {
        let looped = local::current().ok_or(Errno(libc::ESRCH))?;
        let mut text = String::new();
        looped.dump(&mut text).expect("a string takes everything");
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let iov = libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() };
            // SAFETY: the text outlives the call, which reads it.
            match unsafe { Linux.writev(fd, &iov, 1, 0) } as c_int {
                again if again == -libc::EAGAIN => {
                    let entry = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
                    Linux.poll(&mut [entry], None);
                }
                interrupted if interrupted == -libc::EINTR => {}
                written => rest = &rest[check(written)? as usize..],
            }
        }
        Ok(0)
    })
}
