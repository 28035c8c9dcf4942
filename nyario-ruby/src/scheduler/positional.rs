//! Reading and writing at a place in a file.
//!
//! What the page cache can answer is asked for at once. What would wait for a disk is done on a thread, in memory of its
//! own: neither the loop nor whoever raises in the fiber has to wait for it.

use super::errand::{self, Answer};
use super::loop_of;
use super::transfer::{Length, Lock, Span, answer, readable, writable};
use nyario_core::sys::Fd;
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd};

unsafe extern "C" {
    /// Ruby's own; its headers leave it out. 3.3 and 3.4 call `io_pwrite` for `IO#pwrite` without the GVL. Nothing may then be
    /// asked of Ruby that allocates or raises, and the thread may as well wait.
    fn ruby_thread_has_gvl_p() -> c_int;
}

/// One `preadv2(2)` or `pwritev2(2)`: the result, or a negative errno.
unsafe fn once(reads: bool, fd: Fd, base: *mut u8, len: usize, from: i64, flags: i32) -> i64 {
    let iov = libc::iovec { iov_base: base.cast(), iov_len: len };
    loop {
        // SAFETY: the caller lends the memory.
        let result = unsafe {
            if reads { libc::preadv2(fd, &iov, 1, from, flags) } else { libc::pwritev2(fd, &iov, 1, from, flags) }
        };
        match result {
            -1 => match std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) {
                libc::EINTR => {}
                error => return -i64::from(error),
            },
            count => return count as i64,
        }
    }
}

/// As many bytes as there are, or as go: a file's are all there, so nobody expects fewer.
unsafe fn whole(reads: bool, fd: Fd, base: *mut u8, len: usize, from: i64, flags: i32) -> (usize, i64) {
    let mut done = 0;
    loop {
        // SAFETY: forwarded from the caller.
        let result = unsafe { once(reads, fd, base.add(done), len - done, from + done as i64, flags) };
        if result <= 0 {
            return (done, result);
        }
        done += result as usize;
        if done == len {
            return (done, 0);
        }
    }
}

unsafe fn transfer(this: VALUE, io: VALUE, buffer: VALUE, from: VALUE, span: Result<Span, i32>, reads: bool) -> VALUE {
    // SAFETY: called with the GVL held, or as Ruby calls `io_pwrite` without it. While the fiber waits the buffer is locked,
    // so its memory stays where it is; nothing with a destructor is alive when an exception goes on its way.
    unsafe {
        let from = rb_sys::rb_num2ll(from);
        let Span { base, room, locked, .. } = match span {
            Ok(_) if from < 0 => return answer((-libc::EINVAL).into()),
            Ok(span) => span,
            Err(result) => return answer(result.into()),
        };
        let fd = rb_sys::rb_io_descriptor(io);
        if ruby_thread_has_gvl_p() == 0 {
            let (done, result) = whole(reads, fd, base, room, from, 0);
            return told(done, result);
        }
        let looped = loop_of(this);
        let (done, result) = whole(reads, fd, base, room, from, libc::RWF_NOWAIT);
        if result != -i64::from(libc::EAGAIN) && result != -i64::from(libc::EOPNOTSUPP) {
            return told(done, result);
        }
        let lock = Lock::take(buffer, locked);
        let rest = errand::run(looped, slowly(reads, fd, base.add(done), room - done, from + done as i64));
        lock.release();
        let (more, result) = match rest {
            Err(tag) => rb_jump_tag(tag),
            Ok(Answer { result, bytes }) if reads => {
                base.add(done).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                (bytes.len(), result)
            }
            Ok(Answer { result, .. }) => (result.max(0) as usize, result.min(0)),
        };
        told(done + more, result)
    }
}

fn told(done: usize, result: i64) -> VALUE {
    answer(if done > 0 { done as i64 } else { result })
}

/// What a thread does, on a descriptor of its own, as the number may be closed meanwhile and come to another file; and with
/// a copy of what is to be written: how much of it was, or the bytes that were read.
unsafe fn slowly(
    reads: bool,
    fd: Fd,
    base: *mut u8,
    len: usize,
    from: i64,
) -> impl FnOnce() -> Answer + Send + 'static {
    // SAFETY: the caller lends the memory for as long as this call takes; the IO has just told the number, so it is open.
    let (own, copy) = unsafe {
        let own = BorrowedFd::borrow_raw(fd).try_clone_to_owned();
        (own, if reads { Vec::new() } else { std::slice::from_raw_parts(base, len).to_vec() })
    };
    move || {
        let own = match own {
            Ok(own) => own,
            Err(error) => return Answer::failed(-error.raw_os_error().unwrap_or(libc::EIO)),
        };
        let mut bytes = if reads { vec![0; len] } else { copy };
        // SAFETY: the memory is the job's own.
        let (done, result) = unsafe { whole(reads, own.as_raw_fd(), bytes.as_mut_ptr(), len, from, 0) };
        bytes.truncate(done);
        Answer { result: if reads || done == 0 { result } else { done as i64 }, bytes }
    }
}

unsafe fn read(this: VALUE, io: VALUE, buffer: VALUE, from: VALUE, offset: VALUE, length: Length) -> VALUE {
    // SAFETY: called with the GVL held.
    unsafe { transfer(this, io, buffer, from, Span::of(writable(buffer), offset, length), true) }
}

unsafe fn write(this: VALUE, io: VALUE, buffer: VALUE, from: VALUE, offset: VALUE, length: Length) -> VALUE {
    // SAFETY: as above.
    unsafe { transfer(this, io, buffer, from, Span::of(readable(buffer), offset, length), false) }
}

/// `io_pread(io, buffer, length, from)`: how many bytes were read, 0 at the end, or a negative errno.
pub(super) unsafe extern "C" fn io_pread_3_1(
    this: VALUE,
    io: VALUE,
    buffer: VALUE,
    length: VALUE,
    from: VALUE,
) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe { read(this, io, buffer, from, rb_sys::LONG2NUM(0), Length::AtLeast(length)) }
}

/// `io_pread(io, buffer, from, length, offset)`.
pub(super) unsafe extern "C" fn io_pread_3_2(
    this: VALUE,
    io: VALUE,
    buffer: VALUE,
    from: VALUE,
    length: VALUE,
    offset: VALUE,
) -> VALUE {
    // SAFETY: as above.
    unsafe { read(this, io, buffer, from, offset, Length::AtLeast(length)) }
}

/// `io_pread(io, buffer, from, offset, length)`.
pub(super) unsafe extern "C" fn io_pread_4_1(
    this: VALUE,
    io: VALUE,
    buffer: VALUE,
    from: VALUE,
    offset: VALUE,
    length: VALUE,
) -> VALUE {
    // SAFETY: as above.
    unsafe { read(this, io, buffer, from, offset, Length::AtMost(length)) }
}

/// `io_pwrite(io, buffer, from, length, offset)`: how many bytes were written, or a negative errno.
pub(super) unsafe extern "C" fn io_pwrite_3_2(
    this: VALUE,
    io: VALUE,
    buffer: VALUE,
    from: VALUE,
    length: VALUE,
    offset: VALUE,
) -> VALUE {
    // SAFETY: as above.
    unsafe { write(this, io, buffer, from, offset, Length::AtLeast(length)) }
}

/// `io_pwrite(io, buffer, from, offset, length)`.
pub(super) unsafe extern "C" fn io_pwrite_4_1(
    this: VALUE,
    io: VALUE,
    buffer: VALUE,
    from: VALUE,
    offset: VALUE,
    length: VALUE,
) -> VALUE {
    // SAFETY: as above.
    unsafe { write(this, io, buffer, from, offset, Length::AtMost(length)) }
}
