//! How connections end: by a word in one direction, by the last close, by a reset.

use super::file::{FileId, FlowId};
use super::flow::{End, Wire};
use super::socket::{Name, Socket, State};
use super::world::{ANY, Event, World};
use nyario_core::sys::Fd;

impl World {
    /// Ends one direction or both; a socket's own part of shutdown(2).
    pub(crate) fn shutdown(&mut self, fd: Fd, how: i32) -> i32 {
        let file = match self.socket_at(fd) {
            Ok(file) => file,
            Err(error) => return error,
        };
        if ![libc::SHUT_RD, libc::SHUT_WR, libc::SHUT_RDWR].contains(&how) {
            return -libc::EINVAL;
        }
        let socket = self.socket_of(file).expect("checked above");
        let State::Connected { receive, send } = socket.state else { return -libc::ENOTCONN };
        let wire = socket.wire;
        socket.shut_write |= how != libc::SHUT_RD;
        if how != libc::SHUT_WR {
            self.flow(receive).end = End::Arrived;
        }
        if wire == Wire::Unix {
            self.wake(file, ANY);
        }
        if how != libc::SHUT_RD {
            self.finish_flow(send);
        }
        if wire == Wire::Inet {
            // It is done to a broken connection too, which then says so.
            let broken = self.flow(send).writer.is_none();
            self.wake(file, ANY);
            return if broken { -libc::ENOTCONN } else { 0 };
        }
        if how != libc::SHUT_WR {
            self.flow(receive).deaf = true;
            if let Some(peer) = self.flow(receive).writer {
                self.socket_of(peer).expect("a peer is a socket").shut_write = true;
                self.wake(peer, ANY);
            }
        }
        0
    }

    /// A connection breaks as one of its ends sees it.
    pub(crate) fn reset(&mut self, file: FileId, error: i32) {
        if !self.is_open(file) {
            return;
        }
        let socket = self.socket_of(file).expect("only sockets break");
        let State::Connected { receive, send } = socket.state else { return };
        if self.flow(send).writer.is_none() {
            // It is broken already.
            return;
        }
        // tcp_reset: whoever has read to the end learns of it by writing.
        let error = if self.is_read_to_end(file) { libc::EPIPE } else { error };
        let socket = self.socket_of(file).expect("only sockets break");
        socket.error = error;
        socket.shut_write = true;
        let flow = self.flow(receive);
        flow.cut_to(flow.arrived);
        flow.end = End::Arrived;
        flow.deaf = true;
        let flow = self.flow(send);
        flow.cut_to(flow.arrived);
        flow.deaf = true;
        flow.writer = None;
        if let Some(peer) = self.flow(send).reader {
            let delay = self.delay();
            self.schedule(delay, Event::Reset(peer, libc::ECONNRESET));
        }
        self.note(|| format!("{file:?} breaks"));
        self.wake(file, ANY);
    }

    /// Whether the peer of a socket has said its last.
    pub(crate) fn is_read_to_end(&mut self, file: FileId) -> bool {
        match self.socket_of(file) {
            Some(&mut Socket { state: State::Connected { receive, .. }, .. }) => self.flow(receive).end == End::Arrived,
            _ => false,
        }
    }

    /// The last holder of a socket has let go.
    pub(crate) fn release_socket(&mut self, id: FileId, socket: Socket) {
        match socket.state {
            State::Listening { queue, .. } => {
                self.forget_name(id, socket.name);
                for file in queue {
                    self.abandon(file);
                }
            }
            State::Connected { receive, send } => self.hang_up(receive, send, false),
            State::Fresh => self.forget_name(id, socket.name),
            State::Connecting | State::Broken => {}
        }
    }

    fn forget_name(&mut self, id: FileId, name: Option<Name>) {
        // A path's file outlives its server.
        if let Some(name @ Name::Port(_)) = name
            && self.names.get(&name) == Some(&id)
        {
            self.names.remove(&name);
        }
    }

    /// A connection that nobody accepted ends with its listener.
    fn abandon(&mut self, file: FileId) {
        let socket = self.socket_of(file).expect("only sockets are accepted");
        if let State::Connected { receive, send } = std::mem::replace(&mut socket.state, State::Broken) {
            self.hang_up(receive, send, true);
        }
        self.let_go(file);
    }

    fn hang_up(&mut self, receive: FlowId, send: FlowId, harsh: bool) {
        let unread = harsh || !self.flow(receive).bytes.is_empty();
        let peer = self.flow(receive).writer;
        let flow = self.flow(receive);
        flow.reader = None;
        flow.deaf = true;
        flow.cut_to(0);
        self.flow(send).writer = None;
        match (self.flow(send).wire, peer) {
            (Wire::Inet, Some(peer)) if unread => {
                let delay = self.delay();
                self.schedule(delay, Event::Reset(peer, libc::ECONNRESET));
            }
            (Wire::Unix, Some(peer)) => {
                let socket = self.socket_of(peer).expect("a peer is a socket");
                socket.shut_write = true;
                if unread {
                    socket.error = libc::ECONNRESET;
                }
                self.finish_flow(send);
                self.wake(peer, ANY);
            }
            _ => self.finish_flow(send),
        }
    }
}
