//! Values of a fiber's own, under keys that the whole process shares.
//!
//! A key is a place in one table and a generation; a fiber keeps pairs of a key and a value, few enough to be searched.

use crate::sys::Errno;
use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// What is called with a value when its fiber ends.
pub type Destructor = unsafe extern "C" fn(value: *mut c_void);

/// Names a kind of value that each fiber may have one of. It is the process's, and any thread may use it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key(u32);

/// How many keys there may be at a time.
const KEYS: usize = 1024;
const INDEX_BITS: u32 = KEYS.trailing_zeros();

/// A key is a positive 31-bit number.
const GENERATIONS: u32 = 1 << (31 - INDEX_BITS);

struct Record {
    /// The key that lives here, or one of the two below.
    key: AtomicU32,
    generation: AtomicU32,
    destructor: AtomicPtr<()>,
}

const FREE: u32 = 0;
/// Somebody is about to create a key here.
const TAKEN: u32 = u32::MAX;

static TABLE: [Record; KEYS] = [const {
    Record {
        key: AtomicU32::new(FREE),
        generation: AtomicU32::new(0),
        destructor: AtomicPtr::new(std::ptr::null_mut()),
    }
}; KEYS];

impl Key {
    /// A key that no fiber has a value of. When a fiber ends that has one which is not null, `destructor` is called with
    /// it, on that fiber.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there are 1024 keys.
    pub fn create(destructor: Option<Destructor>) -> Result<Key, Errno> {
        let take = |record: &Record| record.key.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed);
        let (index, record) =
            (0u32..).zip(&TABLE).find(|(_, record)| take(record).is_ok()).ok_or(Errno(libc::EAGAIN))?;
        let generation = ((record.generation.load(Ordering::Relaxed) + 1) % GENERATIONS).max(1);
        record.generation.store(generation, Ordering::Relaxed);
        let destructor = destructor.map_or(std::ptr::null_mut(), |destructor| destructor as *mut ());
        record.destructor.store(destructor, Ordering::Relaxed);
        let key = Key(generation << INDEX_BITS | index);
        record.key.store(key.0, Ordering::Release);
        Ok(key)
    }

    /// Ends the key. Values that fibers have under it are forgotten, and no destructor is called for them from now on;
    /// one that is being called on another thread may still be running.
    ///
    /// # Errors
    ///
    /// `EINVAL` when there is no such key (any more).
    pub fn delete(self) -> Result<(), Errno> {
        if self.0 == FREE || self.0 == TAKEN {
            return Err(Errno(libc::EINVAL));
        }
        let deleted = self.record().key.compare_exchange(self.0, FREE, Ordering::AcqRel, Ordering::Relaxed);
        deleted.map(drop).map_err(|_| Errno(libc::EINVAL))
    }

    /// The key as a number, above 0.
    pub fn word(self) -> u32 {
        self.0
    }

    /// The key that [`word`](Self::word) gave.
    pub fn from_word(word: u32) -> Key {
        Key(word)
    }

    fn record(self) -> &'static Record {
        &TABLE[self.0 as usize % KEYS]
    }

    fn lives(self) -> bool {
        self.0 != FREE && self.0 != TAKEN && self.record().key.load(Ordering::Acquire) == self.0
    }

    fn destructor(self) -> Option<Destructor> {
        let destructor = self.record().destructor.load(Ordering::Acquire);
        // Asked after the destructor was read: if it is still that key's, so was the destructor.
        if destructor.is_null() || !self.lives() {
            return None;
        }
        // SAFETY: what is stored there, if anything, is such a function.
        Some(unsafe { std::mem::transmute::<*mut (), Destructor>(destructor) })
    }
}

/// The values of one fiber, or of one loop's thread outside its fibers.
#[derive(Default)]
pub(super) struct Values(Vec<(Key, *mut c_void)>);

impl Values {
    pub(super) fn get(&self, key: Key) -> *mut c_void {
        let found = self.0.iter().find(|(other, _)| *other == key && key.lives());
        found.map_or(std::ptr::null_mut(), |&(_, value)| value)
    }

    /// # Errors
    ///
    /// `EINVAL` when there is no such key.
    pub(super) fn set(&mut self, key: Key, value: *mut c_void) -> Result<(), Errno> {
        if !key.lives() {
            return Err(Errno(libc::EINVAL));
        }
        let place = self.0.iter().position(|(other, _)| *other == key);
        // The place of a value that nobody can ask for any more will do.
        match place.or_else(|| self.0.iter().position(|(other, _)| !other.lives())) {
            Some(place) => self.0[place] = (key, value),
            None if value.is_null() => {}
            None => self.0.push((key, value)),
        }
        Ok(())
    }

    /// Takes out one value that has a destructor, with that.
    pub(super) fn next_to_destroy(&mut self) -> Option<(Destructor, *mut c_void)> {
        while let Some((key, value)) = self.0.pop() {
            if let (false, Some(destructor)) = (value.is_null(), key.destructor()) {
                return Some((destructor, value));
            }
        }
        None
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn nothing(_: *mut c_void) {}

    /// One test, as keys are the whole process's.
    #[test]
    fn keys_come_and_go() {
        let value = |number: usize| std::ptr::without_provenance_mut::<c_void>(number);
        let mut values = Values::default();
        let first = Key::create(Some(nothing)).unwrap();
        assert_eq!(values.get(first), value(0));
        values.set(first, value(5)).unwrap();
        assert_eq!(values.get(first), value(5));
        first.delete().unwrap();
        assert_eq!(first.delete(), Err(Errno(libc::EINVAL)));
        assert_eq!(values.get(first), value(0), "a key that is gone has no values");
        assert_eq!(values.set(first, value(6)), Err(Errno(libc::EINVAL)));
        let second = Key::create(None).unwrap();
        assert_ne!(first, second);
        assert_eq!(values.get(second), value(0), "nor has the next in its place");
        values.set(second, value(7)).unwrap();
        assert_eq!((values.len(), values.get(second)), (1, value(7)));
        assert!(values.next_to_destroy().is_none(), "it has no destructor");
        for word in [FREE, TAKEN, 77] {
            assert_eq!(Key::from_word(word).delete(), Err(Errno(libc::EINVAL)));
            assert_eq!(values.set(Key::from_word(word), value(1)), Err(Errno(libc::EINVAL)));
        }
        let rest: Vec<Key> = std::iter::from_fn(|| Key::create(Some(nothing)).ok()).collect();
        assert_eq!(rest.len(), KEYS - 1);
        assert_eq!(Key::create(None), Err(Errno(libc::EAGAIN)));
        for &key in &rest {
            values.set(key, value(9)).unwrap();
        }
        assert_eq!(std::iter::from_fn(|| values.next_to_destroy()).count(), rest.len());
        rest.into_iter().chain([second]).for_each(|key| key.delete().unwrap());
    }
}
