//! Versions.

use std::ffi::{c_char, c_uint};

const fn part(text: &str) -> c_uint {
    let bytes = text.as_bytes();
    let (mut value, mut at) = (0, 0);
    while at < bytes.len() {
        value = value * 10 + (bytes[at] - b'0') as c_uint;
        at += 1;
    }
    value
}

/// The version of the library that runs. Does not suspend.
///
/// Returns `major << 16 | minor << 8 | patch`, to be compared with NYARIO_VERSION_HEX, the version that was compiled
/// against. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_version() -> c_uint {
    const VERSION: c_uint = part(env!("CARGO_PKG_VERSION_MAJOR")) << 16
        | part(env!("CARGO_PKG_VERSION_MINOR")) << 8
        | part(env!("CARGO_PKG_VERSION_PATCH"));
    VERSION
}

/// The version of the library that runs, as text. Does not suspend.
///
/// Returns the text, which is constant and never NULL. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
