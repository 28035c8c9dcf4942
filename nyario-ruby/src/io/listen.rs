//! Opening servers.

use super::names::{self, Names};
use super::socket;
use crate::looped::{self, QFALSE, QNIL};
use crate::{api, raise, typed};
use nyario_core::net;
use nyario_core::sys::{Errno, Kernel, Linux};
use rb_sys::{VALUE, rb_funcallv, rb_intern};
use std::ffi::{c_char, c_int};

/// `Nyario.listen`.
pub(super) unsafe extern "C" fn listen(argc: c_int, argv: *const VALUE, _: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held and `argc` arguments; nothing with a destructor is alive in here across a wait
    // or a call into Ruby: the addresses are a Ruby object's, which lies on this stack.
    unsafe {
        let (arguments, [backlog, reuse_port]) =
            super::keywords(api::arguments(argc, argv), [c"backlog", c"reuse_port"]);
        let [address] = arguments else {
            raise::argument("Nyario.listen takes an address, and perhaps backlog:, reuse_port: and a block")
        };
        let text = rb_sys::rb_str_to_str(*address);
        let backlog = if backlog == QNIL { None } else { Some(rb_sys::rb_num2int(backlog) as i32) };
        if backlog.is_some_and(|backlog| backlog < 0) {
            raise::argument("the backlog must be 0 or more connections");
        }
        let shared = reuse_port != QNIL && reuse_port != QFALSE;
        let handler = if rb_sys::rb_block_given_p() == 0 { QNIL } else { rb_sys::rb_block_proc() };
        let object = names::resolve(looped::running(), text, 0);
        let found = typed::unwrap::<Names>(object);
        let (mut index, mut last) = (0, Errno(libc::EINVAL));
        while let Some(address) = (*found).at(index) {
            let opened = net::listen_at(&Linux, address, shared).map(|fd| (fd, address.is_inet()));
            match opened {
                Ok((fd, inet)) => {
                    std::hint::black_box(object);
                    if let Some(backlog) = backlog {
                        // Said once more, it counts anew.
                        Linux.listen(fd, backlog);
                    }
                    let server = socket::wrap(fd, if inet { c"TCPServer" } else { c"UNIXServer" });
                    if handler != QNIL {
                        let arguments = [server, handler];
                        let nyario = rb_sys::rb_path2class(c"Nyario".as_ptr());
                        rb_funcallv(nyario, rb_intern(c"register".as_ptr()), 2, arguments.as_ptr());
                    }
                    return server;
                }
                Err(error) => last = error,
            }
            index += 1;
        }
        let message = c"listen on ";
        let message = rb_sys::rb_str_new(message.as_ptr().cast::<c_char>(), message.count_bytes() as _);
        rb_sys::rb_str_append(message, text);
        rb_sys::rb_exc_raise(rb_sys::rb_syserr_new_str(last.0, message))
    }
}
