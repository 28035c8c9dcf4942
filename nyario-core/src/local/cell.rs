//! Where a thread keeps its loop: two words of thread-local memory without a destructor, so that every call may look at
//! them.
//!
//! In a shared library the compiler reaches such memory through a call into the dynamic linker (`__tls_get_addr`), 2 ns
//! of the 8 that a yield takes. The stable compiler cannot be told to use the *initial-exec* model, in which the address
//! is the thread pointer and an offset that the linker has filled in; so on x86-64 the words are declared in assembly.
//! Their price is 16 bytes of what glibc keeps free for libraries that are loaded late (`dlopen`); it keeps 1664.

use crate::fiber::Loop;
use crate::sys::Native;
use std::cell::Cell;

/// The loop, and how many forks lay behind the process when it was made.
pub(super) type Place = Cell<(*const Loop<Native>, u32)>;

#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri)))]
mod words {
    use super::Place;
    use std::arch::{asm, global_asm};

    global_asm!(
        ".pushsection .tbss.nyario_local_loop, \"awT\", @nobits",
        ".p2align 4",
        ".globl nyario_local_loop",
        ".hidden nyario_local_loop",
        ".type nyario_local_loop, @object",
        ".size nyario_local_loop, 16",
        "nyario_local_loop: .zero 16",
        ".popsection",
    );

    const _: () = assert!(size_of::<Place>() == 16 && align_of::<Place>() <= 16);

    /// The calling thread's.
    #[inline(always)]
    pub(in super::super) fn place() -> *const Place {
        let place: *const Place;
        // SAFETY: this computes an address and touches no memory that the program sees; it is the same for as long as
        // the code runs on this thread, and fibers do not move.
        unsafe {
            asm!(
                "mov {place}, qword ptr [rip + nyario_local_loop@GOTTPOFF]",
                "add {place}, qword ptr fs:[0]",
                place = out(reg) place,
                options(pure, nomem, nostack),
            );
        }
        place
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri))))]
mod words {
    use super::Place;
    use std::ptr::null;

    thread_local! {
        static PLACE: Place = const { Place::new((null(), 0)) };
    }

    /// The calling thread's.
    #[inline]
    pub(in super::super) fn place() -> *const Place {
        PLACE.with(std::ptr::from_ref)
    }
}

pub(super) use words::place;
