//! Children and signals, over a kernel without pidfds: threads of the pool wait for the children.

#![allow(clippy::zombie_processes, reason = "nyario waits for them")]

mod common;

use common::*;
use nyario_core::sys::{Errno, Kernel};
use nyario_core::{process, signal};
use std::process::{Child, Command, Stdio};

scenarios!(on_loop: a_child_is_waited_for, a_child_is_left_by_who_gives_up, a_signal_is_taken_by_one);

/// A child that ends with that code once its standard input does.
fn child(code: i32) -> Child {
    let script = format!("read line; exit {code}");
    Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap()
}

fn a_child_is_waited_for(looped: Looped) {
    in_fiber(looped, move || {
        let mut ours = child(7);
        let pid = ours.id() as i32;
        assert_eq!(process::wait(looped, pid, libc::WNOHANG), Ok((0, 0)));
        let gate = ours.stdin.take();
        go(looped, move || {
            settle(looped);
            drop(gate);
            0
        });
        assert_eq!(process::wait(looped, pid, 0), Ok((pid, 7 << 8)));
        assert_eq!(process::wait(looped, pid, 0), Err(Errno(libc::ECHILD)));
    });
}

fn a_child_is_left_by_who_gives_up(looped: Looped) {
    in_fiber(looped, move || {
        let mut ours = child(9);
        let pid = ours.id() as i32;
        let waiter = go(looped, move || told(process::wait(looped, pid, 0).map(|_| 0)));
        settle(looped);
        looped.cancel(waiter).unwrap();
        assert_eq!(looped.join(waiter), Ok(failed(libc::ECANCELED)));
        looped.deadline(looped.kernel().now() + 2_000_000).unwrap();
        assert_eq!(process::wait(looped, pid, 0), Err(Errno(libc::ETIMEDOUT)));
        looped.deadline(0).unwrap();
        drop(ours.stdin.take());
        assert_eq!(process::wait(looped, pid, 0), Ok((pid, 9 << 8)));
    });
}

fn a_signal_is_taken_by_one(looped: Looped) {
    const SET: u64 = 1 << (libc::SIGUSR2 - 1);
    in_fiber(looped, move || {
        let waiters = [(); 3].map(|()| go(looped, || told(signal::wait(looped, SET).map(|info| info.signo as usize))));
        settle(looped);
        // SAFETY: it is blocked in this thread, to which it is sent.
        let raise = || assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
        for left in (1..3).rev() {
            raise();
            settle(looped);
            assert_eq!(looped.fibers(), 1 + left);
        }
        let late = go(looped, || {
            looped.deadline(looped.kernel().now() + 1_000_000).unwrap();
            told(signal::wait(looped, SET).map(|_| 0))
        });
        assert_eq!(looped.join(late), Ok(failed(libc::ETIMEDOUT)));
        raise();
        all_told(looped, waiters, libc::SIGUSR2 as u64);
        assert_eq!(signal::wait(looped, 0).map(|_| ()), Err(Errno(libc::EINVAL)));
    });
}
