//! The two rings shared with the kernel, and the one system call that moves them.

use crate::sys::abi::{Cqe, EventsArg, Sqe, Timespec, UringParams, uring as abi};
use crate::sys::{Errno, Fd, Kernel, check, portable};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};

/// The flags that every kernel is asked for, newest first: each is dropped in turn when a kernel refuses the set, so
/// that an older one gets what it knows.
const WISHES: [u32; 4] = [
    abi::SETUP_NO_SQARRAY,
    // One task submits and reaps, and completions are worked off when it asks: no interrupts, warm caches.
    abi::SETUP_SINGLE_ISSUER | abi::SETUP_DEFER_TASKRUN,
    abi::SETUP_COOP_TASKRUN | abi::SETUP_TASKRUN_FLAG,
    // A bad submission must not hold back those behind it.
    abi::SETUP_SUBMIT_ALL,
];

/// Without these the kernel could lose completions, or read a submission's arguments after we have moved on.
const NEEDS: u32 =
    abi::FEAT_SINGLE_MMAP | abi::FEAT_NODROP | abi::FEAT_SUBMIT_STABLE | abi::FEAT_FAST_POLL | abi::FEAT_EXT_ARG;

pub(super) struct Ring {
    fd: Fd,
    /// What `enter` is given: the registered index where the kernel has that, else the descriptor.
    entry: Fd,
    enter_flags: u32,
    setup_flags: u32,
    map: Map,
    sqe_map: Map,
    sq_head: *const AtomicU32,
    sq_tail: *const AtomicU32,
    sq_flags: *const AtomicU32,
    cq_head: *const AtomicU32,
    cq_tail: *const AtomicU32,
    sqes: *mut Sqe,
    cqes: *const Cqe,
    sq_mask: u32,
    sq_entries: u32,
    cq_mask: u32,
    /// Our own copies of what we write: the tail of submissions and the head of completions.
    tail: u32,
    head: u32,
    /// Submissions that found the ring full; they go first when there is room.
    overflow: VecDeque<Sqe>,
    enters: u64,
}

/// `struct io_uring_rsrc_update`, as the registration of rings uses it.
#[repr(C)]
struct RingUpdate {
    offset: u32,
    resv: u32,
    data: u64,
}

/// A mapping, as address and length.
#[derive(Clone, Copy)]
struct Map {
    addr: *mut u8,
    len: usize,
}

impl Ring {
    pub(super) fn new<K: Kernel>(kernel: &K, sq_entries: u32, cq_entries: u32) -> Result<Ring, Errno> {
        let (fd, params) = setup(kernel, sq_entries, cq_entries)?;
        match Ring::map(kernel, fd, &params) {
            Ok(ring) => Ok(ring),
            Err(error) => {
                kernel.close(fd);
                Err(error)
            }
        }
    }

    fn map<K: Kernel>(kernel: &K, fd: Fd, params: &UringParams) -> Result<Ring, Errno> {
        if params.features & NEEDS != NEEDS {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        let (sq, cq) = (&params.sq_off, &params.cq_off);
        let sq_len = sq.array as usize + params.sq_entries as usize * size_of::<u32>();
        let cq_len = cq.cqes as usize + params.cq_entries as usize * size_of::<Cqe>();
        let map = Map::new(kernel, fd, abi::OFF_SQ_RING, sq_len.max(cq_len))?;
        let sqe_map = match Map::new(kernel, fd, abi::OFF_SQES, params.sq_entries as usize * size_of::<Sqe>()) {
            Ok(sqe_map) => sqe_map,
            Err(error) => {
                map.unmap(kernel);
                return Err(error);
            }
        };
        let at = |offset: u32| map.addr.wrapping_add(offset as usize);
        // SAFETY: the kernel laid these words out within the mapping, aligned, and both sides treat them atomically.
        let word = |offset: u32| unsafe { (*at(offset).cast::<AtomicU32>()).load(Ordering::Relaxed) };
        if params.flags & abi::SETUP_NO_SQARRAY == 0 {
            let array = at(sq.array).cast::<u32>();
            for slot in 0..params.sq_entries {
                // SAFETY: the array has an entry for each submission; the kernel reads it only when entered.
                unsafe { array.add(slot as usize).write(slot) };
            }
        }
        let no_iowait = if params.features & abi::FEAT_NO_IOWAIT != 0 { abi::ENTER_NO_IOWAIT } else { 0 };
        let mut ring = Ring {
            fd,
            entry: fd,
            enter_flags: abi::ENTER_GETEVENTS | abi::ENTER_EXT_ARG | no_iowait,
            setup_flags: params.flags,
            map,
            sqe_map,
            sq_head: at(sq.head).cast(),
            sq_tail: at(sq.tail).cast(),
            sq_flags: at(sq.flags).cast(),
            cq_head: at(cq.head).cast(),
            cq_tail: at(cq.tail).cast(),
            sqes: sqe_map.addr.cast(),
            cqes: at(cq.cqes).cast(),
            sq_mask: word(sq.ring_mask),
            sq_entries: params.sq_entries,
            cq_mask: word(cq.ring_mask),
            tail: word(sq.tail),
            head: word(cq.head),
            overflow: VecDeque::new(),
            enters: 0,
        };
        ring.register_fd(kernel);
        Ok(ring)
    }

    /// Registers the ring with its task, which spares each enter the look-up of the descriptor. Some vendor kernels
    /// accept it before 6.0 and hang at the end, so it waits for a flag that came with 6.1.
    fn register_fd<K: Kernel>(&mut self, kernel: &K) {
        if self.setup_flags & abi::SETUP_DEFER_TASKRUN == 0 {
            return;
        }
        let mut update = RingUpdate { offset: u32::MAX, resv: 0, data: self.fd as u64 };
        // SAFETY: the kernel reads and fills in one update, which outlives the call.
        let result = unsafe { kernel.uring_register(self.fd, abi::REGISTER_RING_FDS, (&raw mut update).cast(), 1) };
        if result == 1 {
            self.entry = update.offset as Fd;
            self.enter_flags |= abi::ENTER_REGISTERED_RING;
        }
    }

    /// Registers something with the ring, or takes it back.
    ///
    /// # Safety
    ///
    /// As for the system call with that `opcode`.
    pub(super) unsafe fn register<K: Kernel>(&self, kernel: &K, opcode: u32, arg: *mut c_void, count: u32) -> i32 {
        // SAFETY: forwarded from the caller.
        unsafe { kernel.uring_register(self.fd, opcode, arg, count) }
    }

    pub(super) fn enters(&self) -> u64 {
        self.enters
    }

    pub(super) fn fd(&self) -> Fd {
        self.fd
    }

    /// Whether the kernel is one that works off completions when it is asked to, that is 5.19 or later.
    pub(super) fn is_cooperative(&self) -> bool {
        self.setup_flags & abi::SETUP_COOP_TASKRUN != 0
    }

    pub(super) fn shut<K: Kernel>(&mut self, kernel: &K) {
        if self.entry != self.fd {
            // The registration is a reference of its own: without this the ring would live as long as its task.
            let mut update = RingUpdate { offset: self.entry as u32, resv: 0, data: 0 };
            // SAFETY: the kernel reads one update, which outlives the call.
            unsafe { kernel.uring_register(self.fd, abi::UNREGISTER_RING_FDS, (&raw mut update).cast(), 1) };
        }
        self.sqe_map.unmap(kernel);
        self.map.unmap(kernel);
        kernel.close(self.fd);
    }

    /// Queues a submission; it reaches the kernel with the next enter, behind all that were queued before it.
    #[inline(always)]
    pub(super) fn push<K: Kernel>(&mut self, kernel: &K, sqe: Sqe) {
        if self.overflow.is_empty() && (self.has_room() || self.flush(kernel)) {
            self.write(sqe);
        } else {
            self.overflow.push_back(sqe);
        }
    }

    /// Whether anything waits to be submitted.
    pub(super) fn unsubmitted(&self) -> u32 {
        // SAFETY: see `map`.
        self.tail.wrapping_sub(unsafe { (*self.sq_head).load(Ordering::Acquire) })
    }

    /// Whether the kernel may hold completions back until it is entered.
    pub(super) fn must_enter(&self) -> bool {
        self.holds_back() || self.setup_flags & abi::SETUP_TASKRUN_FLAG == 0
    }

    /// Whether the kernel says that it holds completions back until it is entered.
    pub(super) fn holds_back(&self) -> bool {
        // SAFETY: see `map`.
        let flags = unsafe { (*self.sq_flags).load(Ordering::Acquire) };
        flags & (abi::SQ_CQ_OVERFLOW | abi::SQ_TASKRUN) != 0
    }

    /// Whether everything is submitted and nothing lies here to be reaped or to be asked for.
    pub(super) fn is_settled(&self) -> bool {
        !self.holds_back() && self.unsubmitted() == 0 && !self.has_overflow() && !self.has_completions()
    }

    /// Takes the next completion.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<Cqe> {
        // SAFETY: see `map`; acquiring the tail makes the entries before it visible, and they stay ours until the
        // head passes them.
        unsafe {
            if self.head == (*self.cq_tail).load(Ordering::Acquire) {
                return None;
            }
            // Field by field: a copy of the whole would go through memory.
            let cqe = self.cqes.add((self.head & self.cq_mask) as usize);
            let cqe = Cqe { user_data: (*cqe).user_data, res: (*cqe).res, flags: (*cqe).flags };
            self.head = self.head.wrapping_add(1);
            (*self.cq_head).store(self.head, Ordering::Release);
            Some(cqe)
        }
    }

    /// What the completion that is so many places off carries.
    #[inline(always)]
    pub(super) fn ahead(&self, places: usize) -> Option<u64> {
        // SAFETY: as in `pop`.
        unsafe {
            let tail = (*self.cq_tail).load(Ordering::Acquire);
            let at = self.head.wrapping_add(places as u32);
            (places < tail.wrapping_sub(self.head) as usize)
                .then(|| (*self.cqes.add((at & self.cq_mask) as usize)).user_data)
        }
    }

    pub(super) fn has_completions(&self) -> bool {
        // SAFETY: see `map`.
        self.head != unsafe { (*self.cq_tail).load(Ordering::Acquire) }
    }

    /// Submits everything and waits for one completion, up to `timeout` nanoseconds: the one system call of a turn.
    pub(super) fn enter<K: Kernel>(&mut self, kernel: &K, timeout: Option<u64>) -> i32 {
        self.enters += 1;
        self.drain_overflow();
        // What finds no room even now is to reach the kernel before anybody waits for what comes of it.
        let timeout = if self.overflow.is_empty() { timeout } else { Some(0) };
        let mut time = Timespec::default();
        let mut arg = EventsArg::default();
        let wait = match timeout {
            Some(0) => 0,
            None => 1,
            Some(nanos) => {
                time = Timespec::from_nanos(nanos);
                arg.timeout = (&raw const time) as u64;
                1
            }
        };
        // SAFETY: the rings are mapped, every submission's pointers are lent until its completion, and `arg` with what
        // it points to outlives the call.
        let result = unsafe { kernel.uring_enter(self.entry, self.unsubmitted(), wait, self.enter_flags, Some(&arg)) };
        // Read after the call: `arg` held its address as a number, of which the compiler knows nothing.
        std::hint::black_box(&time);
        self.drain_overflow();
        result
    }

    /// Hands the kernel what is queued without reaping, to make room. `false` when there is none even so.
    #[cold]
    fn flush<K: Kernel>(&mut self, kernel: &K) -> bool {
        self.enters += 1;
        let flags = self.enter_flags & !abi::ENTER_GETEVENTS;
        let arg = EventsArg::default();
        // SAFETY: as in `enter`.
        unsafe { kernel.uring_enter(self.entry, self.unsubmitted(), 0, flags, Some(&arg)) };
        self.has_room()
    }

    fn drain_overflow(&mut self) {
        while self.has_room() {
            let Some(sqe) = self.overflow.pop_front() else { return };
            self.write(sqe);
        }
    }

    fn has_room(&self) -> bool {
        self.unsubmitted() < self.sq_entries
    }

    fn write(&mut self, sqe: Sqe) {
        // SAFETY: there is room, so the kernel is done with this slot; releasing the tail publishes it.
        unsafe {
            self.sqes.add((self.tail & self.sq_mask) as usize).write(sqe);
            self.tail = self.tail.wrapping_add(1);
            (*self.sq_tail).store(self.tail, Ordering::Release);
        }
    }

    pub(super) fn has_overflow(&self) -> bool {
        !self.overflow.is_empty()
    }
}

impl Map {
    fn new<K: Kernel>(kernel: &K, fd: Fd, offset: u64, len: usize) -> Result<Map, Errno> {
        // SAFETY: a fresh mapping, of the ring's own length.
        let addr = unsafe {
            kernel.mmap(len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | portable::MAP_POPULATE, fd, offset)
        };
        if (-4095..0).contains(&addr) {
            return Err(Errno(-addr as i32));
        }
        let map = Map { addr: addr as *mut u8, len };
        // A forked child must not share the rings: it would submit in the parent's name.
        // SAFETY: the mapping is ours.
        unsafe { kernel.madvise(map.addr, len, portable::MADV_DONTFORK) };
        Ok(map)
    }

    fn unmap<K: Kernel>(self, kernel: &K) {
        // SAFETY: the mapping is ours, and the ring that used it is being shut.
        unsafe { kernel.munmap(self.addr, self.len) };
    }
}

fn setup<K: Kernel>(kernel: &K, sq_entries: u32, cq_entries: u32) -> Result<(Fd, UringParams), Errno> {
    let mut wishes = &WISHES[..];
    loop {
        let flags = wishes.iter().fold(abi::SETUP_CLAMP | abi::SETUP_CQSIZE, |flags, wish| flags | wish);
        let mut params = UringParams { flags, cq_entries, ..UringParams::default() };
        match check(kernel.uring_setup(sq_entries, &mut params)) {
            Ok(fd) => return Ok((fd, params)),
            Err(Errno(libc::EINVAL)) if !wishes.is_empty() => wishes = &wishes[1..],
            Err(error) => return Err(error),
        }
    }
}

/// Which of the opcodes that nyario submits this kernel has.
pub(super) fn probe<K: Kernel>(kernel: &K, ring: Fd, opcodes: &[u8]) -> Result<(), Errno> {
    use crate::sys::abi::{Probe, ProbeOp};
    let mut probe = Probe { last_op: 0, ops_len: 0, resv: 0, resv2: [0; 3], ops: [ProbeOp::default(); 64] };
    let count = probe.ops.len() as u32;
    // SAFETY: the probe has room for that many entries and outlives the call.
    check(unsafe { kernel.uring_register(ring, abi::REGISTER_PROBE, (&raw mut probe).cast(), count) })?;
    let known = |opcode: u8| probe.ops.get(opcode as usize).is_some_and(|op| op.flags & 1 != 0);
    if opcodes.iter().all(|&opcode| known(opcode)) { Ok(()) } else { Err(Errno(libc::EOPNOTSUPP)) }
}
