//! Servers: registering them, and their end.

use crate::looped::{self, Handler, Looped, QFALSE, QNIL};
use crate::{descriptor, raise};
use magnus::rb_sys::{AsRawValue, protect};
use magnus::{Error, Ruby, Value, prelude::*, scan_args};
use nyario_core::conn::Kind;
use nyario_core::runtime::{NOBODY, Start};
use nyario_core::sys::{Kernel, Linux, check};
use rb_sys::{VALUE, ruby_value_type};
use std::ptr::null;

pub(crate) fn register(ruby: &Ruby, args: &[Value]) -> Result<Value, Error> {
    let args = scan_args::scan_args::<(Value,), (Option<Value>,), (), (), _, Option<magnus::block::Proc>>(args)?;
    let kwargs = scan_args::get_kwargs::<_, (), (Option<bool>,), ()>(args.keywords, &[], &["eager"])?;
    let (server,) = args.required;
    let callable = match (args.optional.0, args.block) {
        (Some(callable), None) if callable.respond_to("call", false)? => callable,
        (None, Some(block)) => block.as_value(),
        (Some(_), None) => return Err(Error::new(ruby.exception_type_error(), "the handler must respond to call")),
        _ => return Err(Error::new(ruby.exception_arg_error(), "a handler is given: a callable, or a block")),
    };
    let start = if kwargs.optional.0.unwrap_or(false) { Start::Eager } else { Start::Lazy };
    let fail = |errno| raise::error(ruby, errno, "Nyario.register");
    let mut fd = -1;
    protect(|| {
        // SAFETY: magnus calls with the GVL held; nothing in here has a destructor.
        fd = unsafe { descriptor::of(server.as_raw()) };
        QNIL
    })?;
    // SAFETY: the GVL is held; no borrow outlives its statement.
    unsafe {
        let looped = looped::get().map_err(fail)?;
        let known = |handler: &Handler| handler.server == server.as_raw() && handler.fd >= 0;
        if (*looped).handlers.iter().any(known) {
            return Err(Error::new(ruby.exception_arg_error(), "the server is registered already"));
        }
        // The IO object goes on owning its descriptor, so the loop gets one of its own.
        let own = check(Linux.duplicate(fd)).map_err(fail)?;
        let handler = (*looped).handlers.len() as u64;
        if let Err(error) = (*looped).runtime.register(own, handler, start) {
            Linux.close(own);
            return Err(fail(error));
        }
        let (callable, server) = (callable.as_raw(), server.as_raw());
        (*looped).handlers.push(Handler { callable, server, fd: own });
    }
    Ok(server)
}

/// Ends the accepting of servers whose Ruby object was closed: the loop has a descriptor of its own, which would go on.
/// May raise, as asking in Ruby is an occasion for interrupts to be told.
///
/// # Safety
///
/// The GVL is held, `looped` is the thread's own, and nothing with a destructor is alive in the caller.
pub(crate) unsafe fn forget_closed(looped: *mut Looped) {
    // SAFETY: as above; no borrow outlives its statement.
    unsafe {
        for at in 0..(*looped).handlers.len() {
            let Handler { server, fd, .. } = (&(*looped).handlers)[at];
            if fd >= 0 && is_closed(server) {
                (&mut (*looped).handlers)[at].fd = -1;
                let conns = (*looped).runtime.conns();
                if conns.by_fd(fd).and_then(|conn| conns.kind(conn)) == Some(Kind::Server) {
                    (*looped).runtime.close(fd, NOBODY);
                }
            }
        }
    }
}

/// Closes the Ruby objects of all servers. The first exception that comes meanwhile, be it an interrupt, is handed on.
///
/// # Safety
///
/// The GVL is held, and `looped` is the thread's own.
pub(crate) unsafe fn close_all(looped: *mut Looped) -> Result<(), Error> {
    let mut outcome = Ok(());
    // SAFETY: as above. Closing an IO that is closed already is no error.
    unsafe {
        for at in 0..(*looped).handlers.len() {
            let server = (&(*looped).handlers)[at].server;
            if is_io(server) {
                outcome = outcome.and(protect(|| rb_sys::rb_io_close(server)).map(drop));
            }
        }
    }
    outcome
}

unsafe fn is_io(server: VALUE) -> bool {
    // SAFETY: a live object.
    unsafe { rb_sys::RB_TYPE_P(server, ruby_value_type::RUBY_T_FILE) }
}

/// Whether an IO is closed; a descriptor's number never is.
unsafe fn is_closed(server: VALUE) -> bool {
    // SAFETY: the GVL is held, and nothing is lost when it raises.
    unsafe { is_io(server) && rb_sys::rb_funcallv(server, rb_sys::rb_intern(c"closed?".as_ptr()), 0, null()) != QFALSE }
}
