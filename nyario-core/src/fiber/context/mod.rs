//! Contexts: where a computation that has been left goes on. A switch saves one and continues another.
//!
//! ```text
//!   loop:   switch(&home, fiber.context, result) ---+        +--> ... goes on with the word that the fiber gave
//!                                                   v        |
//!   fiber:  ... <- goes on with the result -----> switch(&context, home, word)
//! ```
//!
//! A context is the stack pointer of whoever was left, and the address to go on at; what else it needs lies on that
//! stack. (The address does not, as the processor would then wait for the stack's memory before it knew where to go.)
//! The switch is inlined where it is used: the compiler then saves just what is live there. And it leaves by a jump, not
//! by a return. A
//! return would be predicted to go back to whoever called the switch, which is on the other stack; so it, and each
//! return that the fiber makes after it, would be mispredicted. With a jump the processor's stack of return addresses
//! stays as deep as the calls are, and when the next fiber returns from where this one called, that is even predicted.
//!
//! miri runs no assembly, so whatever needs a fiber is out of its reach.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as arch;
#[cfg(target_arch = "x86_64")]
use x86_64 as arch;

/// What a new context begins with. It must not return.
pub(super) type Entry = unsafe extern "C" fn(arg: *mut u8) -> !;

/// Somebody who was left.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Context {
    stack: *mut u8,
    resume: *const u8,
}

impl Context {
    /// Nobody.
    pub(super) const NONE: Context = Context { stack: std::ptr::null_mut(), resume: std::ptr::null() };

    /// The lowest address that was in use when it was left.
    #[inline(always)]
    pub(super) fn stack(&self) -> *const u8 {
        self.stack
    }

    /// A context that begins with `entry(arg)` on the stack that ends at `top`. The word of the first switch is lost.
    ///
    /// # Safety
    ///
    /// `top` must be the end of a stack that is writable, unused, and aligned to 16 bytes.
    pub(super) unsafe fn new(top: *mut u8, entry: Entry, arg: *mut u8) -> Context {
        debug_assert!((top as usize).is_multiple_of(16));
        let words = [arg as usize, entry as usize];
        let stack = top.wrapping_sub(size_of_val(&words));
        // SAFETY: the caller gives a stack that nobody uses.
        unsafe { stack.cast::<[usize; 2]>().write(words) };
        Context { stack, resume: arch::start as *const () as *const u8 }
    }
}

/// Leaves the caller's context in `from` and continues `to` with `word`. Returns when somebody continues the caller's
/// context, with the word that they give.
///
/// # Safety
///
/// `to` must have been left, or be new, and not have been continued since. Both stacks must stay, and stay on the
/// calling thread.
#[inline(always)]
pub(super) unsafe fn switch(from: *mut Context, to: *const Context, word: u64) -> u64 {
    // SAFETY: forwarded from the caller.
    unsafe { arch::switch(from, to, word) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 64 * 1024;

    struct Pair {
        main: Context,
        other: Context,
        heard: Vec<u64>,
    }

    fn stack() -> Vec<u128> {
        vec![0; SIZE / 16]
    }

    fn begin(stack: &mut [u128], pair: *mut Pair, entry: Entry) {
        let top = stack.as_mut_ptr_range().end;
        // SAFETY: the stack is fresh, and its words are aligned to 16 bytes.
        unsafe { (*pair).other = Context::new(top.cast(), entry, pair.cast()) };
    }

    unsafe extern "C" fn listen(arg: *mut u8) -> ! {
        let pair = arg.cast::<Pair>();
        let mut said = 100;
        loop {
            // SAFETY: the pair outlives the contexts, and main is suspended while this runs.
            unsafe {
                let word = switch(&raw mut (*pair).other, &raw const (*pair).main, said);
                (*pair).heard.push(word);
            }
            said += 1;
        }
    }

    #[test]
    fn words_cross_in_both_directions() {
        let mut stack = stack();
        let mut pair = Pair { main: Context::NONE, other: Context::NONE, heard: Vec::new() };
        let pair = &raw mut pair;
        begin(&mut stack, pair, listen);
        for round in 0..4 {
            // SAFETY: the other is new or has been left in its switch.
            let said = unsafe { switch(&raw mut (*pair).main, &raw const (*pair).other, u64::MAX - round) };
            assert_eq!(said, 100 + round);
        }
        // SAFETY: nobody else looks at it now.
        assert_eq!(unsafe { (*pair).heard.clone() }, [u64::MAX - 1, u64::MAX - 2, u64::MAX - 3]);
    }

    /// Keeps more values alive across a switch than there are registers, whole and floating.
    fn hoard(seed: u64, leave: impl FnOnce()) -> (u64, f64) {
        let whole: [u64; 24] = std::array::from_fn(|n| std::hint::black_box(seed.wrapping_mul(n as u64 + 3)));
        let broken: [f64; 24] = std::array::from_fn(|n| std::hint::black_box(seed as f64 / (n as f64 + 1.5)));
        leave();
        let whole = whole.iter().fold(0, |sum: u64, &value| sum.rotate_left(5) ^ value);
        (whole, broken.iter().sum())
    }

    unsafe extern "C" fn scramble(arg: *mut u8) -> ! {
        let pair = arg.cast::<Pair>();
        let mut seed = 7;
        loop {
            let expected = hoard(seed, || ());
            // SAFETY: as in `listen`.
            let leave = || unsafe {
                switch(&raw mut (*pair).other, &raw const (*pair).main, 0);
            };
            assert_eq!(hoard(seed, leave), expected);
            seed += 1;
        }
    }

    #[test]
    fn what_is_live_survives_on_both_sides() {
        let mut stack = stack();
        let mut pair = Pair { main: Context::NONE, other: Context::NONE, heard: Vec::new() };
        let pair = &raw mut pair;
        begin(&mut stack, pair, scramble);
        for seed in 0..100 {
            let expected = hoard(seed, || ());
            // SAFETY: the other is new or has been left in its switch.
            let leave = || unsafe {
                switch(&raw mut (*pair).main, &raw const (*pair).other, 0);
            };
            assert_eq!(hoard(seed, leave), expected);
        }
    }

    unsafe extern "C" fn panics(arg: *mut u8) -> ! {
        let pair = arg.cast::<Pair>();
        let caught = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(5u64)));
        let value = *caught.unwrap_err().downcast::<u64>().unwrap();
        // A trace ends where the stack does.
        let trace = std::backtrace::Backtrace::force_capture().to_string();
        let told = if trace.contains("panics") { value } else { 0 };
        // SAFETY: as in `listen`.
        unsafe { switch(&raw mut (*pair).other, &raw const (*pair).main, told) };
        unreachable!("nobody continues it");
    }

    #[test]
    fn a_panic_and_a_trace_stay_on_their_stack() {
        let mut stack = stack();
        let mut pair = Pair { main: Context::NONE, other: Context::NONE, heard: Vec::new() };
        let pair = &raw mut pair;
        begin(&mut stack, pair, panics);
        // SAFETY: the other is new.
        assert_eq!(unsafe { switch(&raw mut (*pair).main, &raw const (*pair).other, 0) }, 5);
    }
}
