//! What is read from or written to.

use crate::connection::Connection;
use crate::connection::buffer::Buffer;
use crate::{descriptor, raise, typed};
use nyario_core::sys::{Fd, Kernel, Linux};
use rb_sys::VALUE;
use std::ptr::null_mut;

/// What the caller named, its descriptor, and what a connection adds to that.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) object: VALUE,
    pub(crate) fd: Fd,
    /// Null for what is no connection. The object, on the caller's stack, keeps it.
    connection: *mut Connection,
}

impl Source {
    /// Of a connection, an IO or a number; raises as [`descriptor::of`].
    ///
    /// # Safety
    ///
    /// The GVL is held, and nothing with a destructor is alive in the caller.
    #[inline]
    pub(crate) unsafe fn of(object: VALUE) -> Source {
        // SAFETY: as above.
        unsafe {
            if typed::is::<Connection>(object) {
                return Source::of_connection(object);
            }
            let number = rb_sys::RB_INTEGER_TYPE_P(object);
            let object = if number { object } else { rb_sys::rb_io_get_io(object) };
            Source { object, fd: descriptor::of(object), connection: null_mut() }
        }
    }

    /// Of a connection; raises as [`descriptor::of_connection`].
    ///
    /// # Safety
    ///
    /// As [`of`](Self::of).
    #[inline]
    pub(crate) unsafe fn of_connection(object: VALUE) -> Source {
        // SAFETY: as above.
        unsafe {
            let connection = typed::unwrap::<Connection>(object);
            match (*connection).open() {
                Some(fd) => Source { object, fd, connection },
                None => raise::closed(),
            }
        }
    }

    /// What the connection has read past what was asked for, if it has.
    ///
    /// # Safety
    ///
    /// The GVL is held, and the object alive.
    #[inline(always)]
    pub(super) unsafe fn ahead<'a>(self) -> Option<&'a mut Buffer> {
        if self.connection.is_null() {
            return None;
        }
        // SAFETY: as above; the borrow ends before anything of Ruby's runs.
        let buffer = unsafe { &mut (*self.connection).buffer };
        if buffer.is_empty() { None } else { Some(buffer) }
    }

    /// Whether it is neither a connection nor a number.
    ///
    /// # Safety
    ///
    /// As [`ahead`](Self::ahead).
    #[inline]
    pub(crate) unsafe fn is_io(self) -> bool {
        // SAFETY: as above.
        self.connection.is_null() && unsafe { !rb_sys::RB_INTEGER_TYPE_P(self.object) }
    }

    /// Whether it is an IO that has read ahead itself (by `gets`, say), and so has bytes that come before the kernel's.
    ///
    /// # Safety
    ///
    /// As [`ahead`](Self::ahead).
    #[inline]
    pub(super) unsafe fn is_read_ahead(self) -> bool {
        // SAFETY: as above; an IO that is open has its part of Ruby's own.
        unsafe { self.is_io() && rb_sys::rb_io_read_pending((*(self.object as *const rb_sys::RFile)).fptr) != 0 }
    }

    /// Leaves to the next read what was read: to a file by its position, to a connection and to an IO in their buffers. A
    /// number has nothing of the kind.
    ///
    /// # Safety
    ///
    /// The GVL is held.
    #[cold]
    pub(super) unsafe fn give_back(self, bytes: &[u8]) {
        // SAFETY: as above.
        unsafe {
            if !self.connection.is_null() {
                self.buffer().restore(bytes);
            } else if !bytes.is_empty()
                && libc::lseek(self.fd, -(bytes.len() as i64), libc::SEEK_CUR) < 0
                && !rb_sys::RB_INTEGER_TYPE_P(self.object)
            {
                super::gather::unget(self, bytes);
            }
        }
    }

    /// The buffer of a connection.
    ///
    /// # Safety
    ///
    /// As [`ahead`](Self::ahead), and it is a connection.
    pub(super) unsafe fn buffer<'a>(self) -> &'a mut Buffer {
        // SAFETY: as above.
        unsafe { &mut (*self.connection).buffer }
    }

    #[inline(always)]
    pub(super) fn is_connection(self) -> bool {
        !self.connection.is_null()
    }

    /// Raises a TypeError for a number, which has no place to keep bytes in that were read and not asked for.
    ///
    /// # Safety
    ///
    /// As [`of`](Self::of).
    pub(super) unsafe fn insist_on_an_object(self) {
        // SAFETY: as above.
        unsafe {
            if rb_sys::RB_INTEGER_TYPE_P(self.object) {
                raise::of_class(
                    c"TypeError",
                    "a number has no place for what comes too early: a connection or an IO is needed",
                )
            }
        }
    }

    /// The moment until which a call that begins to wait now may wait, 0 for none.
    ///
    /// # Safety
    ///
    /// As [`ahead`](Self::ahead).
    pub(super) unsafe fn deadline(self) -> u64 {
        // SAFETY: as above.
        match if self.connection.is_null() { 0 } else { unsafe { (*self.connection).timeout } } {
            0 => 0,
            nanos => Linux.now().saturating_add(nanos),
        }
    }

    /// Raises an IOError if it was closed while the fiber waited: its number may be another's by now.
    ///
    /// # Safety
    ///
    /// As [`of`](Self::of).
    #[inline]
    pub(super) unsafe fn insist(self) {
        // SAFETY: as above.
        unsafe {
            if !self.connection.is_null() {
                if (*self.connection).open().is_none() {
                    raise::closed();
                }
            } else if descriptor::of(self.object) != self.fd {
                raise::io("stream closed in another thread");
            }
        }
    }

    /// Whether it is what it was before the fiber waited.
    ///
    /// # Safety
    ///
    /// As [`ahead`](Self::ahead).
    pub(super) unsafe fn is_same(self) -> bool {
        // SAFETY: as above.
        self.connection.is_null() || unsafe { (*self.connection).open() }.is_some()
    }

    /// Raises what a failed operation means to the caller: a time-out if it is past its deadline, an IOError if the
    /// source was closed meanwhile.
    ///
    /// # Safety
    ///
    /// As [`of`](Self::of).
    #[cold]
    pub(super) unsafe fn fail(self, result: i32, deadline: u64) -> ! {
        // SAFETY: as above.
        unsafe {
            if result == -libc::ETIMEDOUT && deadline != 0 && Linux.now() >= deadline {
                raise::timed_out();
            }
            descriptor::fail(self.object, result)
        }
    }
}
