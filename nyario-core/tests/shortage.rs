//! Out of descriptors: accepting pauses, says so, and goes on. In a process of its own, whose limits it changes.

mod common;

use common::*;
use nyario_core::net;
use nyario_core::runtime::Start;
use nyario_core::sys::Errno;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::IntoRawFd;
use std::rc::Rc;

scenarios!(on_loop: accepting_pauses_and_goes_on, a_paused_server_can_be_closed, a_connect_tells_of_the_shortage);

/// Lowers the limit on descriptors while it lives.
struct Shortage(libc::rlimit);

impl Shortage {
    /// Leaves room for so many more descriptors.
    fn with_room(room: u64) -> Shortage {
        let before = limit();
        let open = open_descriptors();
        // Numbers are given out from the lowest, gaps first.
        let free = (0..).filter(|fd| !open.contains_key(fd));
        let highest = free.take(room as usize + 1).last().unwrap() as u64;
        set_limit(&libc::rlimit { rlim_cur: highest, ..before });
        Shortage(before)
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        set_limit(&self.0);
    }
}

fn limit() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit outlives the call.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    limit
}

fn set_limit(limit: &libc::rlimit) {
    // SAFETY: the limit outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) }, 0);
}

/// Has the scenario run in a process of its own, which is to complain there. `true` says that this is it.
fn complains() -> bool {
    let said = said_in_own_process();
    if let Some(said) = &said {
        assert!(said.contains("nyario: accepting pauses: too many open files in the process"), "{said:?}");
    }
    said.is_none()
}

fn accepting_pauses_and_goes_on(looped: Looped) {
    const CLIENTS: usize = 20;
    if !complains() {
        return;
    }
    let (fd, address) = listen();
    // The clients live in another process, as their descriptors would count.
    let (report, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    // SAFETY: the child makes system calls and leaves.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut theirs = theirs;
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            theirs.read_exact(&mut [0]).unwrap();
            let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| TcpStream::connect(&address).unwrap()).collect();
            for client in &mut clients {
                client.write_all(b"x").unwrap();
            }
            theirs.write_all(b"x").unwrap();
            for mut client in clients {
                client.read_exact(&mut [0]).unwrap();
                drop(client);
            }
        }));
        // SAFETY: a call without memory.
        unsafe { libc::_exit(if done.is_ok() { 0 } else { 1 }) };
    }
    drop(theirs);
    let served = Rc::new(Cell::new(0));
    let witness = served.clone();
    let report = report.into_raw_fd();
    // An accept that goes on keeps to the limit under which it began.
    let shortage = Shortage::with_room(5);
    looped
        .register(fd, Start::Lazy, move |fd| {
            // Each holds its descriptor for a while, so that the rest find none.
            read_exactly(looped, fd, 1);
            looped.sleep(10_000_000).unwrap();
            say(looped, fd, b"y");
            witness.set(witness.get() + 1);
        })
        .unwrap();
    go(looped, move || {
        settle(looped);
        say(looped, report, b"x");
        read_exactly(looped, report, 1);
        until(looped, || served.get() == CLIENTS);
        looped.stop();
        0
    });
    looped.run().unwrap();
    drop(shortage);
    close(looped, &[report]);
    let mut status = 0;
    // SAFETY: the status outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "every client was answered");
}

fn a_paused_server_can_be_closed(looped: Looped) {
    if !complains() {
        return;
    }
    let (fd, address) = listen();
    let client = TcpStream::connect(address).unwrap();
    let shortage = Shortage::with_room(0);
    looped.register(fd, Start::Lazy, |_| ()).unwrap();
    go(looped, move || {
        settle(looped);
        close(looped, &[fd]);
        0
    });
    // Without the server nothing is left to wait for.
    looped.run().unwrap();
    drop((shortage, client));
}

fn a_connect_tells_of_the_shortage(looped: Looped) {
    let (fd, address) = listen();
    in_fiber(looped, move || {
        let shortage = Shortage::with_room(0);
        let refused = net::dial(looped, &address);
        drop(shortage);
        assert_eq!(refused, Err(Errno(libc::EMFILE)));
        close(looped, &[fd]);
    });
}
