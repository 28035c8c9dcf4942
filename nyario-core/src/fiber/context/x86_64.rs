//! The switch on x86-64.
//!
//! ```text
//!   left:   | resume address | rbx | rbp | ... its frames        new:   | start | arg | entry |  top
//!             ^ context                                                   ^ context
//! ```
//!
//! rbx and rbp are saved by hand, as the compiler has them reserved; of the others it saves those that are live.

use super::Entry;
use std::arch::{asm, naked_asm};

pub(super) unsafe fn prepare(top: *mut u8, entry: Entry, arg: *mut u8) -> *mut u8 {
    let words = [start as *const () as usize, arg as usize, entry as usize];
    let context = top.wrapping_sub(size_of_val(&words));
    // SAFETY: the caller gives a stack that nobody uses.
    unsafe { context.cast::<[usize; 3]>().write(words) };
    context
}

/// Where a new context begins: below the two words that `prepare` left for it.
#[unsafe(naked)]
unsafe extern "C" fn start() {
    naked_asm!(
        // There is no caller: unwinders and debuggers stop here.
        ".cfi_startproc",
        ".cfi_undefined rip",
        "pop rdi",
        "pop rax",
        "xor ebp, ebp",
        "call rax",
        "ud2",
        ".cfi_endproc",
    )
}

#[inline(always)]
pub(super) unsafe fn switch(from: *mut *mut u8, to: *mut u8, word: u64) -> u64 {
    let answer;
    // SAFETY: the caller says that `to` was left by this or made by `prepare`. Whoever continues `from` finds rbx and
    // rbp where they were pushed; every other register is declared lost.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "push rax",
            "mov [rdi], rsp",
            "mov rsp, rsi",
            "pop rax",
            "jmp rax",
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
