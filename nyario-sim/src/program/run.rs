//! One run of a plan, from an empty kernel to an empty kernel.

use super::fiber::handle;
use super::plan::Plan;
use super::rig::Rig;
use super::{fiber, peer};
use crate::model::{Character, Faults, Model};
use nyario_core::fiber::Loop;
use nyario_core::net;
use nyario_core::runtime::Start;
use nyario_core::sys::Fd;
use std::cell::OnceCell;
use std::rc::Rc;

/// What a run came to.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    /// Operations of fibers that came to their end.
    pub operations: u64,
    /// System calls that the model served.
    pub calls: u64,
}

/// Runs a plan. `watch` is shown the kernel before anything happens.
///
/// # Panics
///
/// When the oracle finds something amiss.
pub fn run(plan: Plan, watch: impl FnOnce(&Model)) -> Tally {
    let faults = plan.character.faults;
    // The scene is set in peace.
    let peaceful = Character { faults: Faults::default(), ..plan.character };
    let model = Model::new(plan.kernel_seed, peaceful);
    watch(&model);
    let looped = Box::into_raw(Box::new(Loop::new(model.clone(), &plan.config).expect("a loop in peace")));
    // SAFETY: it is a box, freed below; what runs on it has ended by then.
    let shared: &'static Loop<Model> = unsafe { &*looped };

    let listeners: Vec<(Fd, u16)> = (0..=plan.servers.len()).map(|_| listen(&model)).collect();
    let (hall, ports) = (listeners[plan.servers.len()].0, listeners.iter().map(|&(_, port)| port).collect());
    let cell: Rc<OnceCell<Rc<Rig>>> = Rc::default();
    for (&(fd, _), &eager) in listeners.iter().zip(&plan.servers) {
        let start = if eager { Start::Eager } else { Start::Lazy };
        let rig = cell.clone();
        let handler = move |fd| handle(rig.get().expect("set before the loop runs"), fd);
        shared.register(fd, start, handler).expect("a listener");
    }
    let rig = Rc::new(Rig::new(plan, shared, model.clone(), hall, ports));
    cell.set(rig.clone()).ok().expect("set once");
    for pair in 0..rig.plan.pairs.len() {
        rig.open(pair);
        peer::attend(&rig, pair);
    }
    rig.plan.peers.iter().for_each(|&plan| peer::visit(&rig, plan));
    if let Some(when) = rig.plan.stop {
        let stopping = rig.clone();
        model.later(when, move || stopping.stop());
    }
    let watcher = rig.clone();
    model.when_idle(move |for_ever| watcher.idle(for_ever));
    model.set_faults(faults);

    if !rig.plan.fibers.is_empty() {
        fiber::spawn(&rig, 0, true);
    }
    shared.run().expect("it runs once");
    assert_eq!(shared.fibers(), 0, "fibers are left");
    rig.stopped.set(true);
    // SAFETY: it came from a box, every fiber has ended, and the rig does not use it any more.
    drop(unsafe { Box::from_raw(looped) });
    model.forget_future();
    rig.settle();
    Tally { operations: rig.operations.get(), calls: model.calls() }
}

fn listen(model: &Model) -> (Fd, u16) {
    let fd = net::listen(model, "127.0.0.1:0").expect("a listener in peace");
    match net::Address::of_socket(model, fd) {
        Ok(net::Address::Inet(address)) => (fd, address.port()),
        other => panic!("a listener is at {other:?}"),
    }
}
