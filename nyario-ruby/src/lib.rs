//! The extension of the gem: the core of nyario under Ruby's fibers.

use magnus::{Error, Module, Ruby};

#[magnus::init(name = "nyario")]
fn init(ruby: &Ruby) -> Result<(), Error> {
    let nyario = ruby.define_module("Nyario")?;
    nyario.const_set("VERSION", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}

// Ruby derives this function's name from the file's, and RubyGems since 3.4.6 names the file after the crate instead of
// after the gem.
#[magnus::init(name = "nyario_ruby")]
fn init_of_the_crate(ruby: &Ruby) -> Result<(), Error> {
    init(ruby)
}
