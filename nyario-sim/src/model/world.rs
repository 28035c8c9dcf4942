//! The state of the model: files, flows, the clock, and what is yet to happen.

use super::config::Character;
use super::file::{Descriptors, File, FileId, FileKind, FlowId, Watcher};
use super::flow::Flow;
use super::memory::Memory;
use super::socket::Name;
use crate::random::Random;
use nyario_core::sys::Fd;
use std::cell::RefCell;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;

/// What happened, line by line. It outlives a failure in the midst of the world.
pub type Journal = Rc<RefCell<Vec<String>>>;

/// All poll bits at once: the key of a wake-up that names none.
pub(crate) const ANY: u32 = u32::MAX;

/// Something that happens at its time, whether or not anybody waits for it.
pub(crate) enum Event {
    /// So many bytes of a flow reach its reader.
    Arrive(FlowId, usize),
    /// The end of a flow reaches its reader.
    End(FlowId),
    /// A connection breaks, with that error.
    Reset(FileId, i32),
    /// Whoever watches the file is told, with that key.
    Wake(FileId, u32),
    /// A connection attempt reaches the listener, for the nth time.
    Connect(FileId, u32),
    /// A worker of a ring gets round to an operation.
    Worker(FileId, u32),
    /// A timer's time comes.
    Timer(FileId),
    /// Something outside the kernel: another thread acts.
    Outside(Box<dyn FnOnce()>),
}

struct Due {
    when: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.order == other.order
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    // Reversed: the heap's greatest is the earliest.
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        (other.when, other.order).cmp(&(self.when, self.order))
    }
}

pub(crate) struct World {
    pub(crate) character: Character,
    pub(crate) random: Random,
    pub(crate) now: u64,
    events: BinaryHeap<Due>,
    scheduled: u64,
    files: Vec<Option<File>>,
    flows: Vec<Flow>,
    pub(crate) descriptors: Descriptors,
    pub(crate) names: BTreeMap<Name, FileId>,
    pub(crate) memory: Memory,
    /// System calls so far.
    pub(crate) calls: u64,
    pub(crate) journal: Option<Journal>,
    /// Asked when a wait finds nothing that is yet to happen.
    pub(crate) idle: Option<Rc<dyn Fn(bool)>>,
    /// Rings that were registered with their task, by index.
    pub(crate) registered: Vec<Option<FileId>>,
    /// Where the rings' memory is mapped.
    pub(crate) ring_maps: Vec<(usize, FileId)>,
    /// Rings with work that waits for the next entry into the kernel, whatever that is for.
    pub(crate) eager_rings: Vec<FileId>,
    /// The descriptors that the last look at an epoll or a kqueue told of.
    pub(crate) reported: Vec<Fd>,
}

/// No clock begins at 0.
const EPOCH: u64 = 1_000_000_000;

impl World {
    pub(crate) fn new(seed: u64, character: Character) -> World {
        World {
            character,
            random: Random::new(seed),
            now: EPOCH,
            events: BinaryHeap::new(),
            scheduled: 0,
            files: Vec::new(),
            flows: Vec::new(),
            descriptors: Descriptors::new(character.descriptors),
            names: BTreeMap::new(),
            memory: Memory::default(),
            calls: 0,
            journal: None,
            idle: None,
            registered: Vec::new(),
            ring_maps: Vec::new(),
            eager_rings: Vec::new(),
            reported: Vec::new(),
        }
    }

    /// Whether an adversity that is this frequent strikes now.
    #[inline]
    pub(crate) fn strikes(&mut self, of_1024: u32) -> bool {
        self.random.chance(of_1024)
    }

    /// Writes a line into the journal, if one is kept.
    #[inline]
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(journal) = &self.journal {
            journal.borrow_mut().push(format!("{:>12}  {}", self.now - EPOCH, line()));
        }
    }

    pub(crate) fn schedule(&mut self, delay: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Due { when: self.now + delay, order: self.scheduled, event });
    }

    /// A delay as networks and workers have them: short as a rule, long at times.
    pub(crate) fn delay(&mut self) -> u64 {
        let scale = self.random.pick(&[1_000, 10_000, 10_000, 100_000, 1_000_000]);
        1 + self.random.below(scale)
    }

    /// Nothing is yet to happen any more.
    pub(crate) fn forget_events(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn next_event(&self) -> Option<u64> {
        self.events.peek().map(|due| due.when)
    }

    /// Whether nothing is to happen but that timers come to their time.
    pub(crate) fn is_quiet(&self) -> bool {
        self.events.iter().all(|due| matches!(due.event, Event::Timer(_)))
    }

    /// Takes the next event that is due.
    #[inline]
    pub(crate) fn due(&mut self) -> Option<Event> {
        if self.events.peek()?.when > self.now {
            return None;
        }
        self.events.pop().map(|due| due.event)
    }

    /// Lets an event of the kernel's own happen.
    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(flow, count) => self.arrive(flow, count),
            Event::End(flow) => self.end_arrives(flow),
            Event::Reset(file, error) => self.reset(file, error),
            Event::Wake(file, key) => self.wake(file, key),
            Event::Timer(file) => self.wake(file, libc::POLLIN as u32),
            Event::Connect(file, tries) => self.connect_arrives(file, tries),
            Event::Worker(ring, op) => self.uring_worker(ring, op),
            Event::Outside(_) => unreachable!("needs the world released"),
        }
    }

    pub(crate) fn file(&mut self, id: FileId) -> &mut File {
        self.files[id.0 as usize].as_mut().expect("a file that is held is open")
    }

    pub(crate) fn is_open(&self, id: FileId) -> bool {
        self.files[id.0 as usize].is_some()
    }

    pub(crate) fn flow(&mut self, id: FlowId) -> &mut Flow {
        &mut self.flows[id.0 as usize]
    }

    pub(crate) fn add_flow(&mut self, flow: Flow) -> FlowId {
        self.flows.push(flow);
        FlowId(self.flows.len() as u32 - 1)
    }

    /// A number that no open file has.
    pub(crate) fn new_inode(&mut self) -> u32 {
        self.files.push(None);
        self.files.len() as u32 - 1
    }

    /// A file that nobody holds yet.
    pub(crate) fn add_file(&mut self, kind: FileKind, nonblocking: bool) -> FileId {
        self.files.push(Some(File { kind, holders: 0, nonblocking, nowait: true, watchers: Vec::new() }));
        FileId(self.files.len() as u32 - 1)
    }

    /// Gives a file a descriptor.
    pub(crate) fn describe(&mut self, file: FileId) -> i32 {
        let Some(fd) = self.descriptors.vacancy() else { return -libc::EMFILE };
        self.descriptors.set(fd, file);
        self.file(file).holders += 1;
        fd
    }

    /// Makes a file and gives it a descriptor.
    pub(crate) fn install(&mut self, kind: FileKind, nonblocking: bool) -> i32 {
        if self.descriptors.vacancy().is_none() {
            return -libc::EMFILE;
        }
        let file = self.add_file(kind, nonblocking);
        self.describe(file)
    }

    pub(crate) fn hold(&mut self, file: FileId) {
        self.file(file).holders += 1;
    }

    /// Lets go of a file; the last to do so closes it.
    pub(crate) fn let_go(&mut self, id: FileId) {
        let file = self.file(id);
        file.holders -= 1;
        if file.holders > 0 {
            return;
        }
        for watcher in std::mem::take(&mut self.file(id).watchers) {
            if let Watcher::Epoll(epoll, place) = watcher
                && let FileKind::Epoll(epoll) = &mut self.file(epoll).kind
            {
                epoll.forget(place);
            }
            if let Watcher::Kqueue(queue, place) = watcher
                && let FileKind::Kqueue(queue) = &mut self.file(queue).kind
            {
                queue.forget(place);
            }
        }
        let file = self.files[id.0 as usize].take().expect("held until now");
        match file.kind {
            FileKind::Socket(socket) => self.release_socket(id, socket),
            FileKind::Datagram(datagram) => self.release_datagram(datagram),
            FileKind::PipeReader(flow) => {
                self.flow(flow).deaf = true;
                self.flow(flow).reader = None;
                self.wake_writer(flow, ANY);
            }
            FileKind::PipeWriter(flow) => {
                self.flow(flow).writer = None;
                self.flow(flow).end = super::flow::End::Arrived;
                self.wake_reader(flow, libc::POLLHUP as u32);
            }
            FileKind::Epoll(epoll) => {
                let watched: Vec<_> = epoll.watched().collect();
                for (place, file) in watched {
                    self.file(file).watchers.retain(|&it| it != Watcher::Epoll(id, place));
                }
            }
            FileKind::Kqueue(queue) => {
                let watched: Vec<_> = queue.watched().collect();
                for (place, file) in watched {
                    self.file(file).watchers.retain(|&it| it != Watcher::Kqueue(id, place));
                }
            }
            FileKind::Uring(uring) => self.release_uring(id, *uring),
            FileKind::Event(_) | FileKind::Timer(_) | FileKind::Regular(..) | FileKind::Null => {}
        }
    }

    pub(crate) fn close(&mut self, fd: Fd) -> i32 {
        let Some(file) = self.descriptors.take(fd) else { return -libc::EBADF };
        self.note(|| format!("close({fd})"));
        self.kqueue_closes(fd, file);
        self.let_go(file);
        0
    }

    /// Tells whoever watches a file that its readiness has changed.
    pub(crate) fn wake(&mut self, id: FileId, key: u32) {
        if !self.is_open(id) {
            return;
        }
        for at in 0.. {
            let Some(&watcher) = self.file(id).watchers.get(at) else { return };
            match watcher {
                Watcher::Epoll(epoll, place) => {
                    let FileKind::Epoll(it) = &mut self.file(epoll).kind else { unreachable!("watches as an epoll") };
                    if it.woken(place, key) {
                        self.wake(epoll, libc::POLLIN as u32);
                    }
                }
                Watcher::Kqueue(queue, place) => self.kqueue_woken(queue, place, key),
                Watcher::Operation(ring, op) => self.uring_woken(ring, op, key),
            }
        }
    }

    pub(crate) fn wake_reader(&mut self, flow: FlowId, key: u32) {
        if let Some(reader) = self.flow(flow).reader {
            self.wake(reader, key);
        }
    }

    pub(crate) fn wake_writer(&mut self, flow: FlowId, key: u32) {
        if let Some(writer) = self.flow(flow).writer {
            self.wake(writer, key);
        }
    }

    /// What a poll of the file says.
    pub(crate) fn poll_file(&mut self, id: FileId) -> u32 {
        const READ: i16 = libc::POLLIN | libc::POLLRDNORM;
        const WRITE: i16 = libc::POLLOUT | libc::POLLWRNORM;
        let bits = match &self.file(id).kind {
            FileKind::Socket(_) => return self.poll_socket(id),
            FileKind::Datagram(_) => return self.poll_datagram(id),
            FileKind::Event(count) => {
                let readable = if *count > 0 { libc::POLLIN } else { 0 };
                readable | if *count < u64::MAX - 1 { libc::POLLOUT } else { 0 }
            }
            &FileKind::Timer(when) => match when != 0 && when <= self.now {
                true => libc::POLLIN,
                false => 0,
            },
            FileKind::Epoll(epoll) => {
                if epoll.has_ready() {
                    READ
                } else {
                    0
                }
            }
            FileKind::Kqueue(queue) => {
                if queue.has_active() {
                    READ
                } else {
                    0
                }
            }
            FileKind::Uring(_) => return self.poll_uring(id),
            FileKind::Regular(..) | FileKind::Null => READ | WRITE,
            &FileKind::PipeReader(flow) => {
                let flow = self.flow(flow);
                let readable = if flow.arrived > 0 { READ } else { 0 };
                readable | if flow.writer.is_none() { libc::POLLHUP } else { 0 }
            }
            &FileKind::PipeWriter(flow) => {
                let flow = self.flow(flow);
                let writable = if flow.is_writable() { WRITE } else { 0 };
                writable | if flow.reader.is_none() { libc::POLLERR } else { 0 }
            }
        };
        bits as u16 as u32
    }

    pub(crate) fn poll(&mut self, fds: &mut [libc::pollfd]) -> i32 {
        let mut found = 0;
        for entry in fds {
            let held = match self.descriptors.get(entry.fd) {
                _ if entry.fd < 0 => 0,
                None => libc::POLLNVAL,
                Some(file) => self.poll_file(file) as i16 & (entry.events | libc::POLLERR | libc::POLLHUP),
            };
            entry.revents = held;
            found += i32::from(held != 0);
        }
        found
    }

    pub(crate) fn is_pipe(&mut self, file: FileId) -> bool {
        matches!(self.file(file).kind, FileKind::PipeWriter(_))
    }

    /// Whether the file knows `RWF_NOWAIT`.
    pub(crate) fn knows_nowait(&mut self, file: FileId) -> bool {
        self.character.features.nowait_streams && self.file(file).nowait
    }

    pub(crate) fn is_regular(&mut self, file: FileId) -> bool {
        matches!(self.file(file).kind, FileKind::Regular(_))
    }

    /// Descriptors that are open, in order.
    pub(crate) fn open_descriptors(&self) -> Vec<Fd> {
        self.descriptors.open().map(|(fd, _)| fd).collect()
    }
}
