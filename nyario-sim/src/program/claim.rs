//! Servers at paths: each is opened, and closed again, past the loop, and leaves its file behind.

use super::rig::Rig;
use nyario_core::net;
use nyario_core::sys::{Errno, Kernel};

/// How many paths there are.
pub(super) const PATHS: usize = 2;

/// Opens a server at a path. A dead one's leftover is no hindrance, a living one is.
pub(super) fn claim(rig: &Rig, path: usize) {
    let lives = rig.claims.borrow()[path].is_some();
    let result = net::listen(&rig.model, &format!("/path/{path}"));
    // A probe needs a descriptor, without which nobody can say who lives.
    let scarce = rig.faults().exhausted > 0 || rig.plan.character.descriptors < 1024;
    match result {
        Ok(fd) => {
            assert!(!lives, "path {path} is taken from a living server");
            rig.engaged.borrow_mut().insert(fd);
            rig.claims.borrow_mut()[path] = Some(fd);
        }
        Err(error) => assert!(scarce || (lives && error == Errno(libc::EADDRINUSE)), "path {path} is refused: {error}"),
    }
}

/// Closes the server at a path, if there is one.
pub(super) fn leave(rig: &Rig, path: usize) {
    if let Some(fd) = rig.claims.borrow_mut()[path].take() {
        rig.engaged.borrow_mut().remove(&fd);
        rig.model.close(fd);
    }
}
