//! See the function of that name.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nyario_fuzz::address(bytes));

#[cfg(not(fuzzing))]
fn main() {
    nyario_fuzz::replay(nyario_fuzz::address);
}
