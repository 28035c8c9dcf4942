//! Code that is called later, kept without an allocation of its own.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Two words: a function and its argument, or a box.
type Words = [MaybeUninit<usize>; 2];

/// Something to call, whatever its type is.
pub(super) struct Callback {
    words: Words,
    call: unsafe fn(*const Words),
    /// Where there is something to drop.
    drop: Option<unsafe fn(*mut Words)>,
    /// It stays on its thread: what it holds may.
    thread: PhantomData<*mut ()>,
}

impl Callback {
    #[inline(always)]
    pub(super) fn new<F: Fn() + 'static>(code: F) -> Callback {
        const {
            assert!(size_of::<F>() <= size_of::<Words>(), "what is called later has two words: box what has more");
            assert!(align_of::<F>() <= align_of::<Words>(), "what is called later is aligned to a word: box it");
        }
        let mut words = [MaybeUninit::uninit(); 2];
        // SAFETY: there is room for it, as asserted.
        unsafe { words.as_mut_ptr().cast::<F>().write(code) };
        // SAFETY: the words hold an F until it is dropped.
        let call = |words: *const Words| unsafe { (*words.cast::<F>())() };
        // SAFETY: as above.
        let drop = |words: *mut Words| unsafe { words.cast::<F>().drop_in_place() };
        let drop = std::mem::needs_drop::<F>().then_some(drop as unsafe fn(*mut Words));
        Callback { words, call, drop, thread: PhantomData }
    }

    /// Whether somebody notices when it is dropped.
    pub(super) fn needs_drop(&self) -> bool {
        self.drop.is_some()
    }

    pub(super) fn call(&self) {
        // SAFETY: it has not been dropped.
        unsafe { (self.call)(&raw const self.words) }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: dropped once.
            unsafe { drop(&raw mut self.words) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn it_is_called_and_dropped() {
        let count = Rc::new(Cell::new(0));
        let seen = count.clone();
        let small = Callback::new(move || seen.set(seen.get() + 1));
        let (seen, words) = (count.clone(), [10; 5]);
        let large: Box<dyn Fn()> = Box::new(move || seen.set(seen.get() + words[4]));
        let large = Callback::new(large);
        for callback in [&small, &large, &small] {
            callback.call();
        }
        assert_eq!((count.get(), Rc::strong_count(&count)), (12, 3));
        drop((small, large));
        assert_eq!(Rc::strong_count(&count), 1);
    }
}
