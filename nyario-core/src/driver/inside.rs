//! What is being waited for, for people to read.

use super::op::{Code, Request, State};
use super::{CALLER, Driver, OpId};
use crate::sys::{Fd, Kernel};

/// An operation that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wait {
    /// The word that was handed in with it.
    pub waiter: u64,
    /// The name of the call that it stands for, or why somebody parks.
    pub what: &'static str,
    /// Whether that is a park.
    pub parks: bool,
    /// The descriptor, if it has one.
    pub fd: Option<Fd>,
    /// For how many nanoseconds it has waited: as of the turns in which it began and which is under way, and to 10 ms.
    pub nanos: u64,
}

impl<K: Kernel> Driver<K> {
    /// Notes why somebody parks.
    #[inline]
    pub fn explain(&mut self, park: OpId, why: &'static str) {
        if let Some(index) = self.ledger.slab.find(park) {
            note(&mut self.ledger.slab[index].request, why);
        }
    }

    /// Everything that waits at present on behalf of somebody.
    pub fn waits(&self) -> impl Iterator<Item = Wait> + '_ {
        let slab = &self.ledger.slab;
        slab.unfinished().filter(|&index| slab[index].waiter != CALLER).map(|index| {
            let record = &slab[index];
            let Request { fd, code, .. } = record.request;
            debug_assert!(matches!(record.state, State::Waiting | State::InFlight));
            let what = reason(&record.request).unwrap_or(code.name());
            let fd = (code != Code::Park).then_some(fd);
            Wait { waiter: record.waiter, what, parks: code == Code::Park, fd, nanos: slab.age(index) }
        })
    }
}

/// A park needs no memory of its caller's, so there is room for a reason.
#[inline(always)]
pub(super) fn note(park: &mut Request, why: &'static str) {
    debug_assert!(park.code == Code::Park);
    (park.ptr, park.len) = (why.as_ptr().cast_mut(), why.len());
}

/// What [`note`] has written down.
fn reason(request: &Request) -> Option<&'static str> {
    if request.code != Code::Park || request.ptr.is_null() {
        return None;
    }
    // SAFETY: a park's pointer is null, or where `note` found a text that stays for ever, of that length.
    let bytes = unsafe { std::slice::from_raw_parts(request.ptr, request.len) };
    std::str::from_utf8(bytes).ok()
}
