//! Errors.

use nyario_core::sys::Errno;
use std::ffi::{c_char, c_int};

/// The name of an error, such as "ECONNRESET"; its sign does not matter. Does not suspend.
///
/// Returns the text, which is constant and never NULL. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_err_name(error: c_int) -> *const c_char {
    Errno(error.saturating_abs()).name_nul().as_ptr().cast()
}

/// What an error says, in words; its sign does not matter. Does not suspend.
///
/// Returns the text, which is constant and never NULL. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_strerror(error: c_int) -> *const c_char {
    Errno(error.saturating_abs()).text_nul().as_ptr().cast()
}
