//! Values of a fiber's own.

use crate::boundary::{guard, on_loop};
use nyario_core::fiber::Key;
use nyario_core::local;
use std::ffi::{c_int, c_void};

/// Stands for a kind of value that each fiber has one of. It is the process's: any thread may use it. Above 0.
#[allow(non_camel_case_types, reason = "C's name for it")]
pub type nyario_key = c_int;

/// What is called with a value when its fiber ends.
#[allow(non_camel_case_types, reason = "C's name for it")]
pub type nyario_destructor = Option<unsafe extern "C" fn(value: *mut c_void)>;

/// Creates a key, under which no fiber has a value yet. When a fiber ends that has set one which is not NULL,
/// `destructor(value)` is called on that fiber, after what nyario_cleanup_push was given, in no certain order; it may
/// suspend. It may be NULL. Does not suspend.
///
/// Returns the key, or -EAGAIN when there are 1024. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_key_create(destructor: nyario_destructor) -> nyario_key {
    guard(|| Ok(Key::create(destructor)?.word() as nyario_key))
}

/// Ends a key. The values that fibers have set under it are forgotten, without a destructor. Does not suspend.
///
/// Returns 0, or -EINVAL for a key that there is not. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_key_delete(key: nyario_key) -> c_int {
    guard(|| Key::from_word(key as u32).delete().map(|()| 0))
}

/// The value that the running fiber has set under a key. Off a fiber, the one that the thread has. Does not suspend.
///
/// Returns the value, or NULL when there is none, or no such key. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_get(key: nyario_key) -> *mut c_void {
    match local::current() {
        Some(looped) => looped.get(Key::from_word(key as u32)),
        None => std::ptr::null_mut(),
    }
}

/// Sets the running fiber's value under a key; NULL takes it away. Off a fiber, the thread's own, for which the
/// destructor is called when the thread ends. Does not suspend.
///
/// Returns 0, or -EINVAL for a key that there is not; off a fiber also an error of nyario_loop's. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_set(key: nyario_key, value: *mut c_void) -> c_int {
    on_loop(|looped| looped.set(Key::from_word(key as u32), value).map(|()| 0))
}
