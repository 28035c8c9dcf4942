//! Other threads: they act between and inside the loop's calls, and share nothing with it but the kernel.

use super::plan::{Leave, PeerPlan};
use super::rig::Rig;
use nyario_core::sys::{Fd, Kernel};
use std::net::Ipv4Addr;
use std::rc::Rc;

/// The address of a port on this machine.
pub(super) fn address(port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be() },
        sin_zero: [0; 8],
    }
}

fn pause(rig: &Rig) -> u64 {
    let scale = [1_000, 50_000, 50_000, 1_000_000][rig.below(4) as usize];
    1 + rig.below(scale)
}

fn send(rig: &Rig, fd: Fd, bytes: &[u8]) -> i32 {
    // SAFETY: the bytes are borrowed for the call.
    unsafe { rig.model.send(fd, bytes.as_ptr(), bytes.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as i32 }
}

fn receive(rig: &Rig, fd: Fd, bytes: &mut [u8]) -> i32 {
    // SAFETY: as above.
    unsafe { rig.model.recv(fd, bytes.as_mut_ptr(), bytes.len(), libc::MSG_DONTWAIT) as i32 }
}

fn leave(rig: &Rig, fd: Fd) {
    rig.foreign.borrow_mut().remove(&fd);
    rig.model.close(fd);
}

/// Gives the second end of a pair to another thread, where the plan says so.
pub(super) fn attend(rig: &Rc<Rig>, pair: usize) {
    let plan = rig.plan.pairs[pair];
    let end = rig.end(pair * 2 + 1);
    if plan.thread && end.fd.is_some() {
        let ticks = rig.below(60);
        attend_on(rig, pair, end.life, ticks);
    }
}

fn attend_on(rig: &Rc<Rig>, pair: usize, life: u32, ticks: u64) {
    let rig = rig.clone();
    let delay = pause(&rig);
    rig.model.clone().later(delay, move || {
        if attend_once(&rig, pair, life, ticks) {
            attend_on(&rig, pair, life, ticks.saturating_sub(1));
        }
    });
}

/// One thing that a thread does with its end of a pair. `false` when it will do no more.
fn attend_once(rig: &Rig, pair: usize, life: u32, ticks: u64) -> bool {
    let at = pair * 2 + 1;
    let end = rig.end(at);
    let Some(fd) = end.fd.filter(|_| end.life == life) else { return false };
    if ticks == 0 {
        let connection = rig.plan.pairs[pair].link.is_connection();
        match rig.below(4) {
            0 | 1 if !connection => {}
            0 => rig.shut(at, fd, libc::SHUT_WR),
            1 => {
                rig.breaks(at);
                rig.model.reset(fd);
            }
            2 => {
                rig.take_end(at);
                leave(rig, fd);
            }
            // It stays and says no more.
            _ => {}
        }
        return false;
    }
    if rig.below(2) == 0 {
        let stream = end.reads.expect("a socket reads");
        let mut bytes = vec![0; 1 + rig.below(200) as usize];
        let result = receive(rig, fd, &mut bytes);
        let mut streams = rig.streams.borrow_mut();
        let ticket = streams[stream].begin_read();
        streams[stream].read(ticket, result, &bytes);
    } else {
        let stream = end.writes.expect("a socket writes");
        let bytes: Vec<u8> = (0..1 + rig.below(200)).map(|_| rig.below(256) as u8).collect();
        let ticket = rig.streams.borrow_mut()[stream].begin_write();
        let result = send(rig, fd, &bytes);
        rig.streams.borrow_mut()[stream].wrote(ticket, result, &bytes);
    }
    true
}

/// A thread that comes to a server, talks, and leaves.
pub(super) fn visit(rig: &Rc<Rig>, plan: PeerPlan) {
    let rig = rig.clone();
    rig.model.clone().later(plan.start, move || {
        let fd = rig.model.socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return;
        }
        rig.foreign.borrow_mut().insert(fd);
        let address = address(rig.ports[plan.server]);
        // SAFETY: the address outlives the call.
        unsafe { rig.model.connect(fd, (&raw const address).cast(), size_of_val(&address) as u32) };
        let words = (0..plan.bytes).map(|_| rig.below(256) as u8).collect();
        let talk = Talk { fd, plan, words, said: 0, heard: 0, silence: 0, told: false };
        talk.on(rig);
    });
}

struct Talk {
    fd: Fd,
    plan: PeerPlan,
    words: Vec<u8>,
    said: usize,
    heard: usize,
    /// How often in a row nothing went on.
    silence: u32,
    /// It has said that it is done.
    told: bool,
}

/// How often a peer looks in vain before it gives up.
const PATIENCE: u32 = 200;

impl Talk {
    fn on(mut self, rig: Rc<Rig>) {
        let delay = pause(&rig);
        rig.model.clone().later(delay, move || {
            if self.once(&rig) {
                self.on(rig);
            }
        });
    }

    fn once(&mut self, rig: &Rig) -> bool {
        let early = matches!(self.plan.leave, Leave::Early | Leave::Reset | Leave::Stall) && rig.below(6) == 0;
        if early {
            match self.plan.leave {
                Leave::Stall => return false,
                Leave::Reset => rig.model.reset(self.fd),
                _ => {}
            }
            leave(rig, self.fd);
            return false;
        }
        self.silence += 1;
        if self.said < self.words.len() {
            let len = 1 + rig.below((self.words.len() - self.said) as u64) as usize;
            let result = send(rig, self.fd, &self.words[self.said..self.said + len]);
            if result > 0 {
                self.said += result as usize;
                self.silence = 0;
            }
        } else if self.plan.leave == Leave::HalfClose && !self.told {
            self.told = true;
            rig.model.shutdown(self.fd, libc::SHUT_WR);
        }
        let mut bytes = vec![0; 1 + rig.below(300) as usize];
        let result = receive(rig, self.fd, &mut bytes);
        if result > 0 {
            let heard = &bytes[..result as usize];
            assert!(self.words[self.heard..self.said].starts_with(heard), "a peer hears something else than it said");
            self.heard += heard.len();
            self.silence = 0;
        }
        let ended = result == 0 || (result < 0 && result != -libc::EAGAIN && result != -libc::EINTR);
        let satisfied = self.heard == self.words.len() && self.plan.leave != Leave::HalfClose;
        if ended || satisfied || self.silence > PATIENCE {
            leave(rig, self.fd);
            return false;
        }
        true
    }
}
