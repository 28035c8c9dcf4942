//! What kind of kernel the model is, and what it does to its guests.

use nyario_core::sys::abi::uring as abi;

/// How often which adversity strikes, each out of 1024 occasions.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Faults {
    /// A wait or a transfer is cut short by a signal.
    pub interrupted: u32,
    /// A transfer says `EAGAIN` although readiness was reported; the event that allows another try comes later.
    pub refused: u32,
    /// A write takes less than there is room for, as under memory pressure.
    pub short: u32,
    /// A connection breaks.
    pub reset: u32,
    /// Descriptors or memory run out.
    pub exhausted: u32,
    /// An event is reported that nothing stands behind, or that was reported before.
    pub spurious: u32,
    /// What could be done at once is done by a worker, later.
    pub worker: u32,
    /// A cancel finds its target running, and the target decides.
    pub late_cancel: u32,
    /// An enter takes only some of the submissions.
    pub partial: u32,
    /// The thread is not scheduled for a while.
    pub stall: u32,
    /// Lent memory is scribbled over before its operation completes.
    pub scribble: u32,
    /// Bytes reach the peer only after a while, and in pieces.
    pub latency: u32,
}

/// What a kernel's io_uring and its neighbours know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// `SETUP_*` that are not refused.
    pub setup: u32,
    /// `FEAT_*`.
    pub features: u32,
    /// `ENTER_*` that are not refused.
    pub enter: u32,
    /// A bit for each opcode.
    pub opcodes: u64,
    /// Whether `ACCEPT_MULTISHOT` is known.
    pub multishot_accept: bool,
    /// Whether `RECV_MULTISHOT` is known.
    pub multishot_receive: bool,
    /// Whether `RECVSEND_POLL_FIRST` is heeded; before there was it, its place was not looked at.
    pub poll_first: bool,
    /// Whether completions say that more can be received (`CQE_F_SOCK_NONEMPTY`).
    pub nonempty: bool,
    /// Whether buffer rings can be registered.
    pub buffer_rings: bool,
    /// Whether rings can be registered with their task.
    pub registered_rings: bool,
    /// Whether `RWF_NOWAIT` works on pipes and eventfds.
    pub nowait_streams: bool,
    /// Whether a read of a non-blocking descriptor is refused where others wait.
    pub nonblocking_refused: bool,
}

impl Features {
    /// A kernel of our days.
    pub const MODERN: Features = Features {
        setup: u32::MAX,
        features: abi::FEAT_SINGLE_MMAP
            | abi::FEAT_NODROP
            | abi::FEAT_SUBMIT_STABLE
            | abi::FEAT_FAST_POLL
            | abi::FEAT_EXT_ARG
            | abi::FEAT_NO_IOWAIT,
        enter: u32::MAX,
        opcodes: u64::MAX,
        multishot_accept: true,
        multishot_receive: true,
        poll_first: true,
        nonempty: true,
        buffer_rings: true,
        registered_rings: true,
        nowait_streams: true,
        nonblocking_refused: false,
    };

    /// Linux 5.11, the oldest whose io_uring serves nyario.
    pub const OLD: Features = Features {
        setup: abi::SETUP_CQSIZE | abi::SETUP_CLAMP,
        features: Features::MODERN.features & !abi::FEAT_NO_IOWAIT,
        enter: abi::ENTER_GETEVENTS | abi::ENTER_EXT_ARG,
        multishot_accept: false,
        multishot_receive: false,
        poll_first: false,
        nonempty: false,
        buffer_rings: false,
        registered_rings: false,
        nowait_streams: false,
        nonblocking_refused: true,
        ..Features::MODERN
    };
}

/// A model kernel's character.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Character {
    /// What it knows.
    pub features: Features,
    /// What it does.
    pub faults: Faults,
    /// The descriptors that one process may have.
    pub descriptors: usize,
    /// The bytes that fit into one direction of a connection.
    pub socket_buffer: usize,
    /// The bytes that fit into a pipe.
    pub pipe_buffer: usize,
}

impl Default for Character {
    fn default() -> Character {
        Character {
            features: Features::MODERN,
            faults: Faults::default(),
            descriptors: 1024,
            socket_buffer: 64 * 1024,
            pipe_buffer: 64 * 1024,
        }
    }
}
