//! The switch on AArch64.
//!
//! ```text
//!   left:   | resume address | - | x19 | x29 | ... its frames    new:   | start | - | arg | entry |  top
//!             ^ context                                                   ^ context
//! ```
//!
//! x19 and x29 are saved by hand, as the compiler has them reserved; of the others it saves those that are live.

use super::Entry;
use std::arch::{asm, naked_asm};

pub(super) unsafe fn prepare(top: *mut u8, entry: Entry, arg: *mut u8) -> *mut u8 {
    let words = [start as *const () as usize, 0, arg as usize, entry as usize];
    let context = top.wrapping_sub(size_of_val(&words));
    // SAFETY: the caller gives a stack that nobody uses.
    unsafe { context.cast::<[usize; 4]>().write(words) };
    context
}

/// Where a new context begins, with the stack pointer still at the words that `prepare` left for it.
#[unsafe(naked)]
unsafe extern "C" fn start() {
    naked_asm!(
        // There is no caller: unwinders and debuggers stop here.
        ".cfi_startproc",
        ".cfi_undefined x30",
        "ldp x0, x9, [sp, #16]",
        "add sp, sp, #32",
        "mov x29, xzr",
        "mov x30, xzr",
        "blr x9",
        "brk #1",
        ".cfi_endproc",
    )
}

#[inline(always)]
pub(super) unsafe fn switch(from: *mut *mut u8, to: *mut u8, word: u64) -> u64 {
    let answer;
    // SAFETY: the caller says that `to` was left by this or made by `prepare`. Whoever continues `from` finds x19 and
    // x29 where they were stored; every other register is declared lost.
    unsafe {
        asm!(
            "sub sp, sp, #32",
            "adr x9, 2f",
            "str x9, [sp]",
            "stp x19, x29, [sp, #16]",
            "mov x9, sp",
            "str x9, [x0]",
            "mov sp, x1",
            "ldr x9, [sp]",
            "br x9",
            "2:",
            "ldp x19, x29, [sp, #16]",
            "add sp, sp, #32",
            inout("x0") from => _,
            inout("x1") to => _,
            inout("x2") word => answer,
            out("x20") _,
            out("x21") _,
            out("x22") _,
            out("x23") _,
            out("x24") _,
            out("x25") _,
            out("x26") _,
            out("x27") _,
            out("x28") _,
            clobber_abi("C"),
            // The C ABI keeps the lower halves of these; a switch does not.
            out("v8") _,
            out("v9") _,
            out("v10") _,
            out("v11") _,
            out("v12") _,
            out("v13") _,
            out("v14") _,
            out("v15") _,
        );
    }
    answer
}
