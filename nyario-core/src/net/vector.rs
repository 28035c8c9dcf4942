//! Transfers from and to several buffers.

use super::whole;
use crate::driver::Op;
use crate::fiber::Loop;
use crate::sys::{Errno, Fd, Kernel, check};

/// The kernel's bound on the buffers of one call (`UIO_MAXIOV`).
pub(super) const BUFFERS_MAX: usize = 1024;

/// How many bytes they hold together.
pub(super) fn total(iov: &[libc::iovec]) -> usize {
    iov.iter().fold(0, |sum, part| sum.saturating_add(part.iov_len))
}

/// What is left of some buffers behind the first so many bytes, as far as it fits here.
pub(super) struct Rest {
    parts: [libc::iovec; 16],
    count: usize,
}

impl Rest {
    pub(super) fn of(iov: &[libc::iovec], skip: usize) -> Rest {
        let mut rest = Rest { parts: [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 16], count: 0 };
        let mut skip = skip;
        for part in iov {
            let skipped = skip.min(part.iov_len);
            skip -= skipped;
            if skipped == part.iov_len {
                continue;
            }
            let Some(place) = rest.parts.get_mut(rest.count) else { break };
            let iov_base = part.iov_base.cast::<u8>().wrapping_add(skipped).cast();
            *place = libc::iovec { iov_base, iov_len: part.iov_len - skipped };
            rest.count += 1;
        }
        rest
    }

    pub(super) fn as_slice(&self) -> &[libc::iovec] {
        &self.parts[..self.count]
    }
}

/// Whether the kernel would take them.
fn admit(iov: &[libc::iovec]) -> Result<(), Errno> {
    let whole = iov.len() <= BUFFERS_MAX && total(iov) <= isize::MAX as usize;
    if whole { Ok(()) } else { Err(Errno(libc::EINVAL)) }
}

/// Reads once into several buffers, filling each before the next: at least one byte, or 0 at the end.
///
/// # Errors
///
/// As [`read`](super::read), and `EINVAL` for more than 1024 buffers.
///
/// # Safety
///
/// Each buffer must be valid for writes until the call returns.
pub unsafe fn readv<K: Kernel>(looped: &Loop<K>, fd: Fd, iov: &[libc::iovec]) -> Result<usize, Errno> {
    admit(iov)?;
    if total(iov) == 0 {
        return looped.kernel().status(fd).map(|_| 0);
    }
    // SAFETY: forwarded from the caller.
    let result = unsafe { looped.perform(Op::Readv { fd, iov: iov.as_ptr(), count: iov.len() }) };
    check(result).map(|count| count as usize)
}

/// Writes everything from several buffers, as a blocking descriptor would.
///
/// # Errors
///
/// As [`write`](super::write), and `EINVAL` for more than 1024 buffers.
///
/// # Safety
///
/// Each buffer must be valid for reads until the call returns.
pub unsafe fn writev<K: Kernel>(looped: &Loop<K>, fd: Fd, iov: &[libc::iovec]) -> Result<usize, Errno> {
    admit(iov)?;
    // SAFETY: forwarded from the caller.
    let perform =
        |iov: &[libc::iovec]| unsafe { looped.perform(Op::Writev { fd, iov: iov.as_ptr(), count: iov.len() }) };
    whole(looped, fd, total(iov), |written| match written {
        0 => perform(iov),
        _ => perform(Rest::of(iov, written).as_slice()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_begins_where_the_rest_ends() {
        let mut bytes = [0u8; 100];
        let base = bytes.as_mut_ptr();
        let part = |at: usize, len| libc::iovec { iov_base: base.wrapping_add(at).cast(), iov_len: len };
        let iov = [part(0, 10), part(10, 0), part(10, 20), part(30, 5)];
        assert_eq!(total(&iov), 35);
        for skip in 0..=35 {
            let rest = Rest::of(&iov, skip);
            let seen = rest.as_slice();
            assert_eq!(total(seen), 35 - skip);
            let mut next = skip;
            for part in seen {
                assert_eq!(part.iov_base.cast::<u8>(), base.wrapping_add(next));
                next += part.iov_len;
            }
        }
        let many = [part(0, 1); 40];
        assert_eq!(Rest::of(&many, 3).as_slice().len(), 16);
    }
}
