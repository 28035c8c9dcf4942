//! Whether a scenario gives back the memory that it took. What its own thread allocates counts, whoever frees it: a loop
//! belongs to that thread, while the peers on other threads, and the harness around them, come and go as they like.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

thread_local! {
    /// Whether this thread's allocations belong to the scenario.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    /// How often this thread has allocated since somebody began to count.
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Which scenario it is, from 1: what is freed late must not count for the next.
static TURN: AtomicUsize = AtomicUsize::new(0);

/// The bytes that the scenario has allocated and nobody freed.
static LIVE: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator, with a word before each block that names its scenario, or is 0.
struct Counting;

/// How far before a block its word lies, or rather where its memory begins.
fn room(layout: Layout) -> usize {
    layout.align().max(size_of::<usize>())
}

fn whole(layout: Layout) -> Option<Layout> {
    let room = room(layout);
    Layout::from_size_align(layout.size().checked_add(room)?, room).ok()
}

// SAFETY: the system's allocator does the work, on blocks that are longer by at least a word and aligned as asked for, as
// the word's room is a multiple of the alignment. Counting touches plain thread-locals and an atomic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get().map(|count| count + 1));
        let Some(whole) = whole(layout) else { return std::ptr::null_mut() };
        // SAFETY: a block is never empty, as it has room for the word.
        let block = unsafe { System.alloc(whole) };
        if block.is_null() {
            return block;
        }
        let turn = if WATCHED.get() { TURN.load(Ordering::Relaxed) } else { 0 };
        if turn != 0 {
            LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        }
        // SAFETY: the block begins with at least a word of room, and what follows it is as long as was asked for.
        unsafe {
            block.cast::<usize>().write(turn);
            block.add(room(layout))
        }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let whole = whole(layout).expect("it was allocated with that layout");
        // SAFETY: it came from `alloc` with that layout, so the room lies before it.
        unsafe {
            let block = ptr.sub(room(layout));
            let turn = block.cast::<usize>().read();
            if turn != 0 && turn == TURN.load(Ordering::Relaxed) {
                LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
            }
            System.dealloc(block, whole)
        }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Begins to count this thread's allocations.
pub fn count() {
    COUNT.set(Some(0));
}

/// How many there were; `None` if nobody counts.
pub fn counted() -> Option<u64> {
    COUNT.get()
}

/// Ends the count.
pub fn stop_counting() -> Option<u64> {
    COUNT.take()
}

/// How many milliseconds a thread that has been joined may take to free the rest of what it was given.
pub const PATIENCE: u32 = 2000;

/// Runs a scenario whose memory counts from here on.
pub fn watch<T>(scenario: impl FnOnce() -> T) -> T {
    TURN.fetch_add(1, Ordering::Relaxed);
    LIVE.store(0, Ordering::Relaxed);
    WATCHED.set(true);
    let result = scenario();
    WATCHED.set(false);
    result
}

/// How many bytes are left of the last scenario for good.
pub fn left() -> isize {
    for _ in 0..PATIENCE {
        if LIVE.load(Ordering::Relaxed) == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    LIVE.load(Ordering::Relaxed)
}
