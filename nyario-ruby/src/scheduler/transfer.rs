//! Reading, writing and closing.

use super::wait::{timed_out, timeout_of};
use super::{deadline, loop_of};
use crate::embedded::{OUTSIDE, aside};
use crate::looped::{self, Waited};
use crate::raise;
use magnus::rb_sys::{protect, resume_error};
use nyario_core::driver::{Blocking, Op};
use nyario_core::sys::{Fd, Kernel, Linux};
use rb_sys::{VALUE, rb_jump_tag};
use std::ffi::{c_long, c_void};
use std::sync::OnceLock;

/// How many bytes a hook was asked for.
pub(crate) enum Length {
    /// As many as fit, and at least so many; 0 means that one try is enough.
    AtLeast(VALUE),
    /// What one try brings, and no more than that.
    AtMost(VALUE),
}

/// Where the bytes go, or come from.
pub(crate) struct Span {
    pub(crate) base: *mut u8,
    /// So many fit, which is at least one.
    pub(crate) room: usize,
    /// At least so many are wanted.
    pub(crate) least: usize,
    /// Somebody has locked the buffer, and unlocks it later than whoever is called here returns.
    pub(super) locked: bool,
}

impl Span {
    /// The span of a buffer from an offset on; the hook's answer where there is nothing to transfer.
    ///
    /// # Safety
    ///
    /// The GVL is held. What the span points to is the buffer's.
    #[inline(always)]
    pub(crate) unsafe fn of(Memory { base, size, locked }: Memory, offset: VALUE, length: Length) -> Result<Span, i32> {
        // SAFETY: as above; raises for what is no number.
        let count = |number| usize::try_from(unsafe { rb_sys::NUM2LONG(number) }).map_err(|_| -libc::EINVAL);
        let offset = count(offset)?;
        let room = size.checked_sub(offset).ok_or(-libc::EINVAL)?;
        let (room, least) = match length {
            Length::AtLeast(least) => (room, count(least)?.min(room)),
            Length::AtMost(most) => (room.min(count(most)?), 0),
        };
        if room == 0 {
            return Err(0);
        }
        // SAFETY: the offset is within the buffer.
        Ok(Span { base: unsafe { base.add(offset) }, room, least, locked })
    }
}

/// What a buffer has.
pub(crate) struct Memory {
    pub(crate) base: *mut u8,
    pub(crate) size: usize,
    locked: bool,
}

/// Ruby's flags of a buffer that is locked (`RB_IO_BUFFER_LOCKED`), and of one that is not to be written to
/// (`RB_IO_BUFFER_READONLY`): the same numbers in each Ruby.
const LOCKED: u32 = 32;
const READONLY: u32 = 128;

/// The bytes of a buffer that is written to.
///
/// # Safety
///
/// The GVL is held; raises for what cannot be written to.
#[inline(always)]
pub(crate) unsafe fn writable(buffer: VALUE) -> Memory {
    // SAFETY: as above.
    unsafe {
        let (memory, flags) = look(buffer);
        if memory.base.is_null() || flags & READONLY != 0 {
            let (mut base, mut size): (*mut c_void, rb_sys::size_t) = (std::ptr::null_mut(), 0);
            rb_sys::rb_io_buffer_get_bytes_for_writing(buffer, &mut base, &mut size);
            return Memory { base: base.cast(), size: size as usize, ..memory };
        }
        memory
    }
}

/// The bytes of a buffer that is only read.
///
/// # Safety
///
/// As [`writable`].
#[inline(always)]
pub(crate) unsafe fn readable(buffer: VALUE) -> Memory {
    // SAFETY: as above.
    unsafe {
        let (memory, _) = look(buffer);
        if memory.base.is_null() {
            let (mut base, mut size): (*const c_void, rb_sys::size_t) = (std::ptr::null(), 0);
            rb_sys::rb_io_buffer_get_bytes_for_reading(buffer, &mut base, &mut size);
            return Memory { base: base.cast_mut().cast(), size: size as usize, ..memory };
        }
        memory
    }
}

/// What there is to say of a buffer in one call; no bytes of one that only Ruby can say something of.
unsafe fn look(buffer: VALUE) -> (Memory, u32) {
    // SAFETY: called with the GVL held; raises for what is no buffer.
    unsafe {
        let (mut base, mut size): (*mut c_void, rb_sys::size_t) = (std::ptr::null_mut(), 0);
        let flags = rb_sys::rb_io_buffer_get_bytes(buffer, &mut base, &mut size) as u32;
        (Memory { base: base.cast(), size: size as usize, locked: flags & LOCKED != 0 }, flags)
    }
}

/// What a hook returns.
pub(crate) fn answer(result: i64) -> VALUE {
    rb_sys::LONG2NUM(result as c_long)
}

/// A buffer that nobody may free or resize meanwhile, because the kernel has its memory.
pub(super) struct Lock {
    buffer: VALUE,
    /// It was not locked by somebody else, who unlocks it.
    ours: bool,
}

impl Lock {
    /// Takes it, unless it is locked already.
    ///
    /// # Safety
    ///
    /// The GVL is held, and it is a buffer.
    pub(super) unsafe fn take(buffer: VALUE, locked: bool) -> Lock {
        if !locked {
            // SAFETY: as above.
            unsafe { rb_sys::rb_io_buffer_lock(buffer) };
        }
        Lock { buffer, ours: !locked }
    }

    /// # Safety
    ///
    /// The GVL is held.
    pub(super) unsafe fn release(self) {
        if self.ours {
            // SAFETY: as above.
            unsafe { rb_sys::rb_io_buffer_unlock(self.buffer) };
        }
    }
}

/// Waits while the buffer is locked.
#[inline(always)]
unsafe fn locking(buffer: VALUE, locked: bool, wait: impl Fn() -> Option<Waited>) -> Option<Waited> {
    // SAFETY: forwarded from the caller.
    if locked { wait() } else { unsafe { lock_for(buffer, wait) } }
}

#[cold]
unsafe fn lock_for(buffer: VALUE, wait: impl Fn() -> Option<Waited>) -> Option<Waited> {
    // SAFETY: called with the GVL held; an error has nothing left to drop when it is raised.
    unsafe {
        let lock = Lock::take(buffer, false);
        let mut waited = None;
        let outcome = protect(|| {
            waited = wait();
            looped::QNIL
        });
        lock.release();
        match outcome {
            Ok(_) => waited,
            Err(error) => resume_error(error),
        }
    }
}

/// Whether it is of one of Ruby's classes of sockets, of which nothing that must not wait comes here.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn is_socket(io: VALUE) -> bool {
    static CLASS: OnceLock<VALUE> = OnceLock::new();
    // SAFETY: as above; the class is Ruby's own, and is kept in its place.
    unsafe {
        let class = match CLASS.get() {
            Some(&class) => class,
            None => {
                let name = rb_sys::rb_intern(c"BasicSocket".as_ptr());
                if rb_sys::rb_const_defined(rb_sys::rb_cObject, name) == 0 {
                    return false;
                }
                let class = rb_sys::rb_const_get(rb_sys::rb_cObject, name);
                rb_sys::rb_gc_register_mark_object(class);
                *CLASS.get_or_init(|| class)
            }
        };
        rb_sys::rb_obj_is_kind_of(io, class) == looped::QTRUE
    }
}

/// Transfers at least what was asked for, unless there is an end or an error before. A socket is waited for even when one
/// try would do: Ruby would only ask again. What else is read or written without waiting has to be told that.
#[inline(always)]
unsafe fn transfer(
    this: VALUE,
    io: VALUE,
    buffer: VALUE,
    span: Result<Span, i32>,
    op: fn(Fd, *mut u8, usize) -> Op,
    reads: bool,
) -> VALUE {
    // SAFETY: called with the GVL held. The buffer is locked for as long as the kernel has its memory, and this runs until
    // the operation has ended; nothing here has a destructor.
    unsafe {
        let span = match span {
            Ok(span) => span,
            Err(result) => return answer(result.into()),
        };
        let fd = rb_sys::rb_io_descriptor(io);
        let looped = loop_of(this);
        let socket = reads && is_socket(io);
        let (mut done, mut until) = (0, 0);
        loop {
            let (at, left) = (span.base.add(done), span.room - done);
            let mut result = match reads {
                // What is there is read when the wait begins, if it is known that something is.
                true if socket => -libc::EAGAIN,
                true => (*looped).runtime.driver().try_read(fd, std::slice::from_raw_parts_mut(at, left)),
                false => (*looped).runtime.driver().try_write(fd, std::slice::from_raw_parts(at, left)),
            };
            if result == -libc::EAGAIN {
                if span.least == 0 && !socket && (reads || !is_socket(io)) {
                    // The loop may not have heard yet of what has just come.
                    let result = match Blocking::new(&Linux, op(fd, at, left)) {
                        Ok(once) => once.attempt(&Linux),
                        Err(error) => error.result(),
                    };
                    return answer(result.into());
                }
                if until == 0 {
                    until = deadline(timeout_of(io));
                }
                let wait_with = |at| looped::carry_out_for(looped, io, fd, |fd| op(fd, at, left), until);
                let wait = || if left <= OUTSIDE { aside(at, left, !reads, wait_with) } else { wait_with(at) };
                match locking(buffer, span.locked, wait) {
                    None if reads => {
                        let at = std::slice::from_raw_parts_mut(at, left);
                        return answer((*looped).runtime.driver().try_read(fd, at).into());
                    }
                    None => return answer((-libc::EAGAIN).into()),
                    Some(Waited { tag, .. }) if tag != 0 => rb_jump_tag(tag),
                    // The network may say so, too, before it.
                    Some(Waited { result, .. }) if result == -libc::ETIMEDOUT && (1..=Linux.now()).contains(&until) => {
                        timed_out()
                    }
                    Some(waited) => result = waited.result,
                }
            }
            match result {
                0 => return answer(done as i64),
                error if error < 0 => return answer(if done > 0 { done as i64 } else { error.into() }),
                count => done += count as usize,
            }
            if done >= span.least || done == span.room {
                return answer(done as i64);
            }
        }
    }
}

#[inline(always)]
unsafe fn read(this: VALUE, io: VALUE, buffer: VALUE, offset: VALUE, length: Length) -> VALUE {
    // SAFETY: called with the GVL held.
    unsafe {
        let span = Span::of(writable(buffer), offset, length);
        transfer(this, io, buffer, span, |fd, buf, len| Op::Read { fd, buf, len }, true)
    }
}

#[inline(always)]
unsafe fn write(this: VALUE, io: VALUE, buffer: VALUE, offset: VALUE, length: Length) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let span = Span::of(readable(buffer), offset, length);
        transfer(this, io, buffer, span, |fd, buf, len| Op::Write { fd, buf, len }, false)
    }
}

/// `io_read(io, buffer, length)`: how many bytes were read, 0 at the end, or a negative errno.
pub(super) unsafe extern "C" fn io_read_3_1(this: VALUE, io: VALUE, buffer: VALUE, length: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe { read(this, io, buffer, rb_sys::LONG2NUM(0), Length::AtLeast(length)) }
}

/// `io_read(io, buffer, length, offset)`.
pub(super) unsafe extern "C" fn io_read_3_2(
    this: VALUE,
    io: VALUE,
    buffer: VALUE,
    length: VALUE,
    offset: VALUE,
) -> VALUE {
    // SAFETY: as above.
    unsafe { read(this, io, buffer, offset, Length::AtLeast(length)) }
}

/// `io_read(io, buffer, offset, length)`.
pub(super) unsafe extern "C" fn io_read_4_1(
    this: VALUE,
    io: VALUE,
    buffer: VALUE,
    offset: VALUE,
    length: VALUE,
) -> VALUE {
    // SAFETY: as above.
    unsafe { read(this, io, buffer, offset, Length::AtMost(length)) }
}

/// `io_write(io, buffer, length, offset)`: how many bytes were written, or a negative errno.
pub(super) unsafe extern "C" fn io_write_3_2(
    this: VALUE,
    io: VALUE,
    buffer: VALUE,
    length: VALUE,
    offset: VALUE,
) -> VALUE {
    // SAFETY: as above.
    unsafe { write(this, io, buffer, offset, Length::AtLeast(length)) }
}

/// `io_write(io, buffer, offset, length)`.
pub(super) unsafe extern "C" fn io_write_4_1(
    this: VALUE,
    io: VALUE,
    buffer: VALUE,
    offset: VALUE,
    length: VALUE,
) -> VALUE {
    // SAFETY: as above.
    unsafe { write(this, io, buffer, offset, Length::AtMost(length)) }
}

/// `io_close(descriptor)`: whether it is closed. Of what is no open descriptor, and where nothing is closed any more, Ruby
/// itself finds out.
pub(super) unsafe extern "C" fn io_close(this: VALUE, descriptor: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let looped = loop_of(this);
        match looped::close(looped, rb_sys::rb_num2int(descriptor) as Fd) {
            result if result == -libc::EBADF || result == -libc::ECANCELED => looped::QFALSE,
            // The kernel has let go of it all the same.
            result if result < 0 => raise::system_call(result),
            _ => looped::QTRUE,
        }
    }
}
