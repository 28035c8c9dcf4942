//! A fiber's place in its loop.

use super::foresight::Traces;
use nyario_core::conn::ConnId;
use nyario_core::driver::OpId;
use rb_sys::VALUE;

/// The place of a fiber in its loop.
pub(crate) type Slot = u32;

/// No fiber of the loop's: the root fiber, or one that we do not know.
pub(crate) const NO_SLOT: Slot = u32::MAX;

/// The place of a fiber that has given up its place: nobody will resume it.
pub(crate) const DROPPED: Slot = u32::MAX - 1;

/// What a fiber is to run.
#[derive(Clone, Copy)]
pub(crate) enum Job {
    None,
    /// Serve a connection.
    Serve {
        conn: ConnId,
        callable: VALUE,
    },
    /// Run a block, for a task.
    Run {
        block: VALUE,
        task: VALUE,
    },
    /// Run a timer's block.
    Tick {
        timer: VALUE,
    },
    /// Run what `Fiber.schedule` was given; the fiber ends with it.
    Scheduled,
    /// Not a fiber's slot at all: a timer that raises in the fiber (see `scheduler::timeout`). `what` is an array, an
    /// exception's class and its arguments.
    Timeout {
        fiber: VALUE,
        what: VALUE,
    },
    /// Nor is this: one of several operations whose end unblocks the fiber (see `scheduler::select`).
    Watch {
        fiber: VALUE,
    },
    /// Raise an exception in whatever stands for a fiber (see `scheduler::interrupt`). Without a fiber of its own it waits
    /// for one.
    Interrupt {
        target: VALUE,
        exception: VALUE,
    },
}

/// A fiber that waits or runs on this loop.
pub(crate) struct Waiter {
    pub(crate) fiber: VALUE,
    /// Counts the waits, so that the completion of one that an exception cut short meets nobody.
    pub(crate) sequence: u32,
    pub(crate) result: i32,
    /// What it is parked on.
    pub(crate) op: OpId,
    pub(crate) job: Job,
    /// It gave control away past the loop, and is to get it back.
    pub(super) bypassed: bool,
    /// It is among those that are ready because it has let others go first.
    pub(super) queued: bool,
    /// It waits for somebody to unblock it, besides what it is parked on.
    pub(crate) blocked: bool,
    /// Somebody has; it is among those that are ready.
    pub(super) unblocked: bool,
    /// Something is to be raised in it; it is among those that are ready.
    pub(super) interrupted: bool,
    /// Nothing is raised in it while it is parked as it is.
    pub(super) shielded: bool,
    /// For a fiber that Ruby code made: the fiber of the loop's that has resumed it.
    pub(super) within: Slot,
    pub(super) traces: Traces,
}

impl Waiter {
    pub(super) fn new(fiber: VALUE, traces: Traces) -> Waiter {
        Waiter {
            fiber,
            sequence: 0,
            result: 0,
            op: OpId::NONE,
            job: Job::None,
            bypassed: false,
            queued: false,
            blocked: false,
            unblocked: false,
            interrupted: false,
            shielded: false,
            within: NO_SLOT,
            traces,
        }
    }
}
