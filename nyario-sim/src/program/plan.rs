//! What a run is to do: a tree of fibers with a script each, other threads, and the kernel beneath. A plan comes from a
//! seed whole, before anything runs, so that parts of it can be taken away and the rest stays as it was.

use super::calls::Manner;
use super::claim::PATHS;
use super::kernels::character;
use super::wide::is_wide;
use crate::model::Character;
use crate::random::Random;
use nyario_core::driver::{BackendKind, Config};

/// How bytes are moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// `Read` or `Write`.
    Plain,
    /// `Readv` or `Writev`, in so many parts.
    Vectored(u8),
    /// `Recv` or `Send`.
    Socket,
}

/// One thing that a fiber does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Reads once.
    Read(usize, u32, How),
    /// Writes once.
    Write(usize, u32, How),
    /// Waits until a read is likely to succeed.
    AtHand(usize),
    /// Waits for poll events.
    Poll(usize, u32),
    /// Closes.
    Close(usize),
    /// Closes past the loop.
    CloseBehind(usize),
    /// Ends one direction of a connection or both, past the loop, as shutdown(2) says it.
    Shut(usize, i32),
    /// Opens a server at a path, past the loop.
    Claim(usize),
    /// Closes it.
    Leave(usize),
    /// Opens a pair anew whose two ends are closed.
    Reopen(usize),
    /// Connects to a server (or, one beyond them, to the listener of `Serve`), says so many bytes, expects their echo,
    /// and closes.
    Dial(usize, u32),
    /// Accepts one connection and echoes until it ends.
    Serve,
    /// Sleeps for so many nanoseconds.
    Sleep(u64),
    /// Lets others run.
    Yield,
    /// Never rests until another fiber has read a byte that is there.
    Spin,
    /// Sets the deadline so many nanoseconds ahead, 0 for none.
    Deadline(u64),
    /// Cancels a fiber.
    Cancel(usize),
    /// Starts a fiber.
    Spawn(usize),
    /// Joins a fiber that it has started.
    Join(usize),
    /// Receives by a socket's call.
    Receive(usize, u32, Manner),
    /// Sends by a socket's call.
    Send(usize, u32, Manner),
    /// Waits for any of several ends, for so many nanoseconds at most.
    Polls([usize; 3], u32, Option<u64>),
    /// Moves bytes from one end to another, one of which is a pipe's.
    Splice(usize, usize, u32),
    /// Sends of a file.
    SendFile(usize, usize, u32),
    /// Ends one direction of a connection or both, by the library's own call.
    Shutdown(usize, i32),
    /// Like `Serve`, and asks who it is that comes.
    ServeFrom,
    /// Narrows the deadline to the first, sleeps for the second, and widens it again.
    Within(u64, u64),
    /// Holds the mutex for so many nanoseconds.
    Lock(u64),
    /// Sends an element through a channel.
    Give(usize),
    /// Receives one.
    Take(usize),
    /// Receives one from whichever channel has one.
    Choose,
}

/// What connects two ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// A TCP connection.
    Inet,
    /// A unix connection.
    Unix,
    /// A pipe: the first end reads, the second writes.
    Pipe,
    /// Two datagram sockets.
    Messages,
    /// A regular file, opened twice: the first end reads, the second writes.
    File,
}

impl Link {
    /// Whether sockets are its ends.
    pub(super) fn is_socket(self) -> bool {
        self.is_connection() || self == Link::Messages
    }

    /// Whether the ends of a connection are its ends.
    pub(super) fn is_connection(self) -> bool {
        matches!(self, Link::Inet | Link::Unix)
    }
}

/// Two ends that fibers, and perhaps another thread, use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PairPlan {
    /// What connects them.
    pub link: Link,
    /// Whether nyario alone reads them.
    pub owned: bool,
    /// Whether the descriptors are non-blocking.
    pub nonblocking: bool,
    /// Whether the second end belongs to another thread.
    pub thread: bool,
}

/// Another thread that connects to a server, talks for a while, and leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerPlan {
    /// Which server.
    pub server: usize,
    /// When it comes.
    pub start: u64,
    /// How much it says.
    pub bytes: u32,
    /// How it leaves.
    pub leave: Leave,
}

/// How a peer leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// When it has its echo.
    Close,
    /// It says that it is done, waits for the rest, and closes.
    HalfClose,
    /// In the middle of it all.
    Early,
    /// By a reset.
    Reset,
    /// It stops talking and listening and stays, for a long time.
    Stall,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scripts; fiber 0 is the first.
    pub fibers: Vec<Vec<Step>>,
    /// The connected ends; pair `n` has the ends `2n` and `2n + 1`.
    pub pairs: Vec<PairPlan>,
    /// For each registered server, whether it starts handlers eagerly.
    pub servers: Vec<bool>,
    /// Other threads.
    pub peers: Vec<PeerPlan>,
    /// When another thread asks the loop to end, if one does.
    pub stop: Option<u64>,
    /// The seed of the kernel's choices.
    pub kernel_seed: u64,
    /// The kernel's character.
    pub character: Character,
    /// The loop's sizes.
    pub config: Config,
}

const MILLI: u64 = 1_000_000;

impl Plan {
    /// The plan that belongs to a seed.
    pub fn new(seed: u64, backend: BackendKind) -> Plan {
        let mut random = Random::new(seed);
        let steps = random.pick(&[20, 100, 300, 300, 1000]);
        let character = character(&mut random);
        let config = config(&mut random, backend);
        let pairs: Vec<PairPlan> = (0..random.between(1, 6)).map(|_| pair(&mut random)).collect();
        let servers: Vec<bool> = (0..random.below(3)).map(|_| random.chance(300)).collect();
        let fibers = random.between(2, 4 + steps / 24) as usize;
        let weights = Weights::new(&mut random);
        let mut scripts: Vec<Vec<Step>> = vec![Vec::new(); fibers];
        // Each fiber but the first is started by one before it, early on.
        let parents: Vec<usize> = (0..fibers).map(|fiber| random.index(fiber.max(1))).collect();
        for fiber in 1..fibers {
            scripts[parents[fiber]].push(Step::Spawn(fiber));
        }
        for (fiber, script) in scripts.iter_mut().enumerate() {
            let children: Vec<usize> = (1..fibers).filter(|&child| parents[child] == fiber).collect();
            let count = random.between(1, 2 * steps / fibers as u64 + 1);
            for _ in 0..count {
                let step = weights.step(&mut random, pairs.len() * 2, servers.len(), fibers, &children);
                let at = random.index(script.len() + 1).max(script.len() / 2);
                script.insert(at, step);
            }
        }
        let peers = if servers.is_empty() {
            Vec::new()
        } else {
            (0..random.below(8)).map(|_| peer(&mut random, servers.len())).collect()
        };
        let stop = random.chance(100).then(|| random.below(20 * MILLI));
        let kernel_seed = random.word();
        let mut plan = Plan { fibers: scripts, pairs, servers, peers, stop, kernel_seed, character, config };
        if is_wide(seed) {
            plan.widen(&mut random);
        }
        plan
    }

    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.fibers.iter().map(Vec::len).sum()
    }
}

fn pair(random: &mut Random) -> PairPlan {
    let link = random.pick(&[
        Link::Inet,
        Link::Inet,
        Link::Inet,
        Link::Unix,
        Link::Unix,
        Link::Pipe,
        Link::Messages,
        Link::File,
    ]);
    PairPlan {
        link,
        owned: match link {
            // A copy is asked, so that every seed keeps its program.
            Link::Pipe => random.clone().chance(500),
            link => link.is_connection() && random.chance(600),
        },
        nonblocking: random.chance(300),
        thread: link.is_socket() && random.chance(300),
    }
}

fn peer(random: &mut Random, servers: usize) -> PeerPlan {
    use Leave::{Close, Early, HalfClose, Reset, Stall};
    PeerPlan {
        server: random.index(servers),
        start: random.below(5 * MILLI),
        bytes: size(random),
        leave: random.pick(&[Close, Close, HalfClose, HalfClose, Early, Reset, Stall]),
    }
}

pub(super) fn size(random: &mut Random) -> u32 {
    let most = random.pick(&[1, 8, 8, 64, 64, 512, 512, 6000]);
    random.between(1, most) as u32
}

fn config(random: &mut Random, backend: BackendKind) -> Config {
    let submissions = random.pick(&[1, 2, 4, 16, 64]);
    Config {
        backend: Some(backend),
        submissions,
        completions: submissions * random.pick(&[1, 2, 4, 16]),
        buffers: random.pick(&[1, 2, 4, 16, 64]),
        buffer_size: random.pick(&[1, 16, 64, 1024]),
        few: random.pick(&[0, 0, 4]),
    }
}

/// How often each kind of step comes; each plan has its own leanings.
struct Weights([u32; 17]);

impl Weights {
    fn new(random: &mut Random) -> Weights {
        let usual = [30u32, 34, 3, 6, 5, 2, 6, 8, 3, 10, 10, 5, 8, 6, 1, 3, 2];
        let mut weights = usual.map(|weight| weight * random.pick(&[0, 1, 1, 1, 3]));
        // It takes a thousand switches, so not every plan has it.
        weights[14] *= u32::from(random.chance(256));
        Weights(weights)
    }

    fn step(&self, random: &mut Random, ends: usize, servers: usize, fibers: usize, children: &[usize]) -> Step {
        let total: u32 = self.0.iter().sum();
        let mut at = if total == 0 { 1 } else { random.below(total.into()) as u32 };
        let kind = self.0.iter().position(|&weight| {
            let found = at < weight;
            at = at.saturating_sub(weight);
            found
        });
        let end = random.index(ends);
        let parts = random.between(1, 3) as u8;
        let how = random.pick(&[How::Plain, How::Plain, How::Vectored(parts), How::Socket]);
        match kind.unwrap_or(0) {
            0 => Step::Read(end, size(random), how),
            1 => Step::Write(end, size(random), how),
            2 => Step::AtHand(end),
            3 => {
                let events =
                    [libc::POLLIN, libc::POLLOUT, libc::POLLIN | libc::POLLRDHUP, libc::POLLIN | libc::POLLOUT];
                Step::Poll(end, random.pick(&events) as u32)
            }
            4 => Step::Close(end),
            5 => Step::CloseBehind(end),
            6 => Step::Reopen(end / 2),
            7 if servers > 0 => Step::Dial(random.index(servers), size(random)),
            8 => random.pick(&[Step::Serve, Step::Dial(servers, 40)]),
            9 => {
                let most = random.pick(&[1000, 100_000, 3 * MILLI]);
                Step::Sleep(random.below(most))
            }
            11 => Step::Deadline(if random.chance(400) { 0 } else { random.below(4 * MILLI) }),
            12 => Step::Cancel(random.index(fibers)),
            13 if !children.is_empty() => Step::Join(random.pick(children)),
            14 => Step::Spin,
            15 => Step::Shut(end, random.pick(&[libc::SHUT_WR, libc::SHUT_WR, libc::SHUT_RD, libc::SHUT_RDWR])),
            16 => {
                let path = random.index(PATHS);
                random.pick(&[Step::Claim(path), Step::Leave(path)])
            }
            _ => Step::Yield,
        }
    }
}
