//! The switch on AArch64.
//!
//! ```text
//!   left:   | x19 | x29 | ... its frames        new:   | arg | entry |  top
//!             ^ stack                                    ^ stack
//! ```
//!
//! x19 and x29 are saved by hand, as the compiler has them reserved; of the others it saves those that are live.

use super::Context;
use std::arch::{asm, naked_asm};

/// Where a new context begins: below the two words that were left for it.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn start() {
    naked_asm!(
        // There is no caller: unwinders and debuggers stop here.
        ".cfi_startproc",
        ".cfi_undefined x30",
        "ldp x0, x9, [sp], #16",
        "mov x29, xzr",
        // A call would leave a return address with the processor that nobody returns to, and the next return, which is
        // another fiber's, would be predicted to go there.
        "adr x30, 2f",
        "br x9",
        "2:",
        "brk #1",
        ".cfi_endproc",
    )
}

#[inline(always)]
pub(super) unsafe fn switch(from: *mut Context, to: *const Context, word: u64) -> u64 {
    let answer;
    // SAFETY: the caller says that `to` was left by this or is new. Whoever continues `from` finds x19 and
    // x29 where they were stored; every other register is declared lost.
    unsafe {
        asm!(
            "stp x19, x29, [sp, #-16]!",
            "mov x9, sp",
            "adr x10, 2f",
            "stp x9, x10, [x0]",
            "ldp x9, x10, [x1]",
            "mov sp, x9",
            "br x10",
            "2:",
            "ldp x19, x29, [sp], #16",
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
