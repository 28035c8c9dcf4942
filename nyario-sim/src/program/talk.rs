//! Conversations over a listener: who serves sends back what it hears, and who dials expects that.

use super::fiber::Actor;
use super::rig::What;
use nyario_core::driver::Op;
use nyario_core::sys::{Fd, Kernel};

impl Actor {
    /// Sends back whatever comes.
    pub(super) fn echo(&mut self, fd: Fd) {
        const ROOM: usize = 100;
        loop {
            self.lend(ROOM);
            let op = Op::Read { fd, buf: self.memory.as_mut_ptr(), len: ROOM };
            let result = self.perform(What::Read(fd), None, None, op);
            self.allow(result, &[libc::ECONNRESET, libc::EPIPE]);
            let count = result.max(0) as usize;
            let mut sent = 0;
            while sent < count {
                let op = Op::Write { fd, buf: self.memory[sent..].as_ptr(), len: count - sent };
                let result = self.perform(What::Write(fd), None, None, op);
                self.allow(result, &[libc::ECONNRESET, libc::EPIPE]);
                if result <= 0 {
                    break;
                }
                sent += result as usize;
            }
            self.take_back(ROOM);
            if count == 0 || sent < count {
                return;
            }
        }
    }

    /// Accepts a connection and serves it; `asks` says that it is to be told who comes.
    pub(super) fn serve(&mut self, asks: bool) {
        let hall = self.rig.hall;
        let (mut name, mut len) = ([0u16; 64], 128u32);
        let op = match asks {
            true => Op::AcceptFrom { fd: hall, addr: name.as_mut_ptr().cast(), len: &mut len },
            false => Op::Accept { fd: hall, multi: false },
        };
        let result = self.perform(What::Accept(hall), None, None, op);
        let told = (i32::from(name[0]), len as usize) == (libc::AF_INET, size_of::<libc::sockaddr_in>());
        assert!(!asks || result < 0 || told, "whoever comes has an address");
        self.allow(result, &[libc::ECONNABORTED, libc::EMFILE]);
        if result >= 0 {
            self.rig.engaged.borrow_mut().insert(result);
            self.echo(result);
            self.hang_up(result);
        }
    }

    fn hang_up(&mut self, fd: Fd) {
        self.rig.engaged.borrow_mut().remove(&fd);
        let result = self.perform(What::Close(fd), None, None, Op::Close { fd });
        assert_eq!(result, 0, "descriptor {fd} was open");
    }

    pub(super) fn dial(&mut self, server: usize, bytes: usize) {
        let rig = self.rig.clone();
        let Some(&port) = rig.ports.get(server) else { return };
        let fd = rig.model.socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return self.allow(fd, &[libc::EMFILE]);
        }
        if let Err(error) = rig.looped.opened(fd, true) {
            self.allow(error.result(), &[]);
            rig.model.close(fd);
            return;
        }
        rig.engaged.borrow_mut().insert(fd);
        let address = Box::new(super::peer::address(port));
        let op = Op::Connect { fd, addr: (&raw const *address).cast(), len: size_of_val(&*address) as u32 };
        let result = self.perform(What::Connect(fd), None, None, op);
        self.allow(result, &[libc::ECONNREFUSED, libc::ECONNRESET, libc::EPIPE]);
        if result == 0 {
            self.converse(fd, bytes);
        }
        self.hang_up(fd);
    }

    /// Says something and hears it again.
    fn converse(&mut self, fd: Fd, bytes: usize) {
        let said = self.words(bytes);
        let op = Op::Write { fd, buf: self.memory.as_ptr(), len: bytes };
        let result = self.perform(What::Write(fd), None, None, op);
        self.allow(result, &[libc::ECONNRESET, libc::EPIPE]);
        self.take_back(bytes);
        let mut heard = 0;
        while (heard as i32) < result {
            self.lend(bytes);
            let op = Op::Read { fd, buf: self.memory.as_mut_ptr(), len: bytes };
            let count = self.perform(What::Read(fd), None, None, op);
            self.allow(count, &[libc::ECONNRESET, libc::EPIPE]);
            let count = count.max(0) as usize;
            let same = said[heard..].starts_with(&self.memory[..count]);
            self.take_back(bytes);
            assert!(same, "fiber {} hears something else than it said", self.me);
            heard += count;
            if count == 0 {
                return;
            }
        }
    }
}
