//! The kernels that plans run on: what each does to its guests, and what it does not know.

use crate::model::{Character, Faults, Features};
use crate::random::Random;
use nyario_core::sys::abi::uring as abi;

pub(super) fn character(random: &mut Random) -> Character {
    // A third of all kernels do no harm, and the others do not do every harm.
    let harmless = random.chance(300);
    let mut rate = |most: u64| {
        let rate = random.between(1, most) as u32;
        if harmless || random.chance(500) { 0 } else { rate }
    };
    let faults = Faults {
        interrupted: rate(60),
        refused: rate(100),
        short: rate(300),
        reset: rate(100),
        exhausted: rate(60),
        spurious: rate(200),
        worker: rate(300),
        late_cancel: rate(500),
        partial: rate(60),
        stall: rate(10),
        scribble: rate(300),
        latency: rate(800),
    };
    let features = match random.below(10) {
        0..3 => aged(random),
        3..6 => patched(random),
        _ => Features::MODERN,
    };
    Character {
        features,
        faults,
        descriptors: random.pick(&[24, 40, 1024, 1024, 1024]),
        socket_buffer: random.pick(&[1, 16, 100, 1000, 4096, 65_536]),
        pipe_buffer: random.pick(&[4096, 8192, 65_536]),
    }
}

/// A kernel of some age: from newest to oldest, as they gained their features.
fn aged(random: &mut Random) -> Features {
    let mut features = Features::MODERN;
    let age = random.below(7);
    let mut without = |at: u64, lose: &dyn Fn(&mut Features)| {
        if age >= at {
            lose(&mut features);
        }
    };
    without(1, &|it| it.features &= !abi::FEAT_NO_IOWAIT);
    without(1, &|it| it.enter &= !abi::ENTER_NO_IOWAIT);
    without(2, &|it| it.setup &= !abi::SETUP_NO_SQARRAY);
    without(3, &|it| it.setup &= !(abi::SETUP_SINGLE_ISSUER | abi::SETUP_DEFER_TASKRUN));
    without(4, &|it| it.multishot_receive = false);
    without(5, &|it| it.setup &= !(abi::SETUP_COOP_TASKRUN | abi::SETUP_TASKRUN_FLAG));
    without(5, &|it| it.multishot_accept = false);
    without(5, &|it| it.buffer_rings = false);
    without(5, &|it| (it.poll_first, it.nonempty) = (false, false));
    without(6, &|it| *it = Features::OLD);
    features
}

/// A kernel that vendors have made of parts, or whose administrator forbids some: anything may be missing that nothing
/// else in it builds on.
fn patched(random: &mut Random) -> Features {
    let mut it = Features::MODERN;
    let setups = [
        abi::SETUP_NO_SQARRAY,
        abi::SETUP_SINGLE_ISSUER | abi::SETUP_DEFER_TASKRUN,
        abi::SETUP_DEFER_TASKRUN,
        abi::SETUP_COOP_TASKRUN,
        abi::SETUP_TASKRUN_FLAG,
        abi::SETUP_SUBMIT_ALL,
    ];
    let few = random.pick(&[100, 300, 512]);
    let mut lacks = || random.chance(few);
    for setup in setups {
        if lacks() {
            it.setup &= !setup;
        }
    }
    if lacks() {
        it.features &= !abi::FEAT_NO_IOWAIT;
        it.enter &= !abi::ENTER_NO_IOWAIT;
    }
    it.multishot_accept = !lacks();
    it.multishot_receive = !lacks();
    it.buffer_rings = !lacks();
    // Buffer rings are no older than the flag, and without them nothing else hangs on it.
    it.poll_first = it.buffer_rings || !lacks();
    it.nonempty = !lacks();
    it.registered_rings = !lacks();
    it.nowait_streams = !lacks();
    it.nonblocking_refused = lacks();
    it
}
