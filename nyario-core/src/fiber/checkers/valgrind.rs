//! Requests to valgrind, which knows them by their instructions: rotations that cancel out.

use std::arch::asm;

const RUNNING: usize = 0x1001;
const STACK_REGISTER: usize = 0x1501;
const STACK_DEREGISTER: usize = 0x1502;
/// memcheck's own begin with its initials.
const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
const MAKE_NO_ACCESS: usize = MEMCHECK;
const MAKE_UNDEFINED: usize = MEMCHECK + 1;

/// Whether this process runs under valgrind.
#[cold]
pub(super) fn runs() -> bool {
    request(RUNNING, 0, 0) != 0
}

/// Between stacks that it knows, valgrind sees a switch. The answer names the stack.
#[cold]
pub(super) fn register(low: usize, size: usize) -> usize {
    request(STACK_REGISTER, low, low + size - 1)
}

#[cold]
pub(super) fn deregister(id: usize) {
    request(STACK_DEREGISTER, id, 0);
}

#[cold]
pub(super) fn no_access(low: usize, size: usize) {
    request(MAKE_NO_ACCESS, low, size);
}

#[cold]
pub(super) fn undefined(low: usize, size: usize) {
    request(MAKE_UNDEFINED, low, size);
}

/// The answer, or 0 from a processor that is real.
fn request(code: usize, first: usize, second: usize) -> usize {
    let words = [code, first, second, 0, 0, 0];
    let mut answer = 0;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the register is rotated by 128 in all, and the exchange is one with itself.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") words.as_ptr(),
            inout("rdx") answer,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the register is rotated by 128 in all, and the last instruction changes nothing.
    unsafe {
        asm!(
            "ror x12, x12, #3",
            "ror x12, x12, #13",
            "ror x12, x12, #51",
            "ror x12, x12, #61",
            "orr x10, x10, x10",
            in("x4") words.as_ptr(),
            inout("x3") answer,
            options(nostack),
        );
    }
    answer
}
