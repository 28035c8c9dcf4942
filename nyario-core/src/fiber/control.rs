//! A fiber's control block. It lies at the top of the fiber's own stack, and what the fiber runs lies right below it:
//! spawning allocates nothing else, and the lines that a switch touches are neighbours.

use super::checkers;
use super::cold::Cold;
use super::context::{Context, switch};
use super::ending::wind_up;
use super::stack::{ALIGN, STACK_LEAST, Slot};
use super::table::FiberId;
use super::timers::TimerId;
use crate::cache::fetch;
use crate::conn::ConnId;
use crate::driver::OpId;

/// How a fiber's code ended: its value, and whether it ended well.
pub(super) type End = (u64, bool);

/// Who is to be told of a fiber's end.
#[derive(Clone, Copy)]
pub(super) enum Errand {
    /// Only who joins it.
    Own,
    /// The accepted connection that ends with it.
    Serves(ConnId),
    /// The timer whose call it is.
    Timer(TimerId),
}

/// How many cache lines of a stack are worth fetching: as many as a read and its callers have filled.
const FETCHED: usize = 9;

/// The words that a fiber gives the loop.
const SUSPENDED: u64 = 0;
const ENDED: u64 = 1;

/// The first cache line is what suspending and resuming touch.
#[repr(C, align(64))]
pub(super) struct Fiber {
    /// Where it goes on, while it is suspended.
    context: Context,
    /// Where the loop goes on, while it runs.
    home: *const Context,
    /// What it is parked on, or `OpId::NONE`.
    pub(super) op: OpId,
    /// In nanoseconds of the monotonic clock; 0 for none.
    pub(super) deadline: u64,
    /// Its next suspension is to fail.
    pub(super) cancelled: bool,
    /// What its park was ended with by another fiber, or 0.
    pub(super) unparked: i32,
    /// The next in the ready queue.
    pub(super) next: *mut Fiber,
    pub(super) id: FiberId,
    pub(super) errand: Errand,
    pub(super) slot: Slot,
    /// Once it has ended.
    end: End,
    /// Drops the code of a fiber that has never run.
    discard: Option<unsafe fn(*mut Fiber)>,
    /// What only some fibers have, or null.
    pub(super) cold: *mut Cold,
}

const _: () = assert!(size_of::<Fiber>() == 128);

/// A fiber and what it runs, as they lie on its stack.
#[repr(C)]
struct Whole<F> {
    code: F,
    fiber: Fiber,
}

impl Fiber {
    /// Lays a fiber out on a stack. `code` runs when it is first resumed; `id` is filled in by the caller.
    pub(super) fn create<F>(slot: Slot, errand: Errand, code: F) -> *mut Fiber
    where
        F: FnOnce() -> End + 'static,
    {
        const {
            assert!(align_of::<Whole<F>>() <= ALIGN, "what a fiber runs is aligned to a cache line at most");
            assert!(size_of::<Whole<F>>() <= STACK_LEAST / 4, "what a fiber runs leaves room on its stack");
        }
        let whole = slot.below(size_of::<Whole<F>>()).cast::<Whole<F>>();
        // SAFETY: the top of an unused stack, large and aligned enough; what runs grows down from there.
        unsafe {
            let fiber = &raw mut (*whole).fiber;
            (&raw mut (*whole).code).write(code);
            fiber.write(Fiber {
                context: Context::new(whole.cast(), run::<F>, whole.cast()),
                home: std::ptr::null(),
                op: OpId::NONE,
                deadline: 0,
                cancelled: false,
                unparked: 0,
                next: std::ptr::null_mut(),
                id: FiberId::from_word(0),
                errand,
                slot,
                end: (0, false),
                discard: Some(discard::<F>),
                cold: std::ptr::null_mut(),
            });
            fiber
        }
    }

    /// Fetches into the cache what the fiber will touch of its stack first: the frames that led to where it was suspended.
    ///
    /// # Safety
    ///
    /// The fiber must be suspended or new.
    #[inline(always)]
    pub(super) unsafe fn fetch_stack(fiber: *const Fiber) {
        // SAFETY: forwarded from the caller.
        let stack = unsafe { (*fiber).context.stack() };
        for line in 0..FETCHED {
            fetch(stack.wrapping_add(line * ALIGN));
        }
    }

    /// Leaves the loop for the fiber, until a fiber suspends or ends: that one, or one that it has passed the thread on
    /// to. `true` says that it has ended; [`bury`](Self::bury) is due.
    ///
    /// # Safety
    ///
    /// The fiber must be suspended or new, and on the calling thread's loop. `home` must stay until this returns.
    #[inline(always)]
    pub(super) unsafe fn resume(fiber: *mut Fiber, home: *mut Context, result: i32) -> bool {
        // SAFETY: forwarded from the caller; whoever runs reaches the control block through raw pointers only.
        unsafe {
            (*fiber).home = home;
            cross(home, &raw const (*fiber).context, result as u32 as u64, Some((*fiber).slot)) == ENDED
        }
    }

    /// As [`suspend`](Self::suspend), and runs `next` in its place, without a visit to the loop.
    ///
    /// # Safety
    ///
    /// The caller must run on `fiber`; `next` must be another one of its loop, suspended or new.
    #[inline(always)]
    pub(super) unsafe fn pass(fiber: *mut Fiber, next: *mut Fiber) -> i32 {
        // SAFETY: forwarded from the caller; the fiber runs, so its `home` is where the loop is.
        unsafe {
            (*next).home = (*fiber).home;
            cross(&raw mut (*fiber).context, &raw const (*next).context, SUSPENDED, Some((*next).slot)) as i32
        }
    }

    /// How the fiber ended, and the stack that it leaves, its control block included.
    ///
    /// # Safety
    ///
    /// The fiber must have ended. Nothing of it may be touched once its stack is given back.
    pub(super) unsafe fn bury(fiber: *mut Fiber) -> (End, Slot) {
        // SAFETY: forwarded from the caller.
        unsafe { ((*fiber).end, (*fiber).slot) }
    }

    /// Drops the code of a fiber that has never run, and says which stack it leaves; `None` for any other.
    ///
    /// # Safety
    ///
    /// The fiber must not have ended, and it must not be resumed any more if it has never run.
    pub(super) unsafe fn discard(fiber: *mut Fiber) -> Option<Slot> {
        // SAFETY: forwarded from the caller.
        unsafe {
            let discard = (*fiber).discard?;
            discard(fiber);
            Some((*fiber).slot)
        }
    }

    /// Ends the calling fiber with `value`; its frames are left as they are.
    ///
    /// # Safety
    ///
    /// The caller must run on that fiber, and nothing may rely on what lies on its stack.
    pub(super) unsafe fn exit(fiber: *mut Fiber, value: u64) -> ! {
        // SAFETY: forwarded from the caller.
        unsafe {
            (*fiber).end = (value, true);
            Fiber::leave(fiber)
        }
    }

    /// Does what is to be done at the end of the calling fiber, and leaves it for good.
    ///
    /// # Safety
    ///
    /// The caller must run on that fiber.
    #[inline(always)]
    unsafe fn leave(fiber: *mut Fiber) -> ! {
        // SAFETY: forwarded from the caller; the fiber runs, so the loop has left its context in `home`.
        unsafe {
            if !(*fiber).cold.is_null() && !wind_up(fiber) {
                (*fiber).end.1 = false;
            }
            checkers::leave_for_ever();
            switch(&raw mut (*fiber).context, (*fiber).home, ENDED);
        }
        unreachable!("a fiber that has ended is not resumed");
    }

    /// Suspends the calling fiber until the loop resumes it, with the result of what it waited for.
    ///
    /// # Safety
    ///
    /// The caller must run on that fiber.
    #[inline(always)]
    pub(super) unsafe fn suspend(fiber: *mut Fiber) -> i32 {
        // SAFETY: the fiber runs, so the loop has left its context in `home`.
        unsafe { cross(&raw mut (*fiber).context, (*fiber).home, SUSPENDED, None) as i32 }
    }
}

/// A switch to the stack of a fiber or, without one, to the loop's; checkers are told.
///
/// # Safety
///
/// That of [`switch`].
#[inline(always)]
unsafe fn cross(from: *mut Context, to: *const Context, word: u64, slot: Option<Slot>) -> u64 {
    let left = checkers::leave(slot);
    // SAFETY: forwarded from the caller.
    let answer = unsafe { switch(from, to, word) };
    checkers::arrived(left);
    answer
}

/// What a new fiber begins with.
unsafe extern "C" fn run<F: FnOnce() -> End>(whole: *mut u8) -> ! {
    let whole = whole.cast::<Whole<F>>();
    checkers::begun();
    // SAFETY: `create` has laid it out there, and the code is taken out once.
    unsafe {
        let fiber = &raw mut (*whole).fiber;
        (*fiber).discard = None;
        let code = (&raw const (*whole).code).read();
        (*fiber).end = code();
        Fiber::leave(fiber)
    }
}

/// See [`Fiber::discard`].
unsafe fn discard<F>(fiber: *mut Fiber) {
    let whole = fiber.wrapping_byte_sub(std::mem::offset_of!(Whole<F>, fiber)).cast::<Whole<F>>();
    // SAFETY: the caller says that the code has never run, so it is still there; the mark keeps it from going twice.
    unsafe {
        (*fiber).discard = None;
        (&raw mut (*whole).code).drop_in_place();
    }
}
