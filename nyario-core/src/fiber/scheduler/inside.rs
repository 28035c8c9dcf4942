//! What a loop shows of itself.

use super::{Fiber, Loop};
use crate::driver::Wait;
use crate::fiber::name::Name;
use crate::fiber::{Report, State, Statistics};
use crate::sys::Kernel;
use std::collections::HashMap;
use std::fmt::{self, Write};

impl<K: Kernel> Loop<K> {
    /// What the loop has done so far, and what it holds. Only what cannot be derived is counted.
    pub fn statistics(&self) -> Statistics {
        self.with(|inner| {
            let (stacks, stacks_free) = inner.stacks.counts();
            Statistics {
                runtime: inner.runtime.statistics(),
                backend: inner.runtime.backend(),
                switches: self.switches.get(),
                spawned: inner.fibers.spawned(),
                fibers: inner.fibers.live() as u64,
                crowded: inner.crowded.len() as u64,
                posted: inner.posted.received(),
                stacks,
                stacks_free,
            }
        })
    }

    /// What each fiber does that has not ended. Takes time in proportion to what the loop holds, and allocates.
    pub fn inspect(&self) -> Vec<Report> {
        let now = self.kernel.now();
        self.with(|inner| {
            // A fiber that polls has begun several operations, and every one of them names it.
            let mut waits: HashMap<u64, Vec<Wait>> = HashMap::new();
            for wait in inner.runtime.driver().waits() {
                waits.entry(wait.waiter).or_default().push(wait);
            }
            let report = |fiber: *mut Fiber| {
                // SAFETY: a fiber in the table has not ended, so its control block is there, and what lies behind the
                // pointer is its own.
                let (id, deadline, name) = unsafe {
                    let name = (*fiber).cold.as_ref().map_or(Name::default(), |cold| cold.name);
                    ((*fiber).id, (*fiber).deadline, name)
                };
                let state = match waits.get(&(fiber as u64)) {
                    _ if fiber == self.current.get() => State::Running,
                    None => State::Ready,
                    Some(waits) => state(waits),
                };
                let deadline = (deadline != 0).then(|| deadline.wrapping_sub(now) as i64);
                Report { id, name, state, deadline }
            };
            inner.fibers.fibers().map(report).collect()
        })
    }

    /// Writes a line for each fiber that has not ended, as [`inspect`](Self::inspect) finds it, and one for the
    /// connections.
    ///
    /// # Errors
    ///
    /// What `out` says.
    pub fn dump(&self, out: &mut impl Write) -> fmt::Result {
        for report in self.inspect() {
            writeln!(out, "{report}")?;
        }
        let known = self.statistics().runtime;
        let (servers, accepted, idle, clients) = (known.servers, known.accepted, known.idle, known.clients);
        writeln!(out, "connections: servers {servers}, accepted {accepted} ({idle} without a fiber), clients {clients}")
    }
}

/// What somebody does who waits for all of that.
fn state(waits: &[Wait]) -> State {
    let first = waits.iter().find(|wait| !wait.parks).unwrap_or(&waits[0]);
    let nanos = waits.iter().map(|wait| wait.nanos).max().unwrap_or(0);
    State::Waiting { what: first.what, fds: waits.iter().filter_map(|wait| wait.fd).collect(), nanos }
}
