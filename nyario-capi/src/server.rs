//! Servers and the loop.

use crate::boundary::{guard, keeping_errno, on_loop, text};
use nyario_core::local;
use nyario_core::net::{self, Address};
use nyario_core::runtime::Start;
use nyario_core::sys::{Errno, Linux};
use std::ffi::{c_char, c_int, c_uint, c_void};

/// Serves one connection, on a fiber of its own. When it returns, the connection is closed, unless it was closed
/// before.
#[allow(non_camel_case_types, reason = "C's name for it")]
pub type nyario_handler = Option<unsafe extern "C" fn(fd: c_int, arg: *mut c_void)>;

/// nyario_register: start the handler as soon as a connection is accepted, for protocols in which the server speaks
/// first. Without it a handler starts when the first byte arrives, and until then a connection costs no fiber.
pub const NYARIO_EAGER: c_uint = 1;

/// Opens a listening socket.
///
/// `address` is `host:port` (an IPv4 address, an IPv6 one in brackets, `localhost`, or `*` for every address of the
/// machine; port 0 lets the kernel choose), or the path of a unix socket, which has a `/` or no `:` in it. A path
/// that a dead server left behind is taken over. The socket is close-on-exec; nyario_register or nyario_close takes
/// it back. Suspends the fiber only while another name of a host is looked up.
///
/// Returns the descriptor, or -EINVAL for NULL or text that is no address, -ENAMETOOLONG, -EADDRINUSE,
/// -EADDRNOTAVAIL, -EACCES, -EMFILE, -ENFILE, -ENOMEM; for a name also -ECANCELED, -ETIMEDOUT, and NYARIO_EAI_NONAME and
/// the other NYARIO_EAI_*. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_listen(address: *const c_char) -> c_int {
    // SAFETY: the caller lends a C string for the call.
    guard(|| listen(unsafe { text(address) }?, false))
}

/// Like nyario_listen, but the address can be shared: each thread opens a socket of its own there, and the kernel spreads
/// the connections over them (SO_REUSEPORT). Who opens the first with port 0 has to tell the others which port it got.
/// A unix socket cannot be shared. Suspends the fiber as nyario_listen does.
///
/// Returns as nyario_listen, and -EOPNOTSUPP for a path; -EADDRINUSE where somebody listens who does not share. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_listen_shared(address: *const c_char) -> c_int {
    // SAFETY: the caller lends a C string for the call.
    guard(|| listen(unsafe { text(address) }?, true))
}

fn listen(text: &str, shared: bool) -> Result<c_int, Errno> {
    // Only a name needs a loop, whose fiber waits for it.
    if let Ok(address) = Address::parse(text) {
        return net::listen_at(&Linux, &address, shared);
    }
    keeping_errno(|| {
        let mut last = Errno::EAI_NODATA;
        for address in net::resolve(local::get()?, text)? {
            match net::listen_at(&Linux, &address, shared) {
                Ok(fd) => return Ok(fd),
                Err(error) => last = error,
            }
        }
        Err(last)
    })
}

/// Registers a listening socket with the calling thread's loop: from now on `handler(fd, arg)` serves each of its
/// connections, on a fiber of its own. `flags` is 0 or NYARIO_EAGER. The socket becomes the loop's: it is made
/// non-blocking, and closed when the loop ends. `arg` must stay valid until then. Does not suspend.
///
/// Returns 0, or -EINVAL for a NULL handler, unknown flags, or a socket that does not listen or is registered
/// already, -ENOTSOCK, -EBADF. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nyario_register(
    server: c_int,
    handler: nyario_handler,
    arg: *mut c_void,
    flags: c_uint,
) -> c_int {
    on_loop(|looped| {
        let handler = handler.ok_or(Errno(libc::EINVAL))?;
        let start = match flags {
            0 => Start::Lazy,
            NYARIO_EAGER => Start::Eager,
            _ => return Err(Errno(libc::EINVAL)),
        };
        // SAFETY: the caller vouches for handler and argument for as long as the loop runs.
        looped.register(server, start, move |fd| unsafe { handler(fd, arg) })?;
        Ok(0)
    })
}

/// Runs the calling thread's loop until nyario_stop, or until no server is registered and every fiber and every timer has
/// ended. At the end it closes its servers, ends its timers, cancels the fibers that remain and waits for them to return,
/// and closes their connections. It may be called again. Blocks the thread.
///
/// Returns 0, or -EDEADLK on a fiber, -EINVAL when NYARIO_BACKEND names no backend, -EMFILE, -ENFILE, -ENOMEM, -EPERM
/// when the loop cannot be made. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_loop() -> c_int {
    on_loop(|looped| looped.run().map(|()| 0))
}

/// Ends the calling thread's loop soon; see nyario_loop. May be called from a signal handler, on the loop's thread.
/// Does not suspend.
///
/// Returns 0, or -ESRCH when the thread has no loop. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_stop() -> c_int {
    guard(|| {
        local::current().ok_or(Errno(libc::ESRCH)).map(|looped| {
            looped.stop();
            0
        })
    })
}

/// Ends the calling thread's loop gently: at once it closes its servers and the connections that have no fiber, and
/// ends its timers; then its fibers have up to `grace` nanoseconds to come to their ends, after which it ends as with nyario_stop. Of several such
/// calls the grace that ends first counts. May be called from a signal handler, on the loop's thread. Does not suspend.
///
/// Returns 0, or -EINVAL for a negative grace, -ESRCH when the thread has no loop. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn nyario_drain(grace: i64) -> c_int {
    guard(|| {
        let grace = u64::try_from(grace).map_err(|_| Errno(libc::EINVAL))?;
        local::current().ok_or(Errno(libc::ESRCH)).map(|looped| {
            looped.drain(grace);
            0
        })
    })
}
