//! Thread-local memory without a destructor, so near that every call may look at it.
//!
//! In a shared library the compiler reaches such memory through a call into the dynamic linker (`__tls_get_addr`), 2 ns
//! of the 8 that a yield takes. The stable compiler cannot be told to use the *initial-exec* model, in which the address
//! is the thread pointer and an offset that the linker has filled in; so on x86-64 the memory is declared in assembly.
//! Its price is 16 bytes of what glibc keeps free for libraries that are loaded late (`dlopen`); it keeps 1664.

/// Declares a function that says where the calling thread's own value of that type is: at most 16 bytes, aligned to 16
/// at most, whose first value is the one behind `=`, and that is all zeroes. The symbol is a name that nothing else in the
/// library has. The value is never dropped.
#[macro_export]
macro_rules! thread_word {
    ($(#[$about:meta])* $visibility:vis fn $name:ident() -> $type:ty = $zero:expr, $symbol:literal) => {
        #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri)))]
        ::core::arch::global_asm!(
            concat!(".pushsection .tbss.", $symbol, ", \"awT\", @nobits"),
            ".p2align 4",
            concat!(".globl ", $symbol),
            concat!(".hidden ", $symbol),
            concat!(".type ", $symbol, ", @object"),
            concat!(".size ", $symbol, ", 16"),
            concat!($symbol, ": .zero 16"),
            ".popsection",
        );

        $(#[$about])*
        #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri)))]
        #[inline(always)]
        $visibility fn $name() -> *const $type {
            const _: () = assert!(size_of::<$type>() <= 16 && align_of::<$type>() <= 16);
            let place: *const $type;
            // SAFETY: this computes an address and touches no memory that the program sees; it is the same for as long
            // as the code runs on this thread, and fibers do not move.
            unsafe {
                ::core::arch::asm!(
                    concat!("mov {place}, qword ptr [rip + ", $symbol, "@GOTTPOFF]"),
                    "add {place}, qword ptr fs:[0]",
                    place = out(reg) place,
                    options(pure, nomem, nostack),
                );
            }
            place
        }

        $(#[$about])*
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri))))]
        #[inline]
        $visibility fn $name() -> *const $type {
            ::std::thread_local! {
                static PLACE: $type = const { $zero };
            }
            PLACE.with(::std::ptr::from_ref)
        }
    };
}
