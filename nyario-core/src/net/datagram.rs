//! Datagram sockets by address.

use super::{Address, open, take};
use crate::driver::Carries;
use crate::fiber::Loop;
use crate::sys::{Errno, Fd, Kernel, check, portable};

/// Opens a datagram socket, close-on-exec and non-blocking: at `local`, where messages reach it, or at an address that the
/// kernel chooses; and for `remote` alone, if that is given, to whom messages without an address go. A unix socket takes the
/// place of a dead one's leftover. Does not suspend.
///
/// # Errors
///
/// `EINVAL` for text that is no address, for two of different families and for none at all, and the kernel's own:
/// `EADDRINUSE`, `ECONNREFUSED` and `ENOENT` from unix sockets, `EMFILE`, ...
pub fn datagram<K: Kernel>(looped: &Loop<K>, local: Option<&str>, remote: Option<&str>) -> Result<Fd, Errno> {
    let kernel = looped.kernel();
    let [local, remote] = [local, remote].map(|text| text.map(Address::parse).transpose());
    let (local, remote) = (local?, remote?);
    let family = |address: &Address| address.family();
    let known = local.as_ref().or(remote.as_ref()).ok_or(Errno(libc::EINVAL))?;
    if remote.as_ref().is_some_and(|remote| family(remote) != family(known)) {
        return Err(Errno(libc::EINVAL));
    }
    let fd = open(kernel, known, libc::SOCK_DGRAM | portable::SOCK_NONBLOCK)?;
    let prepared = || {
        if let Some(local) = &local {
            take(kernel, fd, local, libc::SOCK_DGRAM)?;
        }
        if let Some(remote) = &remote {
            // SAFETY: the address outlives the call, which with datagrams waits for nobody.
            remote.with_raw(|addr, len| check(unsafe { kernel.connect(fd, addr, len) }))?;
        }
        looped.opened_as(fd, true, Carries::Messages)
    };
    match prepared() {
        Ok(()) => Ok(fd),
        Err(error) => {
            kernel.close(fd);
            Err(error)
        }
    }
}
