//! The extension of the gem: the core of nyario under Ruby's fibers.
//!
//! ```text
//!   Nyario.loop (root fiber)            a handler (Ruby Fiber)              another handler
//!        | transfer  ---------------------->  | conn.read: nothing there
//!        |                                    | submit AtHand, park
//!        |                                    | whose turn is it? ---transfer-->  | conn.read returns
//!        | <---------------------------- nobody's: transfer --------------------- | parks
//!        | turn: the GVL is released while the kernel has nothing
//! ```
//!
//! Fibers hand control to each other directly; the root fiber is only entered when a turn is due. No Rust value with a
//! destructor and no borrow of the loop lives across a transfer, because Ruby may leave a fiber's frames by longjmp or
//! drop the fiber where it stands.

mod api;
mod blocking;
mod channel;
mod connection;
mod descriptor;
mod embedded;
mod ending;
mod ensuring;
mod errors;
mod fiber;
#[cfg(not(ruby_gte_4_0))]
mod fork;
mod group;
mod inspect;
mod io;
mod keyword;
mod line;
mod looped;
mod moment;
mod parker;
mod party;
mod pool;
mod raise;
mod run;
mod scheduler;
mod selector;
mod server;
mod sleep;
mod task;
mod timeout;
mod timer;
mod typed;
mod wait;

use magnus::rb_sys::AsRawValue;
use magnus::{Error, Module, Ruby};

#[magnus::init(name = "nyario")]
fn init(ruby: &Ruby) -> Result<(), Error> {
    nyario_core::local::watch_forks();
    let nyario = ruby.define_module("Nyario")?;
    // SAFETY: Ruby loads the extension with the GVL held.
    #[cfg(not(ruby_gte_4_0))]
    unsafe {
        fork::define()
    };
    nyario.const_set("VERSION", env!("CARGO_PKG_VERSION"))?;
    // SAFETY: the extension is being loaded.
    unsafe {
        errors::define(nyario.as_raw());
        group::define(nyario.as_raw());
        timeout::define(nyario.as_raw());
        channel::define(nyario.as_raw());
        timer::define(nyario.as_raw());
        pool::define(nyario.as_raw());
    }
    connection::define(ruby, nyario)?;
    task::define(ruby, nyario)?;
    scheduler::define(nyario);
    selector::define(nyario);
    io::define(nyario)?;
    inspect::define(nyario)?;
    api::define(ruby, nyario)
}

// Ruby derives this function's name from the file's, and RubyGems since 3.4.6 names the file after the crate instead of
// after the gem.
#[magnus::init(name = "nyario_ruby")]
fn init_of_the_crate(ruby: &Ruby) -> Result<(), Error> {
    init(ruby)
}
