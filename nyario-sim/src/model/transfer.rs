//! Bytes from and to files, in one place for system calls and for operations of a ring.

use super::file::{FileId, FileKind, FlowId};
use super::flow::{End, Wire};
use super::socket::State;
use super::world::{Event, World};

/// Memory that a caller lends: where, and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lent {
    pub(crate) at: *mut u8,
    pub(crate) len: usize,
}

/// The memory that vectors speak of.
///
/// # Safety
///
/// `iov` must lead to `count` vectors.
pub(crate) unsafe fn vectors(iov: *const libc::iovec, count: usize) -> Vec<Lent> {
    // SAFETY: forwarded from the caller.
    let vectors = if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(iov, count) } };
    vectors.iter().map(|part| Lent { at: part.iov_base.cast(), len: part.iov_len }).collect()
}

pub(crate) fn length(parts: &[Lent]) -> usize {
    parts.iter().map(|part| part.len).sum()
}

const READ: u32 = (libc::POLLIN | libc::POLLRDNORM) as u32;
const WRITE: u32 = (libc::POLLOUT | libc::POLLWRNORM) as u32;

impl World {
    /// Reads from a file, or says `EAGAIN`.
    ///
    /// # Safety
    ///
    /// The memory must be lent for writing.
    pub(crate) unsafe fn read_file(&mut self, file: FileId, into: &[Lent], peek: bool) -> i32 {
        let faults = self.character.faults;
        if self.strikes(faults.interrupted) {
            return -libc::EINTR;
        }
        match &mut self.file(file).kind {
            FileKind::PipeReader(flow) => {
                let flow = *flow;
                // SAFETY: forwarded from the caller.
                unsafe { self.read_flow(flow, into, peek) }
            }
            FileKind::Socket(socket) => match socket.state {
                State::Connected { receive, .. } => {
                    if self.flow(receive).arrived > 0 && self.strikes(faults.refused) {
                        let delay = self.delay();
                        self.schedule(delay, Event::Wake(file, READ));
                        return -libc::EAGAIN;
                    }
                    // SAFETY: forwarded from the caller.
                    unsafe { self.read_flow(receive, into, peek) }
                }
                State::Connecting => -libc::EAGAIN,
                State::Broken => -std::mem::take(&mut socket.error),
                State::Fresh | State::Listening { .. } if socket.wire == Wire::Inet => -libc::ENOTCONN,
                State::Fresh | State::Listening { .. } => -libc::EINVAL,
            },
            FileKind::Event(count) => {
                if *count == 0 {
                    return -libc::EAGAIN;
                }
                if length(into) < 8 {
                    return -libc::EINVAL;
                }
                let value = std::mem::take(count).to_ne_bytes();
                // SAFETY: forwarded from the caller.
                unsafe { fill(into, value.iter().copied()) };
                self.wake(file, WRITE);
                8
            }
            // SAFETY: forwarded from the caller.
            FileKind::Regular(regular) => unsafe { regular.read(into) },
            // SAFETY: as above.
            FileKind::Datagram(_) => unsafe { self.receive_message(file, into, peek) },
            FileKind::Null => 0,
            FileKind::PipeWriter(_) => -libc::EBADF,
            // Nobody reads it: arming it anew forgets what it counted.
            FileKind::Timer(_) | FileKind::Epoll(_) | FileKind::Kqueue(_) | FileKind::Uring(_) => -libc::EINVAL,
        }
    }

    unsafe fn read_flow(&mut self, id: FlowId, into: &[Lent], peek: bool) -> i32 {
        let flow = self.flow(id);
        if flow.arrived == 0 {
            let (ended, reader) = (flow.end == End::Arrived, flow.reader);
            if let Some(reader) = reader
                && let FileKind::Socket(socket) = &mut self.file(reader).kind
                && socket.error != 0
            {
                return -std::mem::take(&mut socket.error);
            }
            return if ended { 0 } else { -libc::EAGAIN };
        }
        let was_writable = flow.is_writable();
        // SAFETY: forwarded from the caller.
        let count = unsafe { fill(into, flow.bytes.iter().take(flow.arrived).copied()) };
        if peek {
            return count as i32;
        }
        flow.took(count);
        let room = flow.is_writable()
            && match flow.wire {
                Wire::Inet => flow.starved,
                Wire::Unix => true,
                Wire::Pipe => !was_writable,
            };
        if room {
            flow.starved = false;
            self.wake_writer(id, WRITE);
        }
        count as i32
    }

    /// Writes to a file, or says `EAGAIN`.
    ///
    /// # Safety
    ///
    /// The memory must be lent for reading.
    pub(crate) unsafe fn write_file(&mut self, file: FileId, from: &[Lent]) -> i32 {
        let faults = self.character.faults;
        if self.strikes(faults.interrupted) {
            return -libc::EINTR;
        }
        match &mut self.file(file).kind {
            FileKind::PipeWriter(flow) => {
                let flow = *flow;
                // SAFETY: forwarded from the caller.
                unsafe { self.write_flow(flow, from) }
            }
            FileKind::Socket(socket) => match socket.state {
                State::Connected { send, .. } => {
                    if socket.wire == Wire::Inet && socket.error != 0 {
                        return -std::mem::take(&mut socket.error);
                    }
                    if socket.shut_write {
                        return -libc::EPIPE;
                    }
                    if self.strikes(faults.refused) {
                        let delay = self.delay();
                        self.schedule(delay, Event::Wake(file, WRITE));
                        return -libc::EAGAIN;
                    }
                    // SAFETY: forwarded from the caller.
                    unsafe { self.write_flow(send, from) }
                }
                State::Connecting => -libc::EAGAIN,
                State::Broken if socket.error != 0 => -std::mem::take(&mut socket.error),
                State::Broken => -libc::EPIPE,
                State::Fresh | State::Listening { .. } if socket.wire == Wire::Inet => -libc::EPIPE,
                State::Fresh | State::Listening { .. } => -libc::ENOTCONN,
            },
            FileKind::Event(count) => {
                if length(from) < 8 {
                    return -libc::EINVAL;
                }
                // SAFETY: forwarded from the caller.
                let bytes: Vec<u8> = unsafe { drain(from, 8) };
                *count += u64::from_ne_bytes(bytes.try_into().expect("eight were asked for"));
                self.wake(file, libc::POLLIN as u32);
                8
            }
            // SAFETY: forwarded from the caller.
            FileKind::Regular(regular) => unsafe { regular.write(from) },
            // SAFETY: as above.
            FileKind::Datagram(_) => unsafe { self.send_message(file, from) },
            FileKind::Null => length(from) as i32,
            FileKind::PipeReader(_) => -libc::EBADF,
            FileKind::Timer(_) | FileKind::Epoll(_) | FileKind::Kqueue(_) | FileKind::Uring(_) => -libc::EINVAL,
        }
    }

    /// Moves bytes between two files, one of which is a pipe.
    pub(crate) fn splice(&mut self, from: FileId, to: FileId, len: usize) -> i32 {
        let interrupted = self.character.faults.interrupted;
        if self.strikes(interrupted) {
            return -libc::EINTR;
        }
        if len == 0 {
            return 0;
        }
        for file in [from, to] {
            if matches!(self.file(file).kind, FileKind::PipeReader(_) | FileKind::PipeWriter(_)) {
                self.file(file).nowait = false;
            }
        }
        let source = match &self.file(from).kind {
            &FileKind::PipeReader(flow) => flow,
            FileKind::Socket(socket) => match socket.state {
                State::Connected { receive, .. } => receive,
                _ => return -libc::ENOTCONN,
            },
            FileKind::PipeWriter(_) => return -libc::EBADF,
            _ => return -libc::EINVAL,
        };
        let out_of_pipe = self.flow(source).wire == Wire::Pipe;
        if out_of_pipe && self.flow(source).bytes.is_empty() {
            // Whether there is room is nobody's concern.
            let ended = self.flow(source).end == End::Arrived;
            match &self.file(to).kind {
                FileKind::PipeWriter(flow) if *flow == source => return -libc::EINVAL,
                FileKind::PipeWriter(_) | FileKind::Socket(_) if !ended => return -libc::EAGAIN,
                FileKind::Socket(_) => return 0,
                _ => {}
            }
        }
        let sink = match self.sink(to) {
            Ok(sink) => sink,
            Err(error) => return error,
        };
        if sink == source || (!out_of_pipe && self.flow(sink).wire != Wire::Pipe) {
            return -libc::EINVAL;
        }
        let room = self.flow(sink).room().min(len);
        if room == 0 {
            self.flow(sink).starved = true;
            return -libc::EAGAIN;
        }
        let mut bytes = vec![0; room];
        // SAFETY: the buffer outlives the call.
        let count = unsafe { self.read_flow(source, &[Lent { at: bytes.as_mut_ptr(), len: room }], false) };
        if count > 0 {
            self.put(sink, &bytes[..count as usize]);
        }
        count
    }

    /// Sends a part of a regular file.
    pub(crate) fn sendfile(&mut self, to: FileId, from: FileId, len: usize) -> i32 {
        let interrupted = self.character.faults.interrupted;
        if self.strikes(interrupted) {
            return -libc::EINTR;
        }
        let sink = match self.sink(to) {
            Ok(sink) => sink,
            Err(error) => return error,
        };
        let room = self.flow(sink).room().min(len);
        if room == 0 && len > 0 {
            self.flow(sink).starved = true;
            return -libc::EAGAIN;
        }
        let FileKind::Regular(regular) = &mut self.file(from).kind else { return -libc::EINVAL };
        let mut bytes = vec![0; room];
        // SAFETY: the buffer outlives the call.
        let count = unsafe { regular.read(&[Lent { at: bytes.as_mut_ptr(), len: room }]) };
        if count > 0 {
            self.put(sink, &bytes[..count as usize]);
        }
        count
    }

    /// Where bytes go that are written to a file.
    fn sink(&mut self, to: FileId) -> Result<FlowId, i32> {
        let sink = match &self.file(to).kind {
            &FileKind::PipeWriter(flow) => flow,
            FileKind::Socket(socket) => match socket.state {
                State::Connected { send, .. } if !socket.shut_write => send,
                State::Connected { .. } => return Err(-libc::EPIPE),
                _ => return Err(-libc::ENOTCONN),
            },
            FileKind::PipeReader(_) => return Err(-libc::EBADF),
            _ => return Err(-libc::EINVAL),
        };
        let flow = self.flow(sink);
        if flow.deaf && flow.wire != Wire::Inet { Err(-libc::EPIPE) } else { Ok(sink) }
    }

    fn put(&mut self, sink: FlowId, bytes: &[u8]) {
        self.flow(sink).gains(bytes);
        self.send_off(sink, bytes.len());
    }

    unsafe fn write_flow(&mut self, id: FlowId, from: &[Lent]) -> i32 {
        let short = self.character.faults.short;
        let flow = self.flow(id);
        if flow.deaf && flow.wire != Wire::Inet {
            return -libc::EPIPE;
        }
        let wanted = length(from);
        let mut count = flow.accepts(wanted);
        if count < wanted {
            flow.starved = true;
        }
        if count == 0 {
            return if wanted == 0 { 0 } else { -libc::EAGAIN };
        }
        if count > 1 && flow.wire != Wire::Pipe && self.strikes(short) {
            count = 1 + self.random.index(count - 1);
            self.flow(id).starved = true;
            if let Some(writer) = self.flow(id).writer {
                let delay = self.delay();
                self.schedule(delay, Event::Wake(writer, WRITE));
            }
        }
        // SAFETY: forwarded from the caller.
        let bytes = unsafe { drain(from, count) };
        self.flow(id).gains(&bytes);
        self.send_off(id, count);
        count as i32
    }

    /// Bytes set out for their reader.
    fn send_off(&mut self, id: FlowId, count: usize) {
        let latency = self.character.faults.latency;
        if self.flow(id).wire != Wire::Inet || !self.strikes(latency) {
            return self.arrive(id, count);
        }
        let mut rest = count;
        let mut after = 0;
        while rest > 0 {
            let piece = 1 + self.random.index(rest);
            after += self.delay();
            self.schedule(after, Event::Arrive(id, piece));
            rest -= piece;
        }
    }

    pub(crate) fn arrive(&mut self, id: FlowId, count: usize) {
        let flow = self.flow(id);
        // A reset has thrown away what was on its way.
        let count = count.min(flow.bytes.len() - flow.arrived);
        if flow.deaf {
            flow.cut_to(0);
            if let Some(writer) = flow.writer
                && flow.wire == Wire::Inet
            {
                let delay = self.delay();
                self.schedule(delay, Event::Reset(writer, libc::ECONNRESET));
            }
            return;
        }
        flow.arrived += count;
        if count > 0 {
            self.wake_reader(id, READ);
        }
    }

    /// The writer has said its last.
    pub(crate) fn finish_flow(&mut self, id: FlowId) {
        let latency = self.character.faults.latency;
        let flow = self.flow(id);
        if flow.end != End::Open {
            return;
        }
        flow.end = End::Underway;
        if flow.wire == Wire::Inet && (flow.arrived < flow.bytes.len() || self.strikes(latency)) {
            let delay = self.delay();
            self.schedule(delay, Event::End(id));
        } else {
            self.end_arrives(id);
        }
    }

    pub(crate) fn end_arrives(&mut self, id: FlowId) {
        let flow = self.flow(id);
        if flow.arrived < flow.bytes.len() {
            let delay = self.delay();
            return self.schedule(delay, Event::End(id));
        }
        flow.end = End::Arrived;
        flow.done = true;
        self.wake_reader(id, super::world::ANY);
    }
}

/// Puts bytes into lent memory, and says how many.
///
/// # Safety
///
/// The memory must be lent for writing.
pub(crate) unsafe fn fill(into: &[Lent], mut bytes: impl Iterator<Item = u8>) -> usize {
    let mut count = 0;
    for part in into {
        for at in 0..part.len {
            let Some(byte) = bytes.next() else { return count };
            // SAFETY: forwarded from the caller.
            unsafe { part.at.add(at).write(byte) };
            count += 1;
        }
    }
    count
}

/// Takes the first `count` bytes from lent memory.
///
/// # Safety
///
/// The memory must be lent for reading.
pub(crate) unsafe fn drain(from: &[Lent], count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count);
    for part in from {
        let take = part.len.min(count - bytes.len());
        // SAFETY: forwarded from the caller; an empty part may have no address.
        if take > 0 {
            // SAFETY: as above.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(part.at, take) });
        }
    }
    bytes
}
