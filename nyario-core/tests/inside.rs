//! What a loop shows of itself.

mod common;

use common::*;
use nyario_core::fiber::{FiberId, Name, Options, Report, State};
use nyario_core::net;
use nyario_core::sys::{Errno, Kernel, Linux};
use std::cell::Cell;
use std::rc::Rc;

scenarios!(on_loop: every_fiber_is_told_of, reasons_do_not_outlive_their_parks);

/// Of each fiber: its name, what it waits for, and the descriptors.
fn told(looped: Looped) -> Vec<(FiberId, String, &'static str, Vec<i32>)> {
    let tell = |state| match state {
        State::Running => ("running", vec![]),
        State::Ready => ("ready", vec![]),
        State::Waiting { what, fds, nanos } => {
            // Also of what began before the loop first looked at the clock.
            assert!(nanos < 600_000_000_000, "{what} for {nanos} ns");
            (what, fds)
        }
    };
    let line = |report: Report| {
        let (what, fds) = tell(report.state);
        (report.id, report.name.as_str().to_string(), what, fds)
    };
    looped.inspect().into_iter().map(line).collect()
}

fn every_fiber_is_told_of(looped: Looped) {
    in_fiber(looped, move || {
        let (ours, _theirs) = pair();
        looped.set_name(looped.me().unwrap(), Name::new("looks").unwrap()).unwrap();
        let named = Options { name: "sleeps", ..Options::default() };
        let refused = Err(Errno(libc::ECANCELED));
        let sleeps = looped.spawn(named, move || u64::from(looped.sleep(u64::MAX / 4) == refused)).unwrap();
        let joins = go(looped, move || u64::from(looped.join(sleeps) == refused.map(|()| 0)));
        let reads = go(looped, move || u64::from(net::read(looped, ours, &mut [0; 8]) == refused.map(|()| 0)));
        let yields = go(looped, move || u64::from(looped.yield_now().is_ok()));
        looped.yield_now().unwrap();
        let mut wanted = vec![
            (looped.me().unwrap(), "looks".to_string(), "running", vec![]),
            (sleeps, "sleeps".to_string(), "sleep", vec![]),
            (joins, String::new(), "join", vec![]),
            (reads, String::new(), "read", vec![ours]),
            (yields, String::new(), "ready", vec![]),
        ];
        assert_eq!(told(looped), wanted);
        looped.cancel(reads).unwrap();
        assert_eq!(looped.join(yields), Ok(1));
        assert_eq!(looped.join(reads), Ok(1));
        wanted.truncate(3);
        assert_eq!(told(looped), wanted);
        for fiber in [joins, sleeps] {
            looped.cancel(fiber).unwrap();
            assert_eq!(looped.join(fiber), Ok(1));
        }
        Linux.close(ours);
    });
}

fn reasons_do_not_outlive_their_parks(looped: Looped) {
    in_fiber(looped, move || {
        let parks: Rc<Cell<_>> = Rc::default();
        let park = |why: Option<&'static str>| {
            let parks = parks.clone();
            go(looped, move || {
                let looped = why.map_or(looped, |why| looped.because(why));
                looped.park(|park| parks.set(Some(park))).unwrap() as u64
            })
        };
        for (why, what) in [(Some("a bell"), "a bell"), (None, "park")] {
            let fiber = park(why);
            looped.yield_now().unwrap();
            assert_eq!(told(looped)[1], (fiber, String::new(), what, vec![]));
            looped.unpark(parks.take().unwrap(), 5);
            assert_eq!(told(looped)[1].2, "ready");
            assert_eq!(looped.join(fiber), Ok(5));
        }
    });
}
