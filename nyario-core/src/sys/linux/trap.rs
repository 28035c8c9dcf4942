//! The trap instruction itself, by the kernel's calling convention (syscall(2)).

use std::arch::asm;

/// Makes the system call `number` with up to six arguments; the rest are zero.
///
/// # Safety
///
/// The arguments must be valid for that system call.
#[inline(always)]
pub(super) unsafe fn trap(number: usize, args: &[usize]) -> isize {
    let arg = |i: usize| if i < args.len() { args[i] } else { 0 };
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel clobbers rcx and r11 and nothing else; memory is assumed touched because `nomem` is absent.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") arg(0), in("rsi") arg(1), in("rdx") arg(2),
            in("r10") arg(3), in("r8") arg(4), in("r9") arg(5),
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the kernel preserves every register but x0; memory is assumed touched because `nomem` is absent.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") arg(0) as isize => result,
            in("x1") arg(1), in("x2") arg(2), in("x3") arg(3), in("x4") arg(4), in("x5") arg(5),
            options(nostack),
        );
    }
    result
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("nyario traps into the kernel by hand, on x86_64 and aarch64 so far");
