//! The second kind of plan, one in four: the same as the first, and among its steps those that came later. So the
//! seeds that mean something keep their meaning.

use super::calls::Manner;
use super::plan::{Link, Plan, Step, size};
use super::together::CHANNELS;
use crate::random::Random;

const MILLI: u64 = 1_000_000;

/// Whether the plan of a seed is of the second kind.
pub(super) fn is_wide(seed: u64) -> bool {
    seed % 4 == 1
}

/// How often each kind of step comes, besides its leaning.
const USUAL: [u32; 11] = [12, 8, 6, 6, 4, 2, 3, 3, 4, 5, 2];

impl Plan {
    /// Puts further steps into the scripts.
    pub(super) fn widen(&mut self, random: &mut Random) {
        let weights = USUAL.map(|weight| weight * random.pick(&[0, 1, 1, 3]));
        let total: u32 = weights.iter().sum();
        if total == 0 {
            return;
        }
        for fiber in 0..self.fibers.len() {
            let len = self.fibers[fiber].len();
            for _ in 0..random.below(len as u64 + 2) {
                let mut at = random.below(total.into()) as u32;
                let kind = weights.iter().position(|&weight| {
                    let found = at < weight;
                    at = at.saturating_sub(weight);
                    found
                });
                let step = self.further(random, kind.expect("less than the total"));
                let script = &mut self.fibers[fiber];
                let place = random.index(script.len() + 1).max(script.len() / 2);
                script.insert(place, step);
            }
        }
    }

    fn further(&self, random: &mut Random, kind: usize) -> Step {
        const LOOK: i32 = libc::MSG_PEEK;
        const NOW: i32 = libc::MSG_DONTWAIT;
        let ends = self.pairs.len() * 2;
        let end = random.index(ends);
        let message = random.chance(400);
        match kind {
            0 => {
                let flags = random.pick(&[0, LOOK, LOOK, NOW, LOOK | NOW, libc::MSG_WAITALL]);
                Step::Receive(end, size(random), Manner { message, flags })
            }
            1 => Step::Send(end, size(random), Manner { message, flags: random.pick(&[0, libc::MSG_NOSIGNAL, NOW]) }),
            2 => {
                let events = random.pick(&[libc::POLLIN, libc::POLLIN, libc::POLLOUT, libc::POLLIN | libc::POLLRDHUP]);
                let timeout = random.pick(&[None, None, Some(0), Some(MILLI)]).map(|most| random.below(most + 1));
                Step::Polls([end, random.index(ends), random.index(ends)], events as u32, timeout)
            }
            3 => {
                // One of them is to be a pipe, if there is any.
                let pipes: Vec<usize> = (0..ends).filter(|end| self.pairs[end / 2].link == Link::Pipe).collect();
                if pipes.is_empty() {
                    return Step::Yield;
                }
                let pipe = random.pick(&pipes) & !1;
                let len = size(random);
                random.pick(&[Step::Splice(end, pipe + 1, len), Step::Splice(pipe, end, len)])
            }
            4 => {
                let files: Vec<usize> = (0..ends).filter(|end| self.pairs[end / 2].link == Link::File).collect();
                if files.is_empty() {
                    return Step::Yield;
                }
                Step::SendFile(random.pick(&files) & !1, end, size(random))
            }
            5 => Step::Shutdown(end, random.pick(&[libc::SHUT_WR, libc::SHUT_RD, libc::SHUT_RDWR])),
            6 => random.pick(&[Step::ServeFrom, Step::Dial(self.servers.len(), 40)]),
            7 => Step::Within(random.below(MILLI), random.below(2 * MILLI)),
            8 => Step::Lock(random.below(300_000)),
            9 => {
                let channel = random.index(CHANNELS.len());
                random.pick(&[Step::Give(channel), Step::Take(channel), Step::Give(channel), Step::Choose])
            }
            _ => Step::Deadline(random.below(2 * MILLI)),
        }
    }
}
