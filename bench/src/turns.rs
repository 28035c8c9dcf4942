//! Servers that run side by side and take turns: each keeps its process and its connections, and has many short slices of
//! load between those of the others. What disturbs a shared machine for a second then meets all of them alike.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use crate::load::{self, Session, Usage};
use crate::order::shuffled;
use crate::plan::Plan;
use crate::server::{Row, Server};

/// What one slice has shown: how many messages were answered, and what the server used for them.
pub type Slice = Result<(u64, Usage), String>;

/// Has each server of `rows` take so many turns, each with a slice of the plan's time and each in an order of its own, and
/// tells what each slice has shown, by the server's place among the rows. One that fails takes no more turns; how it ends
/// says more than that, and is told last.
pub fn take(rows: &[Row], root: &Path, core: usize, plan: &Plan, turns: usize, mut tell: impl FnMut(usize, Slice)) {
    let mut servers = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        match Server::start(row, root, core) {
            Ok(server) => {
                let plan = Plan { pid: Some(server.pid()), ..plan.clone() };
                let script = load::script(server.address(), &plan);
                servers.push((place, server, plan, script));
            }
            Err(why) => tell(place, Err(why)),
        }
    }
    let mut sessions = Vec::new();
    for (place, server, plan, script) in &servers {
        match Session::open(server.address(), plan, script) {
            Ok(session) => sessions.push((*place, Some(session))),
            Err(why) => tell(*place, Err(why)),
        }
    }
    let watched = std::io::stderr().is_terminal();
    for turn in 0..=turns {
        if watched {
            eprint!("\rturn {turn} of {turns}");
        }
        for index in shuffled(sessions.len()) {
            let (place, session) = &mut sessions[index];
            let Some(running) = session else { continue };
            let slice = running.load();
            if slice.is_err() {
                *session = None;
            }
            // The first slice of each is for its caches, and its compiler.
            if turn > 0 || slice.is_err() {
                tell(*place, slice);
            }
        }
    }
    if watched {
        eprintln!();
    }
    drop(sessions);
    for (place, server, ..) in servers {
        server.stop().unwrap_or_else(|why| tell(place, Err(why)));
    }
}

/// Microseconds of processor time per message.
pub fn micros(cpu: Duration, messages: u64) -> f64 {
    cpu.as_nanos() as f64 / 1e3 / messages as f64
}
