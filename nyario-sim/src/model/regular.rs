//! Regular files: content that any number of open files share, each at a position of its own. They never say `EAGAIN`
//! and cannot be waited for.

use super::transfer::{Lent, drain, fill, length};
use std::cell::RefCell;
use std::rc::Rc;

/// What a file holds. Its maker may look into it.
pub type Content = Rc<RefCell<Vec<u8>>>;

pub(crate) struct Regular {
    pub(crate) content: Content,
    pub(crate) inode: u32,
    /// Where its descriptors read and write next.
    pub(crate) position: usize,
}

impl Regular {
    /// # Safety
    ///
    /// The memory must be lent for writing.
    pub(crate) unsafe fn read(&mut self, into: &[Lent]) -> i32 {
        let content = self.content.borrow();
        let from = self.position.min(content.len());
        // SAFETY: forwarded from the caller.
        let count = unsafe { fill(into, content[from..].iter().copied()) };
        self.position += count;
        count as i32
    }

    /// # Safety
    ///
    /// The memory must be lent for reading.
    pub(crate) unsafe fn write(&mut self, from: &[Lent]) -> i32 {
        let mut content = self.content.borrow_mut();
        let count = length(from);
        let (begin, end) = (self.position, self.position + count);
        if content.len() < end && count > 0 {
            content.resize(end, 0);
        }
        // SAFETY: forwarded from the caller.
        content[begin..end].copy_from_slice(&unsafe { drain(from, count) });
        self.position = end;
        count as i32
    }
}
