//! Gives the shared library its soname, which cargo does not.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // cargo-c passes a soname of its own, and the linker takes only one.
    if std::env::var_os("CARGO_FEATURE_CAPI").is_none() {
        let major = std::env::var("CARGO_PKG_VERSION_MAJOR").expect("cargo sets it");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libnyario.so.{major}");
    }
}
