//! Cancelling: 0 when the target was caught, `-EALREADY` when it runs and decides for itself, `-ENOENT` when there is
//! none (any more). None of them says when the target's own completion comes.

use super::Work;
use super::operation::Stage;
use crate::model::file::FileId;
use crate::model::world::World;
use nyario_core::sys::abi::{Cqe, Sqe, uring as abi};

impl World {
    pub(super) fn cancel(&mut self, ring: FileId, sqe: &Sqe) {
        let target = sqe.addr;
        let found = self.uring(ring).operations.iter().find(|(_, op)| op.sqe.user_data == target);
        let Some((&op, operation)) = found else {
            return self.post(ring, Cqe { user_data: sqe.user_data, res: -libc::ENOENT, flags: 0 });
        };
        let (stage, single) = (operation.stage, operation.sqe.flags & abi::SQE_BUFFER_SELECT == 0);
        let late = self.character.faults.late_cancel;
        let target_first = self.strikes(256);
        let result = match stage {
            Stage::Over => -libc::ENOENT,
            // No worker has begun with it yet.
            Stage::Working if !self.operation(ring, op).cancelled && self.strikes(256) => {
                self.complete(ring, op, -libc::ECANCELED, 0);
                0
            }
            Stage::Working => {
                self.operation(ring, op).cancelled = true;
                -libc::EALREADY
            }
            Stage::Armed(_) if single && self.strikes(late) => {
                let operation = self.operation(ring, op);
                operation.cancelled = true;
                operation.stage = Stage::Working;
                self.give_to_worker(ring, op);
                -libc::EALREADY
            }
            Stage::Armed(_) | Stage::Woken => {
                let operation = self.operation(ring, op);
                operation.cancelled = true;
                operation.stage = Stage::Woken;
                if target_first {
                    self.run(ring, op);
                } else {
                    self.leave_work(ring, Work::Operation(op));
                }
                0
            }
        };
        self.post(ring, Cqe { user_data: sqe.user_data, res: result, flags: 0 });
    }
}
