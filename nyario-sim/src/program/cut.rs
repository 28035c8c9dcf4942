//! Parts of a plan that can be left out, by names that a command line can carry.

use super::plan::{Plan, Step};
use std::fmt;

/// Something that is left out of a plan. Places are those of the whole plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Cut {
    /// All that a fiber does: `f3`.
    Fiber(usize),
    /// One thing that a fiber does: `s3.14`, or several in a row: `s3.14-20`.
    Step(usize, usize),
    /// A visitor: `p2`.
    Peer(usize),
    /// A kind of adversity, by its place: `x5`.
    Fault(usize),
    /// The end that another thread asks for: `e`.
    Stop,
}

const FAULTS: usize = 12;

impl Plan {
    /// Whatever may be left out, coarse things first.
    pub fn cuts(&self) -> Vec<Cut> {
        let steps = self.fibers.iter().enumerate().flat_map(|(fiber, script)| {
            let here = script.iter().enumerate().filter(|(_, step)| !matches!(step, Step::Spawn(_)));
            here.map(move |(at, _)| Cut::Step(fiber, at))
        });
        (0..FAULTS)
            .map(Cut::Fault)
            .chain(self.stop.map(|_| Cut::Stop))
            .chain((0..self.peers.len()).map(Cut::Peer))
            .chain((1..self.fibers.len()).rev().map(Cut::Fiber))
            .chain(steps)
            .collect()
    }

    /// The plan without those parts.
    pub fn without(mut self, cuts: &[Cut]) -> Plan {
        let mut fibers: Vec<Vec<Option<Step>>> =
            self.fibers.iter().map(|script| script.iter().copied().map(Some).collect()).collect();
        let mut peers: Vec<_> = self.peers.iter().copied().map(Some).collect();
        for &cut in cuts {
            match cut {
                Cut::Fiber(fiber) => {
                    fibers[fiber].clear();
                    let starts = |step: &mut Option<Step>| *step == Some(Step::Spawn(fiber));
                    fibers
                        .iter_mut()
                        .flatten()
                        .filter_map(|step| starts(step).then_some(step))
                        .for_each(|it| *it = None);
                }
                Cut::Step(fiber, at) => fibers[fiber].get_mut(at).into_iter().for_each(|step| *step = None),
                Cut::Peer(peer) => peers[peer] = None,
                Cut::Fault(fault) => *self.fault(fault) = 0,
                Cut::Stop => self.stop = None,
            }
        }
        self.fibers = fibers.into_iter().map(|script| script.into_iter().flatten().collect()).collect();
        self.peers = peers.into_iter().flatten().collect();
        self
    }

    fn fault(&mut self, at: usize) -> &mut u32 {
        let it = &mut self.character.faults;
        let faults: [&mut u32; FAULTS] = [
            &mut it.interrupted,
            &mut it.refused,
            &mut it.short,
            &mut it.reset,
            &mut it.exhausted,
            &mut it.spurious,
            &mut it.worker,
            &mut it.late_cancel,
            &mut it.partial,
            &mut it.stall,
            &mut it.scribble,
            &mut it.latency,
        ];
        faults.into_iter().nth(at).expect("a fault's place")
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Fiber(fiber) => write!(f, "f{fiber}"),
            Cut::Step(fiber, at) => write!(f, "s{fiber}.{at}"),
            Cut::Peer(peer) => write!(f, "p{peer}"),
            Cut::Fault(fault) => write!(f, "x{fault}"),
            Cut::Stop => write!(f, "e"),
        }
    }
}

impl Cut {
    /// Cuts as a command line carries them. What a fiber does is not told of when all of the fiber is left out.
    pub fn write(cuts: &[Cut]) -> String {
        let told = |cut: &Cut| !matches!(cut, Cut::Step(fiber, _) if cuts.contains(&Cut::Fiber(*fiber)));
        let mut cuts: Vec<Cut> = cuts.iter().copied().filter(told).collect();
        cuts.sort();
        cuts.dedup();
        let mut words: Vec<String> = Vec::new();
        let mut at = 0;
        while at < cuts.len() {
            let mut word = cuts[at].to_string();
            let first = at;
            if let Cut::Step(fiber, from) = cuts[at] {
                while cuts.get(at + 1) == Some(&Cut::Step(fiber, from + at + 1 - first)) {
                    at += 1;
                }
                if at > first {
                    word += &format!("-{}", from + at - first);
                }
            }
            words.push(word);
            at += 1;
        }
        words.join(",")
    }

    /// The cuts that [`write`](Cut::write) wrote.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with it.
    pub fn read(text: &str) -> Result<Vec<Cut>, String> {
        let mut cuts = Vec::new();
        for word in text.split(',') {
            let wrong = || format!("'{word}' names no part of a plan");
            let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
            match word.split_at_checked(1).ok_or_else(wrong)? {
                ("e", "") => cuts.push(Cut::Stop),
                ("f", rest) => cuts.push(Cut::Fiber(number(rest)?)),
                ("p", rest) => cuts.push(Cut::Peer(number(rest)?)),
                ("x", rest) => cuts.push(Cut::Fault(number(rest)?)),
                ("s", rest) => {
                    let (fiber, steps) = rest.split_once('.').ok_or_else(wrong)?;
                    let (from, to) = steps.split_once('-').unwrap_or((steps, steps));
                    let fiber = number(fiber)?;
                    cuts.extend((number(from)?..=number(to)?).map(|step| Cut::Step(fiber, step)));
                }
                _ => return Err(wrong()),
            }
        }
        Ok(cuts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyario_core::driver::BackendKind;

    #[test]
    fn cuts_can_be_written_down_and_leave_nothing() {
        let plan = Plan::new(3, BackendKind::Epoll);
        let mut cuts = plan.cuts();
        cuts.sort();
        let steps: Vec<Cut> = cuts.iter().copied().filter(|cut| !matches!(cut, Cut::Fiber(_))).collect();
        assert_eq!(Cut::read(&Cut::write(&steps)), Ok(steps));
        let rest = plan.without(&cuts);
        assert_eq!(rest.steps(), 0);
        assert_eq!(rest.character.faults, Default::default());
        assert!(rest.peers.is_empty() && rest.stop.is_none());
    }
}
