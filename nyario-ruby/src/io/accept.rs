//! Taking connections one by one.

use super::refuse_to_wait;
use crate::looped::{self, Looped, Waited};
use crate::{connection, descriptor};
use nyario_core::conn::ConnId;
use nyario_core::driver::{Carries, Op};
use nyario_core::sys::{Errno, Fd, Kernel, Linux};
use rb_sys::{VALUE, rb_jump_tag};

/// `Nyario.accept`.
pub(super) unsafe extern "C" fn accept(_: VALUE, server: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; no borrow of the loop lives across the wait, and nothing in here has a
    // destructor.
    unsafe {
        let fd = descriptor::of(server);
        let looped = super::insist_on_a_loop();
        loop {
            let unclaimed = (*looped).unclaimed.iter().position(|&(known, _)| known == server);
            if let Some(at) = unclaimed {
                let (_, conn) = (*looped).unclaimed.remove(at);
                return connection::wrap_own(looped, conn);
            }
            let Some(Waited { result, tag }) = looped::carry_out(looped, Op::Accept { fd, multi: false }, 0, |_| {})
            else {
                refuse_to_wait()
            };
            if tag != 0 {
                if result >= 0
                    && !(*looped).is_gone()
                    && let Ok(conn) = enter(looped, result)
                {
                    // It came before the exception did: the next to accept gets it.
                    (*looped).unclaimed.push((server, conn));
                }
                rb_jump_tag(tag);
            }
            match result {
                // The peer has given up again.
                gone if gone == -libc::ECONNABORTED => {}
                error if error < 0 => descriptor::fail(server, error),
                fd => match enter(looped, fd) {
                    Ok(conn) => return connection::wrap_own(looped, conn),
                    Err(error) => descriptor::fail(server, error.result()),
                },
            }
        }
    }
}

/// Makes a socket that was accepted a connection of the loop's.
unsafe fn enter(looped: *mut Looped, fd: Fd) -> Result<ConnId, Errno> {
    let carries = Carries::of(&Linux, fd);
    // SAFETY: called with the GVL held; it is the thread's own loop.
    let opened = carries.and_then(|carries| unsafe { (*looped).runtime.opened_as(fd, false, carries) });
    opened.inspect_err(|_| {
        Linux.close(fd);
    })
}
