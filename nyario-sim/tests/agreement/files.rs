//! Regular files, by calls and through a ring.

use crate::rings::{Ring, receive};
use crate::sockets::{ALL, add};
use crate::{Ground, Told};
use nyario_core::sys::Fd;
use nyario_core::sys::abi::{Sqe, uring as abi};

fn write<G: Ground>(on: &G, fd: Fd, bytes: &[u8]) -> isize {
    let iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: the bytes are borrowed for the call.
    unsafe { on.writev(fd, &iov, 1, 0) }
}

fn read<G: Ground>(on: &G, fd: Fd, room: usize) -> (isize, Vec<u8>) {
    let mut bytes = vec![0; room];
    let iov = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: room };
    // SAFETY: as above.
    let result = unsafe { on.readv(fd, &iov, 1, 0) };
    bytes.truncate(result.max(0) as usize);
    (result, bytes)
}

pub fn a_file<G: Ground>(on: &G, told: &mut Told) {
    let (reader, writer) = on.new_file();
    told.tell("one file", on.status(reader) == on.status(writer));
    told.tell("its kind", on.status(reader).map(|status| status.kind));
    told.tell("always ready", (on.bits(reader), on.bits(writer)));
    told.tell("empty", read(on, reader, 4));
    told.tell("write", write(on, writer, b"hello"));
    told.tell("a part", read(on, reader, 3));
    let copy = on.duplicate(reader);
    told.tell("the rest, where the other stopped", read(on, copy, 100));
    told.tell("the end", (read(on, reader, 4), on.bits(reader)));
    told.tell("is not for ever", (write(on, writer, b"more"), read(on, reader, 100)));
    told.tell("no socket", (on.put(writer, b"x"), on.take(reader, 1).0));
    let epoll = on.epoll_create();
    told.tell("nothing to wait for", add(on, epoll, reader, ALL, 1));
    for fd in [epoll, reader, writer, copy] {
        on.close(fd);
    }
}

pub fn a_file_through_a_ring<G: Ground>(on: &G, told: &mut Told) {
    let Some(mut ring) = Ring::new(on, told, 4, 8) else { return };
    let (reader, writer) = on.new_file();
    let mut bytes = [0; 4];
    let here = |opcode, fd, addr: *const u8, len, name| Sqe {
        opcode,
        fd,
        addr: addr as u64,
        len,
        off: u64::MAX,
        user_data: name,
        ..Sqe::default()
    };
    ring.push(here(abi::OP_WRITE, writer, b"hello".as_ptr(), 5, 1));
    ring.told(told, "write");
    for name in 2..5 {
        ring.push(here(abi::OP_READ, reader, bytes.as_mut_ptr(), 4, name));
        ring.told(told, "read");
        told.tell("bytes", bytes);
    }
    ring.push(Sqe { off: 1, ..here(abi::OP_READ, reader, bytes.as_mut_ptr(), 4, 7) });
    ring.told(told, "somewhere else");
    told.tell("bytes", bytes);
    ring.push(here(abi::OP_WRITE, writer, b"more".as_ptr(), 4, 8));
    ring.told(told, "more");
    ring.push(here(abi::OP_READ, reader, bytes.as_mut_ptr(), 4, 9));
    ring.told(told, "which leaves it where it was");
    told.tell("bytes", bytes);
    ring.push(Sqe {
        opcode: abi::OP_POLL_ADD,
        fd: reader,
        op_flags: libc::POLLIN as u32,
        user_data: 5,
        ..Sqe::default()
    });
    ring.told(told, "ready at the end");
    ring.push(receive(reader, &mut bytes, 6));
    ring.told(told, "no socket");
    on.close(reader);
    on.close(writer);
}
