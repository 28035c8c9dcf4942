//! io_uring(7): rings in the guest's memory, operations that complete when the seed says so.
//!
//! ```text
//!   enter --> submit --> issue --+--> done: a completion
//!                                +--> armed: a poll of its file --> woken --> work --> done, or armed again
//!                                '--> with a worker, for a while --> work --> done
//! ```
//!
//! Work is what Linux calls task work: with `DEFER_TASKRUN` it is done when the ring is entered for events, else on the
//! next entry into the kernel, whatever that is for.

mod buffers;
mod cancel;
mod enter;
mod operation;
mod rings;

use super::file::{FileId, FileKind, Watcher};
use super::world::{Event, World};
use buffers::Group;
use nyario_core::sys::Fd;
use nyario_core::sys::abi::{Cqe, Probe, ProbeOp, UringParams, uring as abi};
use operation::Operation;
use rings::Rings;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;

pub(crate) struct Uring {
    flags: u32,
    rings: Rings,
    /// Completions that found the ring full (`FEAT_NODROP`).
    overflow: VecDeque<Cqe>,
    operations: BTreeMap<u32, Operation>,
    next: u32,
    work: VecDeque<Work>,
    group: Option<Group>,
}

/// What is left to be done in the guest's own time.
#[derive(Clone, Copy)]
enum Work {
    Operation(u32),
    Completion(u32, i32),
}

/// `struct io_uring_rsrc_update`, as the registration of rings uses it.
#[repr(C)]
struct RingUpdate {
    offset: u32,
    resv: u32,
    data: u64,
}

const ENTRIES_MAX: u32 = 32_768;

impl World {
    fn uring(&mut self, ring: FileId) -> &mut Uring {
        match &mut self.file(ring).kind {
            FileKind::Uring(uring) => uring,
            _ => unreachable!("asked for by its kind"),
        }
    }

    /// The ring behind a descriptor.
    fn ring_at(&mut self, fd: Fd) -> Result<FileId, i32> {
        let file = self.descriptors.get(fd).ok_or(-libc::EBADF)?;
        if matches!(self.file(file).kind, FileKind::Uring(_)) { Ok(file) } else { Err(-libc::EOPNOTSUPP) }
    }

    pub(crate) fn uring_setup(&mut self, entries: u32, params: &mut UringParams) -> i32 {
        let features = self.character.features;
        let flags = params.flags;
        let has = |flag| flags & flag != 0;
        let deferred_wrongly = has(abi::SETUP_DEFER_TASKRUN) && !has(abi::SETUP_SINGLE_ISSUER);
        let flagged_wrongly = has(abi::SETUP_TASKRUN_FLAG) && !has(abi::SETUP_COOP_TASKRUN | abi::SETUP_DEFER_TASKRUN);
        if flags & !features.setup != 0 || deferred_wrongly || flagged_wrongly || entries == 0 {
            return -libc::EINVAL;
        }
        if entries > ENTRIES_MAX && !has(abi::SETUP_CLAMP) {
            return -libc::EINVAL;
        }
        let submissions = entries.min(ENTRIES_MAX).next_power_of_two();
        let completions = if has(abi::SETUP_CQSIZE) { params.cq_entries.next_power_of_two() } else { 2 * submissions };
        if completions < submissions {
            return -libc::EINVAL;
        }
        let rings = Rings::new(submissions, completions, !has(abi::SETUP_NO_SQARRAY));
        rings.describe(params);
        params.features = features.features;
        let uring = Uring {
            flags,
            rings,
            overflow: VecDeque::new(),
            operations: BTreeMap::new(),
            next: 0,
            work: VecDeque::new(),
            group: None,
        };
        self.install(FileKind::Uring(Box::new(uring)), false)
    }

    pub(crate) fn uring_map(&mut self, fd: Fd, len: usize, offset: u64) -> isize {
        let ring = match self.ring_at(fd) {
            Ok(ring) => ring,
            Err(error) => return error as isize,
        };
        let addr = self.memory.map(len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        if !(-4095..0).contains(&addr) {
            self.uring(ring).rings.mapped(offset, addr as *mut u8, len);
            self.ring_maps.push((addr as usize, ring));
        }
        addr
    }

    /// A mapping goes; if it was a ring's, the ring must not touch it any more.
    pub(crate) fn uring_unmapped(&mut self, addr: *mut u8) {
        if let Some(at) = self.ring_maps.iter().position(|&(mapped, _)| mapped == addr as usize) {
            let (_, ring) = self.ring_maps.swap_remove(at);
            if self.is_open(ring) {
                self.uring(ring).rings.unmapped(addr);
            }
        }
    }

    /// # Safety
    ///
    /// As io_uring_register(2).
    pub(crate) unsafe fn uring_register(&mut self, fd: Fd, opcode: u32, arg: *mut c_void, count: u32) -> i32 {
        let ring = match self.ring_at(fd) {
            Ok(ring) => ring,
            Err(error) => return error,
        };
        let features = self.character.features;
        match opcode {
            abi::REGISTER_PROBE => {
                // SAFETY: the caller's probe has room for `count` entries behind its head.
                unsafe {
                    let probe = arg.cast::<Probe>();
                    for op in 0..count.min(64) {
                        let flags = (features.opcodes >> op & 1) as u16;
                        (*probe).ops[op as usize] = ProbeOp { op: op as u8, flags, ..ProbeOp::default() };
                    }
                    (*probe).last_op = 63;
                    (*probe).ops_len = count.min(64) as u8;
                }
                0
            }
            abi::REGISTER_RING_FDS if features.registered_rings => {
                self.registered.push(Some(ring));
                self.hold(ring);
                // SAFETY: the caller's one update.
                unsafe { (*arg.cast::<RingUpdate>()).offset = self.registered.len() as u32 - 1 };
                1
            }
            abi::UNREGISTER_RING_FDS if features.registered_rings => {
                // SAFETY: as above.
                let place = unsafe { (*arg.cast::<RingUpdate>()).offset } as usize;
                match self.registered.get_mut(place).and_then(Option::take) {
                    Some(ring) => self.let_go(ring),
                    None => return -libc::EINVAL,
                }
                1
            }
            abi::REGISTER_PBUF_RING if features.buffer_rings => {
                // SAFETY: the caller's one registration.
                let group = unsafe { Group::new(arg) };
                let uring = self.uring(ring);
                if uring.group.is_some() {
                    return -libc::EEXIST;
                }
                match group {
                    Some(group) => uring.group = Some(group),
                    None => return -libc::EINVAL,
                }
                0
            }
            abi::UNREGISTER_PBUF_RING if features.buffer_rings => match self.uring(ring).group.take() {
                Some(_) => 0,
                None => -libc::EINVAL,
            },
            _ => -libc::EINVAL,
        }
    }

    pub(crate) fn poll_uring(&mut self, ring: FileId) -> u32 {
        let uring = self.uring(ring);
        let deferred = uring.flags & abi::SETUP_DEFER_TASKRUN != 0 && !uring.work.is_empty();
        let news = deferred || uring.rings.completions() > 0 || !uring.overflow.is_empty();
        if news { (libc::POLLIN | libc::POLLRDNORM) as u32 } else { 0 }
    }

    /// The last holder of a ring has let go.
    pub(crate) fn release_uring(&mut self, ring: FileId, uring: Uring) {
        if let Some(op) = uring.operations.values().find(|op| op.lends()) {
            panic!("a ring is closed while operation {:#x} holds memory", op.sqe.user_data);
        }
        for (number, op) in uring.operations {
            if let Some(file) = op.file {
                self.file(file).watchers.retain(|&it| it != Watcher::Operation(ring, number));
                self.let_go(file);
            }
        }
    }

    /// Leaves something to be done in the guest's own time.
    fn leave_work(&mut self, ring: FileId, work: Work) {
        let uring = self.uring(ring);
        uring.work.push_back(work);
        if uring.flags & abi::SETUP_TASKRUN_FLAG != 0 {
            uring.rings.raise(abi::SQ_TASKRUN);
        }
        if uring.flags & abi::SETUP_DEFER_TASKRUN == 0 {
            self.eager_rings.push(ring);
        }
        self.wake(ring, (libc::POLLIN | libc::POLLRDNORM) as u32);
    }

    /// Does what is left to be done for rings that do not wait to be entered for it.
    pub(crate) fn do_eager_work(&mut self) {
        while let Some(ring) = self.eager_rings.pop() {
            if self.is_open(ring) {
                self.do_work(ring);
            }
        }
    }

    fn do_work(&mut self, ring: FileId) {
        let uring = self.uring(ring);
        uring.rings.lower(abi::SQ_TASKRUN);
        // What is left anew meanwhile waits for the next time, lest one that is refused again and again is all there is.
        let mut work = std::mem::take(&mut uring.work);
        if work.len() > 1 && self.random.chance(256) {
            let (one, other) = (self.random.index(work.len()), self.random.index(work.len()));
            work.swap(one, other);
        }
        for work in work {
            match work {
                Work::Operation(op) => self.run(ring, op),
                Work::Completion(op, result) => self.complete(ring, op, result, 0),
            }
        }
    }

    /// A worker gets round to an operation.
    pub(crate) fn uring_worker(&mut self, ring: FileId, op: u32) {
        if self.is_open(ring) && self.uring(ring).operations.contains_key(&op) {
            self.work_off(ring, op);
        }
    }

    fn give_to_worker(&mut self, ring: FileId, op: u32) {
        let delay = self.delay();
        self.schedule(delay, Event::Worker(ring, op));
    }
}
