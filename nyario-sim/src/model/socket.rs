//! Stream sockets: listening, connecting, accepting, breaking.

use super::file::{FileId, FileKind, FlowId};
use super::flow::{End, Flow, Wire};
use super::world::{ANY, Event, World};
use nyario_core::sys::Fd;
use std::collections::VecDeque;

/// What a socket can be bound to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Name {
    Port(u16),
    Path(Vec<u8>),
}

pub(crate) struct Socket {
    pub(crate) wire: Wire,
    pub(crate) state: State,
    /// `SO_ERROR`: told once.
    pub(crate) error: i32,
    pub(crate) name: Option<Name>,
    pub(crate) shut_write: bool,
    /// It asked for its connection and has not asked again: whoever does is told first that it succeeded.
    asked: bool,
}

pub(crate) enum State {
    Fresh,
    /// Connections that were made and not accepted; as many as the backlog and one more.
    Listening {
        backlog: usize,
        queue: VecDeque<FileId>,
    },
    Connecting,
    Connected {
        receive: FlowId,
        send: FlowId,
    },
    /// It was connected, or tried to be.
    Broken,
}

/// How often a connection attempt is repeated while the listener's queue is full.
const CONNECT_TRIES: u32 = 6;
/// And how long after the first time (each further one waits twice as long).
const CONNECT_RETRY: u64 = 1_000_000_000;

impl Socket {
    fn new(wire: Wire) -> Socket {
        Socket { wire, state: State::Fresh, error: 0, name: None, shut_write: false, asked: false }
    }
}

/// Reads an address as the kernel does.
///
/// # Safety
///
/// `addr` must lead to `len` bytes.
unsafe fn read_name(addr: *const libc::c_void, len: u32) -> Option<(Wire, Name)> {
    // SAFETY: every address begins with its family; the rest is read as that family's.
    unsafe {
        match i32::from(*addr.cast::<libc::sa_family_t>()) {
            libc::AF_INET if len as usize >= size_of::<libc::sockaddr_in>() => {
                Some((Wire::Inet, Name::Port(u16::from_be((*addr.cast::<libc::sockaddr_in>()).sin_port))))
            }
            libc::AF_UNIX => {
                let path = &(*addr.cast::<libc::sockaddr_un>()).sun_path;
                let path = path.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).collect();
                Some((Wire::Unix, Name::Path(path)))
            }
            _ => None,
        }
    }
}

/// Writes an address as the kernel does: as much of it as there is room for, and how long it is.
///
/// # Safety
///
/// `len` must be valid, and `addr` for as many bytes as it says.
pub(crate) unsafe fn write_name(wire: Wire, name: Option<Name>, addr: *mut libc::c_void, len: *mut u32) {
    let mut bytes = Vec::new();
    match (wire, name) {
        (Wire::Inet, name) => {
            let port = if let Some(Name::Port(port)) = name { port } else { 0 };
            bytes.extend((libc::AF_INET as libc::sa_family_t).to_ne_bytes());
            bytes.extend(port.to_be_bytes());
            bytes.extend(std::net::Ipv4Addr::LOCALHOST.octets());
            bytes.resize(size_of::<libc::sockaddr_in>(), 0);
        }
        (_, name) => {
            bytes.extend((libc::AF_UNIX as libc::sa_family_t).to_ne_bytes());
            if let Some(Name::Path(path)) = name {
                bytes.extend(path);
            }
        }
    }
    // SAFETY: forwarded from the caller.
    unsafe {
        let room = bytes.len().min(*len as usize);
        addr.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), room);
        *len = bytes.len() as u32;
    }
}

impl World {
    /// Tells the address of a connection's other end, which here has none of its own.
    ///
    /// # Safety
    ///
    /// As [`write_name`].
    pub(crate) unsafe fn tell_peer(&mut self, fd: Fd, addr: *mut libc::c_void, len: *mut u32) -> i32 {
        let file = match self.socket_at(fd) {
            Ok(file) => file,
            Err(error) => return error,
        };
        let socket = self.socket_of(file).expect("checked above");
        if !matches!(socket.state, State::Connected { .. }) {
            return -libc::ENOTCONN;
        }
        // SAFETY: forwarded from the caller.
        unsafe { write_name(socket.wire, None, addr, len) };
        0
    }

    pub(crate) fn socket_of(&mut self, file: FileId) -> Option<&mut Socket> {
        match &mut self.file(file).kind {
            FileKind::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// The socket behind a descriptor.
    pub(crate) fn socket_at(&mut self, fd: Fd) -> Result<FileId, i32> {
        let file = self.descriptors.get(fd).ok_or(-libc::EBADF)?;
        if self.socket_of(file).is_some() { Ok(file) } else { Err(-libc::ENOTSOCK) }
    }

    /// The same, of a stream or of datagrams.
    pub(crate) fn any_socket_at(&mut self, fd: Fd) -> Result<FileId, i32> {
        let file = self.descriptors.get(fd).ok_or(-libc::EBADF)?;
        if self.is_socket(file) { Ok(file) } else { Err(-libc::ENOTSOCK) }
    }

    pub(crate) fn socket(&mut self, domain: i32, kind: i32) -> i32 {
        let wire = match domain {
            libc::AF_INET => Wire::Inet,
            libc::AF_UNIX => Wire::Unix,
            _ => return -libc::EAFNOSUPPORT,
        };
        if kind & 0xf != libc::SOCK_STREAM {
            return -libc::EPROTONOSUPPORT;
        }
        if self.strikes(self.character.faults.exhausted) {
            return -self.random.pick(&[libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS]);
        }
        self.install(FileKind::Socket(Socket::new(wire)), kind & libc::SOCK_NONBLOCK != 0)
    }

    /// # Safety
    ///
    /// `addr` must lead to `len` bytes.
    pub(crate) unsafe fn bind(&mut self, fd: Fd, addr: *const libc::c_void, len: u32) -> i32 {
        let file = match self.socket_at(fd) {
            Ok(file) => file,
            Err(error) => return error,
        };
        // SAFETY: forwarded from the caller.
        let name = match unsafe { read_name(addr, len) } {
            None => return -libc::EINVAL,
            Some((_, Name::Port(0))) => {
                let free = (32_768..u16::MAX).map(Name::Port).find(|name| !self.names.contains_key(name));
                free.expect("a world has few listeners")
            }
            Some((_, name)) => name,
        };
        if self.names.contains_key(&name) {
            return -libc::EADDRINUSE;
        }
        self.names.insert(name.clone(), file);
        self.socket_of(file).expect("checked above").name = Some(name);
        0
    }

    pub(crate) fn name_at(&mut self, fd: Fd) -> Result<(Wire, Option<Name>), i32> {
        let file = self.socket_at(fd)?;
        let socket = self.socket_of(file).expect("checked above");
        Ok((socket.wire, socket.name.clone()))
    }

    pub(crate) fn listen(&mut self, fd: Fd, backlog: i32) -> i32 {
        let file = match self.socket_at(fd) {
            Ok(file) => file,
            Err(error) => return error,
        };
        let socket = self.socket_of(file).expect("checked above");
        let wanted = backlog.max(0) as usize;
        match &mut socket.state {
            State::Fresh => socket.state = State::Listening { backlog: wanted, queue: VecDeque::new() },
            State::Listening { backlog, .. } => *backlog = wanted,
            _ => return -libc::EINVAL,
        }
        0
    }

    /// Begins to connect. `-EINPROGRESS` when it takes a while.
    ///
    /// # Safety
    ///
    /// `addr` must lead to `len` bytes.
    pub(crate) unsafe fn connect(&mut self, file: FileId, addr: *const libc::c_void, len: u32) -> i32 {
        // SAFETY: forwarded from the caller.
        let Some((wire, name)) = (unsafe { read_name(addr, len) }) else { return -libc::EINVAL };
        let Some(socket) = self.socket_of(file) else { return -libc::ENOTSOCK };
        if socket.wire != wire {
            return -libc::EAFNOSUPPORT;
        }
        match socket.state {
            State::Fresh => {}
            State::Broken => {
                let error = std::mem::take(&mut socket.error);
                socket.state = State::Fresh;
                if error != 0 {
                    return -error;
                }
            }
            State::Connecting => return -libc::EALREADY,
            State::Connected { .. } => return if std::mem::take(&mut socket.asked) { 0 } else { -libc::EISCONN },
            State::Listening { .. } => return -libc::EINVAL,
        }
        let listener = self.names.get(&name).copied();
        if wire == Wire::Unix {
            return match listener.map(|listener| self.establish(file, listener)) {
                None => -libc::ENOENT,
                Some(Err(error)) => error,
                _ => 0,
            };
        }
        let socket = self.socket_of(file).expect("checked above");
        socket.state = State::Connecting;
        socket.asked = true;
        socket.name = Some(name);
        let delay = self.delay();
        self.schedule(delay, Event::Connect(file, 0));
        -libc::EINPROGRESS
    }

    pub(crate) fn connect_arrives(&mut self, file: FileId, tries: u32) {
        if !self.is_open(file) {
            return;
        }
        let socket = self.socket_of(file).expect("it asked for a connection");
        let name = socket.name.clone().expect("it remembers whom it asked");
        match self.names.get(&name).copied().map(|listener| self.establish(file, listener)) {
            Some(Ok(())) => self.wake(file, ANY),
            Some(Err(full)) if full == -libc::EAGAIN && tries < CONNECT_TRIES => {
                self.schedule(CONNECT_RETRY << tries, Event::Connect(file, tries + 1));
            }
            Some(Err(full)) if full == -libc::EAGAIN => self.fail_connect(file, libc::ETIMEDOUT),
            _ => self.fail_connect(file, libc::ECONNREFUSED),
        }
    }

    fn fail_connect(&mut self, file: FileId, error: i32) {
        let socket = self.socket_of(file).expect("it asked for a connection");
        socket.state = State::Broken;
        socket.error = error;
        socket.name = None;
        self.wake(file, ANY);
    }

    /// Joins a socket to a new one in the listener's queue.
    fn establish(&mut self, client: FileId, listener: FileId) -> Result<(), i32> {
        if !self.is_open(listener) {
            return Err(-libc::ECONNREFUSED);
        }
        let socket = self.socket_of(listener).expect("only sockets have names");
        let wire = socket.wire;
        match &socket.state {
            State::Listening { backlog, queue } if queue.len() > *backlog => return Err(-libc::EAGAIN),
            State::Listening { .. } => {}
            _ => return Err(-libc::ECONNREFUSED),
        }
        let server = self.add_file(FileKind::Socket(Socket::new(wire)), false);
        self.hold(server);
        self.join(client, server, wire);
        self.socket_of(client).expect("a socket").name = None;
        let State::Listening { queue, .. } = &mut self.socket_of(listener).expect("a socket").state else {
            unreachable!("checked above")
        };
        queue.push_back(server);
        self.wake(listener, (libc::POLLIN | libc::POLLRDNORM) as u32);
        let reset = self.character.faults.reset;
        if wire == Wire::Inet && self.strikes(reset) {
            let victim = self.random.pick(&[client, server]);
            let delay = self.delay() + self.delay();
            self.schedule(delay, Event::Reset(victim, libc::ECONNRESET));
        }
        Ok(())
    }

    fn join(&mut self, one: FileId, other: FileId, wire: Wire) {
        let capacity = self.character.socket_buffer;
        let flows = [(); 2].map(|()| self.add_flow(Flow::new(wire, capacity)));
        for (file, send, receive) in [(one, flows[0], flows[1]), (other, flows[1], flows[0])] {
            self.flow(send).writer = Some(file);
            self.flow(receive).reader = Some(file);
            self.socket_of(file).expect("a socket").state = State::Connected { receive, send };
        }
    }

    /// Two sockets joined to each other.
    pub(crate) fn pair(&mut self, wire: Wire, nonblocking: bool) -> (Fd, Fd) {
        let files = [(); 2].map(|()| self.add_file(FileKind::Socket(Socket::new(wire)), nonblocking));
        self.join(files[0], files[1], wire);
        (self.describe(files[0]), self.describe(files[1]))
    }

    /// What a call that makes two descriptors returns.
    pub(crate) fn two(&mut self, ends: &mut [Fd; 2], make: impl FnOnce(&mut Self) -> (Fd, Fd)) -> i32 {
        if !self.descriptors.has_room_for(2) {
            return -libc::EMFILE;
        }
        if self.strikes(self.character.faults.exhausted) {
            return -self.random.pick(&[libc::EMFILE, libc::ENFILE, libc::ENOMEM]);
        }
        *ends = make(self).into();
        0
    }

    /// The flows that a descriptor reads from and writes to.
    pub(crate) fn flows_at(&mut self, fd: Fd) -> (Option<FlowId>, Option<FlowId>) {
        let Some(file) = self.descriptors.get(fd) else { return (None, None) };
        match self.file(file).kind {
            FileKind::PipeReader(flow) => (Some(flow), None),
            FileKind::PipeWriter(flow) => (None, Some(flow)),
            FileKind::Socket(Socket { state: State::Connected { receive, send }, .. }) => (Some(receive), Some(send)),
            _ => (None, None),
        }
    }

    /// A pipe: where to read, where to write.
    pub(crate) fn pipe(&mut self, nonblocking: bool) -> (Fd, Fd) {
        let capacity = self.character.pipe_buffer;
        let flow = self.add_flow(Flow::new(Wire::Pipe, capacity));
        let reader = self.add_file(FileKind::PipeReader(flow), nonblocking);
        let writer = self.add_file(FileKind::PipeWriter(flow), nonblocking);
        self.flow(flow).reader = Some(reader);
        self.flow(flow).writer = Some(writer);
        (self.describe(reader), self.describe(writer))
    }

    /// Takes a connection from a listener's queue.
    pub(crate) fn accept(&mut self, listener: FileId) -> i32 {
        let faults = self.character.faults;
        if self.strikes(faults.interrupted) {
            return -libc::EINTR;
        }
        // The kernel takes a number before it looks at the queue.
        if self.descriptors.vacancy().is_none() {
            return -libc::EMFILE;
        }
        if self.strikes(faults.exhausted) {
            return -self.random.pick(&[libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS]);
        }
        let Some(socket) = self.socket_of(listener) else { return -libc::ENOTSOCK };
        let State::Listening { queue, .. } = &mut socket.state else { return -libc::EINVAL };
        let Some(file) = queue.pop_front() else { return -libc::EAGAIN };
        if self.strikes(faults.reset) {
            self.let_go(file);
            return -libc::ECONNABORTED;
        }
        let fd = self.describe(file);
        self.let_go(file);
        fd
    }

    /// Whether connections wait in a listener's queue.
    pub(crate) fn has_queued(&mut self, listener: FileId) -> bool {
        let state = self.socket_of(listener).map(|socket| &socket.state);
        matches!(state, Some(State::Listening { queue, .. }) if !queue.is_empty())
    }

    /// `SO_ERROR`, which is told once.
    pub(crate) fn take_error(&mut self, file: FileId) -> i32 {
        self.socket_of(file).map_or(0, |socket| std::mem::take(&mut socket.error))
    }

    pub(crate) fn poll_socket(&mut self, file: FileId) -> u32 {
        let socket = self.socket_of(file).expect("asked for by its kind");
        let (wire, error, shut_write) = (socket.wire, socket.error, socket.shut_write);
        let mut bits = if error != 0 { libc::POLLERR } else { 0 };
        let mut write = libc::POLLOUT | libc::POLLWRNORM;
        if wire == Wire::Unix {
            write |= libc::POLLWRBAND;
        }
        const READ: i16 = libc::POLLIN | libc::POLLRDNORM;
        match &socket.state {
            State::Listening { queue, .. } if queue.is_empty() => {}
            State::Listening { .. } => bits |= READ,
            State::Connecting => {}
            State::Fresh => bits |= write | libc::POLLHUP,
            State::Broken => bits |= READ | libc::POLLRDHUP | libc::POLLHUP | write,
            &State::Connected { receive, send } => {
                let flow = self.flow(receive);
                let ended = flow.end == End::Arrived;
                if flow.is_readable() {
                    bits |= READ;
                }
                if ended {
                    bits |= libc::POLLRDHUP;
                }
                if ended && shut_write {
                    bits |= libc::POLLHUP;
                }
                let flow = self.flow(send);
                if flow.is_writable() || (wire == Wire::Inet && shut_write) {
                    bits |= write;
                } else {
                    flow.starved = true;
                }
            }
        }
        bits as u16 as u32
    }
}
