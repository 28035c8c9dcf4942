//! Fibers.

use crate::boundary::{guard, on_loop, put_text, sized, text};
use nyario_core::fiber::{FiberId, Loop, Name, Options};
use nyario_core::local;
use nyario_core::sys::Errno;
use std::ffi::{c_char, c_int, c_void};

/// Stands for a fiber of one loop, and never for another of that loop; above 0.
#[allow(non_camel_case_types, reason = "C's name for it")]
pub type nyario_fiber = i64;

/// What a fiber runs; what it returns is handed to nyario_join.
#[allow(non_camel_case_types, reason = "C's name for it")]
pub type nyario_entry = Option<unsafe extern "C" fn(arg: *mut c_void) -> *mut c_void>;

/// nyario_spawn_options: nobody will join the fiber; what it returns is dropped.
pub const NYARIO_DETACHED: u64 = 1;

/// How nyario_spawn_with spawns a fiber. What is zero is left at its default.
#[allow(non_camel_case_types, reason = "C's name for it")]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nyario_spawn_options {
    /// `sizeof (nyario_spawn_options)`.
    pub size: usize,
    /// What the fiber is called, or NULL; see nyario_set_name. It is copied.
    pub name: *const c_char,
    /// How many bytes of stack it has, from 16 KiB to 64 MiB; rounded up to a power of two.
    pub stack_size: usize,
    /// NYARIO_DETACHED or 0.
    pub flags: u64,
}

/// Runs `entry(arg)` on a new fiber of the calling thread's loop, which runs it when its turn comes. A fiber has
/// 256 KiB of stack, of which only what it touches costs memory; one that overflows it ends the process with SIGSEGV,
/// after a line on standard error that names it. It must be given to nyario_join or nyario_detach once. Does not
/// suspend.
///
/// Returns the fiber, or -EINVAL for a NULL entry, -EAGAIN when there are as many fibers as the loop allows,
/// -ENOMEM, -ECANCELED while the loop is ending. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_spawn(entry: nyario_entry, arg: *mut c_void) -> nyario_fiber {
    // SAFETY: forwarded from the caller.
    on_loop(|looped| unsafe { spawn(looped, Options::default(), entry, arg) })
}

/// Like nyario_spawn, as `options` say; NULL is all defaults. The struct is read before the call returns. Does not
/// suspend.
///
/// Returns the fiber, or an error of nyario_spawn, or -EINVAL for unknown flags, a stack size out of bounds, or
/// options of a later version that this one does not know and that are not zero; and an error of nyario_set_name.
/// Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_spawn_with(
    options: *const nyario_spawn_options,
    entry: nyario_entry,
    arg: *mut c_void,
) -> nyario_fiber {
    on_loop(|looped| {
        // SAFETY: the caller lends a struct that begins with its size; ours is plain data.
        let options = unsafe { sized(options) }?;
        if options.flags & !NYARIO_DETACHED != 0 {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: the caller lends a C string for the call.
        let name = if options.name.is_null() { "" } else { unsafe { text(options.name) }? };
        let detached = options.flags & NYARIO_DETACHED != 0;
        let options = Options { detached, name, stack_size: options.stack_size };
        // SAFETY: forwarded from the caller.
        unsafe { spawn(looped, options, entry, arg) }
    })
}

/// # Safety
///
/// Entry and argument must be good for as long as the fiber lives.
unsafe fn spawn(
    looped: &Loop,
    options: Options<'_>,
    entry: nyario_entry,
    arg: *mut c_void,
) -> Result<nyario_fiber, Errno> {
    let entry = entry.ok_or(Errno(libc::EINVAL))?;
    // SAFETY: forwarded from the caller.
    let code = move || unsafe { entry(arg) } as u64;
    Ok(looped.spawn(options, code)?.word() as nyario_fiber)
}

/// Calls a fiber of this loop by a name in what people read: nyario_dump, and the line about an overflow of its stack.
/// `name` is UTF-8 of up to 63 bytes without control characters, and is copied; NULL or an empty text takes the name
/// away. Several fibers may have the same. Does not suspend.
///
/// Returns 0, or -ESRCH for a fiber that is unknown or has ended, -ENAMETOOLONG, -EINVAL for a text that is not as said.
/// Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_set_name(fiber: nyario_fiber, name: *const c_char) -> c_int {
    on_loop(|looped| {
        // SAFETY: the caller lends a C string for the call.
        let name = if name.is_null() { "" } else { unsafe { text(name) }? };
        looped.set_name(FiberId::from_word(fiber as u64), Name::new(name)?).map(|()| 0)
    })
}

/// Writes what a fiber of this loop is called into `buf`, with a NUL behind it; an empty text if it is called nothing.
/// Does not suspend.
///
/// Returns the length without the NUL, or -ESRCH for a fiber that is unknown or has ended, -EINVAL for a NULL `buf`,
/// -ENOSPC when `size` bytes do not hold it; 64 always do. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_name(fiber: nyario_fiber, buf: *mut c_char, size: usize) -> c_int {
    on_loop(|looped| {
        let name = looped.name(FiberId::from_word(fiber as u64))?;
        // SAFETY: the caller lends the buffer for the call.
        unsafe { put_text(name.as_bytes(), buf, size) }
    })
}

/// Waits for a fiber of this loop to end and stores what it returned in `*result`, unless `result` is NULL. The number
/// is used up with that. Suspends the fiber that calls; off a fiber it only takes the result of a fiber that has ended.
///
/// Returns 0, or -ESRCH for a fiber that is unknown or used up, -EINVAL when the fiber is detached or somebody joins
/// it already, -EDEADLK for the calling fiber itself, or off a fiber when it has not ended; -ECANCELED and -ETIMEDOUT,
/// after which it can be joined again. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_join(fiber: nyario_fiber, result: *mut *mut c_void) -> c_int {
    on_loop(|looped| {
        let value = looped.join(FiberId::from_word(fiber as u64))?;
        if !result.is_null() {
            // SAFETY: the caller lends a place for the result.
            unsafe { result.write(value as *mut c_void) };
        }
        Ok(0)
    })
}

/// Declares that nobody will join the fiber: what it returns is dropped. Does not suspend.
///
/// Returns 0, or -ESRCH for a fiber that is unknown or used up, -EINVAL when the fiber is detached or being joined
/// already. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_detach(fiber: nyario_fiber) -> c_int {
    on_loop(|looped| looped.detach(FiberId::from_word(fiber as u64)).map(|()| 0))
}

/// Makes the present suspension of a fiber of this loop fail with -ECANCELED, or its next one: when it does not wait
/// now, or when what it waits for is achieved before the cancel reaches it, which is then returned and not lost. Does
/// not suspend.
///
/// Returns 0, or -ESRCH for a fiber that is unknown or has ended. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_cancel(fiber: nyario_fiber) -> c_int {
    on_loop(|looped| looped.cancel(FiberId::from_word(fiber as u64)).map(|()| 0))
}

/// The running fiber. Does not suspend.
///
/// Returns it, or 0 off a fiber. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_self() -> nyario_fiber {
    guard(|| Ok(local::current().and_then(|looped| looped.me()).map_or(0, |id| id.word() as nyario_fiber)))
}

/// Lets the other fibers that are ready run first. Suspends the fiber; off a fiber it does nothing.
///
/// Returns 0, or -ECANCELED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_yield() -> c_int {
    on_loop(|looped| looped.yield_now().map(|()| 0))
}
