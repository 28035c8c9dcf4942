//! One operation, from its submission to its last completion.

use super::{Uring, Work};
use crate::model::file::{FileId, FileKind, Watcher};
use crate::model::flow::Wire;
use crate::model::socket::State as Connection;
use crate::model::transfer::{Lent, vectors};
use crate::model::world::World;
use nyario_core::sys::abi::{Cqe, Sqe, uring as abi};

pub(super) struct Operation {
    pub(super) sqe: Sqe,
    pub(super) file: Option<FileId>,
    /// The memory that it lends: its guest must leave that alone until the completion.
    pub(super) lent: Vec<Lent>,
    pub(super) stage: Stage,
    /// A cancel has reached it.
    pub(super) cancelled: bool,
    /// A connect has asked its peer.
    pub(super) begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// A poll of its file waits for these bits.
    Armed(u32),
    /// Woken; it will be tried in the guest's own time.
    Woken,
    /// A worker has it.
    Working,
    /// It has its result, which is still to be posted.
    Over,
}

/// What a try came to.
enum Attempt {
    Done(i32, u32),
    /// It has to wait for these bits.
    Wait(u32),
}

const READ: u32 = (libc::POLLIN | libc::POLLRDNORM | libc::POLLRDHUP) as u32;
const WRITE: u32 = (libc::POLLOUT | libc::POLLWRNORM) as u32;
const ALWAYS: u32 = (libc::POLLERR | libc::POLLHUP) as u32;

/// What scribbles write.
const JUNK: u8 = 0xa5;

impl Operation {
    fn is_multishot(&self) -> bool {
        match self.sqe.opcode {
            abi::OP_RECV => self.sqe.ioprio & abi::RECV_MULTISHOT != 0,
            abi::OP_ACCEPT => self.sqe.ioprio & abi::ACCEPT_MULTISHOT != 0,
            _ => false,
        }
    }

    fn reads_into(&self) -> bool {
        matches!(self.sqe.opcode, abi::OP_RECV | abi::OP_READ | abi::OP_READV)
    }

    pub(super) fn lends(&self) -> bool {
        !self.lent.is_empty() || self.sqe.flags & abi::SQE_BUFFER_SELECT != 0
    }

    fn events(&self) -> u32 {
        match self.sqe.opcode {
            abi::OP_POLL_ADD => self.sqe.op_flags | ALWAYS,
            abi::OP_SEND | abi::OP_WRITE | abi::OP_WRITEV | abi::OP_CONNECT => WRITE | ALWAYS,
            _ => READ | ALWAYS,
        }
    }
}

impl World {
    /// What is wrong with a submission, if anything is: found before it is begun.
    fn refusal(&self, sqe: &Sqe) -> Option<i32> {
        let features = self.character.features;
        let known = sqe.opcode < 64 && features.opcodes >> sqe.opcode & 1 != 0;
        let receives = sqe.opcode == abi::OP_RECV && sqe.ioprio & abi::RECV_MULTISHOT != 0;
        let accepts = sqe.opcode == abi::OP_ACCEPT && sqe.ioprio & abi::ACCEPT_MULTISHOT != 0;
        let refused = !known
            || (receives && (!features.multishot_receive || sqe.flags & abi::SQE_BUFFER_SELECT == 0 || sqe.len != 0))
            || (accepts && !features.multishot_accept);
        refused.then_some(-libc::EINVAL)
    }

    /// Begins an operation. `false` says that it was refused out of hand.
    pub(super) fn issue(&mut self, ring: FileId, sqe: Sqe) -> bool {
        self.note(|| format!("submit op {} of {} as {:#x}", sqe.opcode, sqe.fd, sqe.user_data));
        if let Some(error) = self.refusal(&sqe) {
            self.post(ring, Cqe { user_data: sqe.user_data, res: error, flags: 0 });
            return false;
        }
        if sqe.opcode == abi::OP_ASYNC_CANCEL {
            self.cancel(ring, &sqe);
            return true;
        }
        let Some(file) = self.descriptors.get(sqe.fd) else {
            self.post(ring, Cqe { user_data: sqe.user_data, res: -libc::EBADF, flags: 0 });
            return true;
        };
        let (at, len) = (sqe.addr as *mut u8, sqe.len as usize);
        let lent = match sqe.opcode {
            // SAFETY: the guest's vectors, which are read when the operation is submitted (FEAT_SUBMIT_STABLE).
            abi::OP_READV | abi::OP_WRITEV => unsafe { vectors(at.cast(), len) },
            abi::OP_RECV if sqe.flags & abi::SQE_BUFFER_SELECT != 0 => Vec::new(),
            abi::OP_RECV | abi::OP_SEND | abi::OP_READ | abi::OP_WRITE => vec![Lent { at, len }],
            _ => Vec::new(),
        };
        self.hold(file);
        let uring = self.uring(ring);
        uring.next += 1;
        let op = uring.next;
        let twin = uring.operations.values().any(|other| other.sqe.user_data == sqe.user_data);
        assert!(!twin, "two operations are under way as {:#x}", sqe.user_data);
        let operation = Operation { sqe, file: Some(file), lent, stage: Stage::Woken, cancelled: false, begun: false };
        let events = operation.events();
        uring.operations.insert(op, operation);
        // What is not in the page cache, a worker has to fetch.
        let worker = if self.is_regular(file) { 512 } else { self.character.faults.worker };
        if self.strikes(worker) {
            self.operation(ring, op).stage = Stage::Working;
            self.give_to_worker(ring, op);
        } else if self.waits_first(&sqe) {
            self.arm(ring, op, events);
        } else {
            self.run(ring, op);
        }
        true
    }

    fn waits_first(&self, sqe: &Sqe) -> bool {
        let asked = matches!(sqe.opcode, abi::OP_RECV | abi::OP_SEND) && sqe.ioprio & abi::RECVSEND_POLL_FIRST != 0;
        asked && self.character.features.poll_first
    }

    pub(super) fn operation(&mut self, ring: FileId, op: u32) -> &mut Operation {
        self.uring(ring).operations.get_mut(&op).expect("an operation under way")
    }

    fn arm(&mut self, ring: FileId, op: u32, events: u32) {
        let operation = self.operation(ring, op);
        operation.stage = Stage::Armed(events);
        let file = operation.file.expect("it waits for a file");
        let watcher = Watcher::Operation(ring, op);
        if !self.file(file).watchers.contains(&watcher) {
            self.file(file).watchers.push(watcher);
        }
        let held = self.poll_file(file);
        self.uring_woken(ring, op, held);
    }

    /// The file of an armed operation was woken with that key.
    pub(crate) fn uring_woken(&mut self, ring: FileId, op: u32, key: u32) {
        let Some(operation) = self.uring(ring).operations.get_mut(&op) else { return };
        let Stage::Armed(events) = operation.stage else { return };
        if key & events != 0 {
            operation.stage = Stage::Woken;
            self.leave_work(ring, Work::Operation(op));
        }
    }

    /// Tries an operation in the guest's own time.
    pub(super) fn run(&mut self, ring: FileId, op: u32) {
        // A cancel may have been quicker.
        let Some(operation) = self.uring(ring).operations.get(&op) else { return };
        if operation.stage != Stage::Woken {
            return;
        }
        self.scribble(ring, op);
        if self.operation(ring, op).cancelled {
            return self.complete(ring, op, -libc::ECANCELED, 0);
        }
        // As often as Linux goes round for one of many (MULTISHOT_MAX_RETRY).
        for _ in 0..32 {
            match self.attempt(ring, op) {
                Attempt::Wait(events) => {
                    let refused = self
                        .operation(ring, op)
                        .file
                        .is_some_and(|file| self.character.features.nonblocking_refused && self.file(file).nonblocking);
                    let transfers = |op: &Operation| {
                        matches!(op.sqe.opcode, abi::OP_READ | abi::OP_WRITE | abi::OP_READV | abi::OP_WRITEV)
                    };
                    if refused && transfers(self.operation(ring, op)) {
                        return self.complete(ring, op, -libc::EAGAIN, 0);
                    }
                    return self.arm(ring, op, events);
                }
                Attempt::Done(result, flags) => {
                    let operation = self.operation(ring, op);
                    let goes_on = operation.is_multishot()
                        && match operation.sqe.opcode {
                            abi::OP_RECV => result > 0,
                            _ => result >= 0,
                        };
                    let user_data = operation.sqe.user_data;
                    let cqe = Cqe { user_data, res: result, flags: flags | abi::CQE_F_MORE };
                    if !goes_on || !self.post_more(ring, cqe) {
                        return self.complete(ring, op, result, flags);
                    }
                }
            }
        }
        self.leave_work(ring, Work::Operation(op));
    }

    /// A worker tries an operation; what comes of it is told in the guest's own time.
    pub(super) fn work_off(&mut self, ring: FileId, op: u32) {
        let operation = self.operation(ring, op);
        if operation.stage != Stage::Working {
            return;
        }
        if operation.is_multishot() || operation.sqe.flags & abi::SQE_BUFFER_SELECT != 0 {
            // A worker does not do these; it only brings them on their way late.
            operation.stage = Stage::Woken;
            return self.leave_work(ring, Work::Operation(op));
        }
        self.scribble(ring, op);
        match self.attempt(ring, op) {
            Attempt::Wait(events) => {
                if self.operation(ring, op).cancelled {
                    let result = -self.random.pick(&[libc::ECANCELED, libc::ECANCELED, libc::EINTR]);
                    self.finish_later(ring, op, result);
                } else {
                    self.arm(ring, op, events);
                }
            }
            Attempt::Done(result, _) => self.finish_later(ring, op, result),
        }
    }

    fn finish_later(&mut self, ring: FileId, op: u32, result: i32) {
        self.operation(ring, op).stage = Stage::Over;
        self.leave_work(ring, Work::Completion(op, result));
    }

    /// The memory is the kernel's until the completion: whatever lies in it is nobody's business.
    fn scribble(&mut self, ring: FileId, op: u32) {
        let scribble = self.character.faults.scribble;
        if !self.strikes(scribble) {
            return;
        }
        let operation = self.operation(ring, op);
        let mut lent = if operation.reads_into() { operation.lent.clone() } else { Vec::new() };
        let offered = self.uring(ring).group.as_ref().map_or(0, |group| group.offered());
        if offered > 0 {
            let place = self.random.below(offered.into()) as u16;
            lent.extend(self.uring(ring).group.as_ref().map(|group| group.any(place)));
        }
        for part in lent {
            if part.len > 0 {
                // SAFETY: the guest has lent it for writing.
                unsafe { part.at.write_bytes(JUNK, part.len) };
            }
        }
    }

    fn attempt(&mut self, ring: FileId, op: u32) -> Attempt {
        loop {
            match self.attempt_once(ring, op) {
                // Inside the ring a signal is not the guest's business.
                Attempt::Done(result, _) if result == -libc::EINTR => {}
                attempt => return attempt,
            }
        }
    }

    fn attempt_once(&mut self, ring: FileId, op: u32) -> Attempt {
        let operation = self.operation(ring, op);
        let (sqe, events) = (operation.sqe, operation.events());
        let file = operation.file.expect("checked when it was issued");
        let position = self.seek(file, &sqe);
        let result = match sqe.opcode {
            abi::OP_POLL_ADD => {
                return match self.poll_file(file) & events {
                    0 if matches!(self.file(file).kind, FileKind::Regular(_) | FileKind::Null) => {
                        Attempt::Done(-libc::EINVAL, 0)
                    }
                    0 => Attempt::Wait(events),
                    held => Attempt::Done(held as i32, 0),
                };
            }
            abi::OP_RECV if !self.is_socket(file) => -libc::ENOTSOCK,
            abi::OP_SEND if !self.is_socket(file) => -libc::ENOTSOCK,
            abi::OP_RECV if sqe.flags & abi::SQE_BUFFER_SELECT != 0 => {
                return self.receive_provided(ring, file, events);
            }
            abi::OP_RECV | abi::OP_READ | abi::OP_READV => {
                let lent = self.operation(ring, op).lent.clone();
                // SAFETY: the guest lends it until the completion.
                unsafe { self.read_file(file, &lent, false) }
            }
            abi::OP_SEND | abi::OP_WRITE | abi::OP_WRITEV => {
                let lent = self.operation(ring, op).lent.clone();
                // SAFETY: as above.
                let result = unsafe { self.write_file(file, &lent) };
                let raises = result == -libc::EPIPE && sqe.opcode == abi::OP_SEND;
                assert!(!raises || sqe.op_flags & libc::MSG_NOSIGNAL as u32 != 0, "a send raises SIGPIPE");
                result
            }
            abi::OP_ACCEPT => {
                let fd = self.accept(file);
                if fd >= 0 && sqe.addr != 0 {
                    // SAFETY: the guest lends both places until the completion.
                    unsafe { self.tell_peer(fd, sqe.addr as *mut _, sqe.off as *mut u32) };
                }
                fd
            }
            abi::OP_CONNECT if self.operation(ring, op).begun => match self.socket_of(file).map(|socket| &socket.state)
            {
                Some(Connection::Connecting) => -libc::EAGAIN,
                _ => -self.take_error(file),
            },
            abi::OP_CONNECT => {
                // SAFETY: the guest lends the address until the completion.
                let result = unsafe { self.connect(file, sqe.addr as *const _, sqe.off as u32) };
                if result != -libc::EINPROGRESS {
                    return Attempt::Done(result, 0);
                }
                self.operation(ring, op).begun = true;
                -libc::EAGAIN
            }
            other => unreachable!("opcode {other} is not submitted"),
        };
        if let (Some(position), FileKind::Regular(regular)) = (position, &mut self.file(file).kind) {
            regular.position = position;
        }
        if result == -libc::EAGAIN {
            return Attempt::Wait(events);
        }
        let more = match sqe.opcode {
            abi::OP_RECV if result >= 0 => self.nonempty(file),
            abi::OP_ACCEPT if result >= 0 => self.nonempty(file),
            _ => 0,
        };
        Attempt::Done(result, more)
    }

    /// Goes to where the guest wants to read or write a file, if that is not where it stands; `Some` is the way back.
    fn seek(&mut self, file: FileId, sqe: &Sqe) -> Option<usize> {
        let transfers = matches!(sqe.opcode, abi::OP_READ | abi::OP_WRITE | abi::OP_READV | abi::OP_WRITEV);
        match &mut self.file(file).kind {
            FileKind::Regular(regular) if transfers && sqe.off != u64::MAX => {
                Some(std::mem::replace(&mut regular.position, sqe.off as usize))
            }
            _ => None,
        }
    }

    fn has_more(&mut self, file: FileId) -> bool {
        match self.file(file).kind {
            FileKind::Socket(ref socket) => match socket.state {
                Connection::Listening { .. } => self.has_queued(file),
                Connection::Connected { receive, .. } => {
                    let flow = self.flow(receive);
                    // tcp_inq_hint: the end counts as something.
                    flow.arrived > 0 || (flow.wire == Wire::Inet && flow.done)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// The flag that says that more can be received at once.
    fn nonempty(&mut self, file: FileId) -> u32 {
        if self.character.features.nonempty && self.has_more(file) { abi::CQE_F_SOCK_NONEMPTY } else { 0 }
    }

    fn receive_provided(&mut self, ring: FileId, file: FileId, events: u32) -> Attempt {
        let Some((id, buffer)) = self.uring(ring).group.as_ref().and_then(|group| group.first()) else {
            return Attempt::Done(-libc::ENOBUFS, 0);
        };
        // SAFETY: the guest offers it until it is taken, and then until its completion.
        let result = unsafe { self.read_file(file, &[buffer], false) };
        match result {
            again if again == -libc::EAGAIN => Attempt::Wait(events),
            result if result < 0 => Attempt::Done(result, 0),
            0 => Attempt::Done(0, self.nonempty(file)),
            result => {
                self.uring(ring).group.as_mut().expect("just seen").take();
                let flags = abi::CQE_F_BUFFER | u32::from(id) << abi::CQE_BUFFER_SHIFT;
                Attempt::Done(result, flags | self.nonempty(file))
            }
        }
    }

    /// Ends an operation.
    pub(super) fn complete(&mut self, ring: FileId, op: u32, result: i32, flags: u32) {
        let Some(operation) = self.uring(ring).operations.remove(&op) else { return };
        if let Some(file) = operation.file {
            self.file(file).watchers.retain(|&it| it != Watcher::Operation(ring, op));
            self.let_go(file);
        }
        self.post(ring, Cqe { user_data: operation.sqe.user_data, res: result, flags });
    }

    /// Posts a completion, behind those that found no room.
    pub(super) fn post(&mut self, ring: FileId, cqe: Cqe) {
        self.note(|| format!("complete {:#x}: {} flags {:#x}", cqe.user_data, cqe.res, cqe.flags));
        let uring = self.uring(ring);
        if !uring.rings.are_mapped() {
            return;
        }
        if uring.overflow.is_empty() && uring.rings.has_room() {
            uring.rings.put(cqe);
        } else {
            uring.overflow.push_back(cqe);
            uring.rings.raise(abi::SQ_CQ_OVERFLOW);
        }
        self.wake(ring, (libc::POLLIN | libc::POLLRDNORM) as u32);
    }

    /// Posts one of many completions; without room the many end with it.
    fn post_more(&mut self, ring: FileId, cqe: Cqe) -> bool {
        let uring = self.uring(ring);
        let room = uring.overflow.is_empty() && uring.rings.are_mapped() && uring.rings.has_room();
        if room {
            self.post(ring, cqe);
        }
        room
    }
}

impl Uring {
    /// Moves completions that found no room into the ring.
    pub(super) fn flush(&mut self) {
        while self.rings.has_room() {
            let Some(cqe) = self.overflow.pop_front() else {
                return self.rings.lower(abi::SQ_CQ_OVERFLOW);
            };
            self.rings.put(cqe);
        }
        if self.overflow.is_empty() {
            self.rings.lower(abi::SQ_CQ_OVERFLOW);
        }
    }
}
