//! A fiber's control block. It lies at the top of the fiber's own stack, so spawning allocates nothing else and the
//! lines that a switch touches are neighbours.

use super::stack::Slot;
use super::table::FiberId;
use crate::conn::ConnId;
use crate::driver::OpId;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::mem::MaybeUninit;

/// What resumes a fiber: the result of what it waited for.
type Input = i32;

/// The coroutine under a fiber. It returns whether its code ended well, and its value.
type Body = Coroutine<Input, (), (u64, bool), Slot>;

pub(super) struct Fiber {
    /// The next in the ready queue.
    pub(super) next: *mut Fiber,
    pub(super) id: FiberId,
    /// What it is parked on, or `OpId::NONE`.
    pub(super) op: OpId,
    /// In nanoseconds of the monotonic clock; 0 for none.
    pub(super) deadline: u64,
    /// Its next suspension is to fail.
    pub(super) cancelled: bool,
    /// The accepted connection that ends with it.
    pub(super) conn: Option<ConnId>,
    yielder: *const Yielder<Input, ()>,
    body: MaybeUninit<Body>,
}

impl Fiber {
    /// Lays a fiber out on a stack. `code` runs when it is first resumed; `id` is filled in by the caller.
    pub(super) fn create<F>(slot: Slot, conn: Option<ConnId>, code: F) -> *mut Fiber
    where
        F: FnOnce() -> (u64, bool) + 'static,
    {
        let (rest, place) = slot.below(size_of::<Fiber>());
        let fiber = place.cast::<Fiber>();
        // SAFETY: the top of an unused stack, large and aligned enough, and kept off the stack's usable part.
        unsafe {
            fiber.write(Fiber {
                next: std::ptr::null_mut(),
                id: FiberId::from_word(0),
                op: OpId::NONE,
                deadline: 0,
                cancelled: false,
                conn,
                yielder: std::ptr::null(),
                body: MaybeUninit::uninit(),
            });
            let body = Body::with_stack(rest, move |yielder, _: Input| {
                (*fiber).yielder = yielder;
                code()
            });
            (*fiber).body.write(body);
        }
        fiber
    }

    /// Runs the fiber until it suspends or ends. Its end is returned with the stack it leaves.
    ///
    /// # Safety
    ///
    /// The fiber must be suspended or new, and on the calling thread's loop.
    #[inline]
    pub(super) unsafe fn resume(fiber: *mut Fiber, input: Input) -> Option<((u64, bool), Slot)> {
        // SAFETY: the body is initialised, and it is borrowed for as long as it runs: what runs on it reaches its own
        // control block only through raw pointers to the other fields.
        let body = unsafe { (*fiber).body.assume_init_mut() };
        match body.resume(input) {
            CoroutineResult::Yield(()) => None,
            CoroutineResult::Return(end) => {
                // SAFETY: the body has ended, is taken out once, and the fiber is not resumed again.
                let slot = unsafe { (*fiber).body.assume_init_read() }.into_stack();
                Some((end, slot))
            }
        }
    }

    /// Suspends the calling fiber until the loop resumes it.
    ///
    /// # Safety
    ///
    /// The caller must run on that fiber.
    #[inline]
    pub(super) unsafe fn suspend(fiber: *mut Fiber) -> Input {
        // SAFETY: a running fiber has set its yielder, which lives on its stack until it ends.
        unsafe { (*(*fiber).yielder).suspend(()) }
    }
}
