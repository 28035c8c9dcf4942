//! What the model offers besides system calls, to those who set the scene and to the oracle.

use super::file::{FileKind, FlowId};
use super::flow::Wire;
use super::regular::{Content, Regular};
use super::world::{Event, Journal};
use super::{Faults, Model};
use nyario_core::sys::Fd;
use std::rc::Rc;

impl Model {
    /// Two connected sockets.
    pub fn pair(&self, inet: bool, nonblocking: bool) -> (Fd, Fd) {
        self.world().pair(if inet { Wire::Inet } else { Wire::Unix }, nonblocking)
    }

    /// Two connected datagram sockets.
    pub fn datagram_pair(&self, nonblocking: bool) -> (Fd, Fd) {
        self.world().datagram_pair(nonblocking)
    }

    /// How many messages wait in a datagram socket.
    pub fn messages(&self, fd: Fd) -> usize {
        let mut world = self.world();
        world.descriptors.get(fd).map_or(0, |file| world.datagram(file).inbox.len())
    }

    /// A pipe: where to read, where to write.
    pub fn pipe(&self, nonblocking: bool) -> (Fd, Fd) {
        self.world().pipe(nonblocking)
    }

    /// An empty regular file, opened twice: where to read, where to write, and what it holds.
    pub fn regular(&self) -> (Fd, Fd, Content) {
        let mut world = self.world();
        let (content, inode) = (Content::default(), world.new_inode());
        let mut open = || {
            let regular = Regular { content: content.clone(), inode, position: 0 };
            world.install(FileKind::Regular(regular), false)
        };
        (open(), open(), content.clone())
    }

    /// Something like `/dev/null`.
    pub fn null(&self) -> Fd {
        self.world().install(FileKind::Null, false)
    }

    /// `shutdown(2)`.
    pub fn shutdown(&self, fd: Fd, how: i32) -> i32 {
        self.world().shutdown(fd, how)
    }

    /// Breaks a connection, as a reset from the network does.
    pub fn reset(&self, fd: Fd) {
        let mut world = self.world();
        if let Some(file) = world.descriptors.get(fd) {
            world.reset(file, libc::ECONNRESET);
        }
    }

    /// Lets something happen outside the kernel, so many nanoseconds from now: another thread acts.
    pub fn later(&self, delay: u64, act: impl FnOnce() + 'static) {
        self.world().schedule(delay, Event::Outside(Box::new(act)));
    }

    /// Who is asked when a wait finds that nothing is yet to happen, and told whether it would last for ever.
    pub fn when_idle(&self, ask: impl Fn(bool) + 'static) {
        self.world().idle = Some(Rc::new(ask));
    }

    /// Forgets whom to ask and what is yet to happen, and with it whatever these hold.
    pub fn forget_future(&self) {
        let idle = self.world().idle.take();
        let events = self.world().forget_events();
        drop((idle, events));
    }

    /// The names of the flows that a descriptor reads from and writes to.
    pub fn flows(&self, fd: Fd) -> (Option<u32>, Option<u32>) {
        let (receive, send) = self.world().flows_at(fd);
        (receive.map(|flow| flow.0), send.map(|flow| flow.0))
    }

    /// Begins to note down what is written to a flow.
    pub fn record(&self, flow: u32) {
        self.world().flow(FlowId(flow)).record = Some(Vec::new());
    }

    /// What was written to it since, and no more of it.
    pub fn recorded(&self, flow: u32) -> Vec<u8> {
        self.world().flow(FlowId(flow)).record.take().unwrap_or_default()
    }

    /// Whether bytes of a flow were thrown away.
    pub fn was_cut(&self, flow: u32) -> bool {
        self.world().flow(FlowId(flow)).cut
    }

    /// Whether the descriptor is a socket.
    pub fn is_socket(&self, fd: Fd) -> bool {
        self.world().any_socket_at(fd).is_ok()
    }

    /// Whether another descriptor is to be had.
    pub fn has_vacancy(&self) -> bool {
        self.world().descriptors.vacancy().is_some()
    }

    /// The time, without its passing.
    pub fn clock(&self) -> u64 {
        self.world().now
    }

    /// System calls so far.
    pub fn calls(&self) -> u64 {
        self.world().calls
    }

    /// What a poll of the descriptor would say; 0 for one that is not open.
    pub fn holds(&self, fd: Fd) -> u32 {
        let mut world = self.world();
        match world.descriptors.get(fd) {
            Some(file) => world.poll_file(file),
            None => 0,
        }
    }

    /// Whether a kqueue watches the descriptor.
    pub fn is_watched(&self, fd: Fd) -> bool {
        self.world().kqueue_watches(fd)
    }

    /// Whether the last look at an epoll or a kqueue told of the descriptor.
    pub fn was_reported(&self, fd: Fd) -> bool {
        self.world().reported.contains(&fd)
    }

    /// Descriptors that are open, in order.
    pub fn descriptors(&self) -> Vec<Fd> {
        self.world().open_descriptors()
    }

    /// Mappings that were not given back.
    pub fn mappings(&self) -> usize {
        self.world().memory.mapped()
    }

    /// Changes how often adversity strikes, from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.world().character.faults = faults;
    }

    /// Begins to keep a journal.
    pub fn keep_journal(&self) -> Journal {
        self.world().journal.get_or_insert_default().clone()
    }

    /// Writes into the journal, if one is kept.
    pub fn note(&self, line: impl FnOnce() -> String) {
        self.world().note(line);
    }
}
