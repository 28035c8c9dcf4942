//! Hands on what rb-sys learnt about the Ruby at hand.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Without this cargo would watch the whole folder, the core behind the symlink included.
    println!("cargo::rerun-if-changed=build.rs");
    // macOS leaves Ruby's symbols undefined only when told to, and `cfg(ruby_gte_3_2)` and its kin come from here.
    rb_sys_env::activate()?;
    Ok(())
}
