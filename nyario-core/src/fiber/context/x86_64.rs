//! The switch on x86-64.
//!
//! ```text
//!   left:   | rbx | rbp | ... its frames        new:   | arg | entry |  top
//!             ^ stack                                    ^ stack
//! ```
//!
//! rbx and rbp are saved by hand, as the compiler has them reserved; of the others it saves those that are live.

use super::Context;
use std::arch::{asm, naked_asm};

/// Where a new context begins: below the two words that were left for it.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn start() {
    naked_asm!(
        // There is no caller: unwinders and debuggers stop here.
        ".cfi_startproc",
        ".cfi_undefined rip",
        "pop rdi",
        "pop rax",
        "xor ebp, ebp",
        // A call would leave a return address with the processor that nobody returns to, and the next return, which is
        // another fiber's, would be predicted to go there.
        "lea rcx, [rip + 2f]",
        "push rcx",
        "jmp rax",
        "2:",
        "ud2",
        ".cfi_endproc",
    )
}

#[inline(always)]
pub(super) unsafe fn switch(from: *mut Context, to: *const Context, word: u64) -> u64 {
    let answer;
    // SAFETY: the caller says that `to` was left by this or is new. Whoever continues `from` finds rbx and
    // rbp where they were pushed; every other register is declared lost.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "mov [rdi], rsp",
            "mov [rdi + 8], rax",
            "mov rsp, [rsi]",
            "jmp [rsi + 8]",
            "2:",
            "pop rbx",
            "pop rbp",
            inout("rdi") from => _,
            inout("rsi") to => _,
            inout("rdx") word => answer,
            out("r12") _,
            out("r13") _,
            out("r14") _,
            out("r15") _,
            clobber_abi("sysv64"),
        );
    }
    answer
}
