//! What `asan.rs` says, in builds without it: nothing.

use crate::fiber::stack::Slot;

pub(in crate::fiber) struct Left;

#[inline(always)]
pub(in crate::fiber) fn poison(_low: usize, _size: usize) {}

#[inline(always)]
pub(in crate::fiber) fn unpoison(_low: usize, _size: usize) {}

#[inline(always)]
pub(in crate::fiber) fn leave(_slot: Option<Slot>) -> Left {
    Left
}

#[inline(always)]
pub(in crate::fiber) fn leave_for_ever() {}

#[inline(always)]
pub(in crate::fiber) fn arrived(_left: Left) {}

#[inline(always)]
pub(in crate::fiber) fn begun() {}
