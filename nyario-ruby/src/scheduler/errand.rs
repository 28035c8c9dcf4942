//! Work on the core's native threads, which a fiber waits for.

use crate::looped::{self, Looped, Waited};
use crate::typed::{self, DataType, Typed};
use nyario_core::driver::Op;
use nyario_core::offload::{self, Work};
use std::ffi::{CStr, c_int};

/// What work comes to: a count or a negative errno, and bytes.
pub(super) struct Answer {
    pub(super) result: i64,
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    pub(super) fn failed(result: i32) -> Answer {
        Answer { result: result.into(), bytes: Vec::new() }
    }
}

/// The work under way, in the hands of the garbage collector: a fiber may be dropped where it waits.
struct Errand(Option<Work<Answer>>);

impl Typed for Errand {
    const NAME: &'static CStr = c"Nyario errand";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Errand>();
        &TYPE
    };

    fn mark(&self) {}
}

/// Has `work` done on a native thread while the caller's fiber waits; where there is no fiber to suspend it is done at
/// once. It owns all that it works on, so an exception in the fiber leaves it: `Err` is Ruby's tag of that.
///
/// # Safety
///
/// The GVL is held, `looped` is the thread's own and runs, and the caller holds nothing with a destructor.
pub(super) unsafe fn run(looped: *mut Looped, work: impl FnOnce() -> Answer + Send + 'static) -> Result<Answer, c_int> {
    // SAFETY: as above. While the fiber waits, the work is the pool's, and nothing in this frame has to be dropped.
    unsafe {
        let object = typed::wrap(rb_sys::rb_cObject, Errand(None));
        let errand = typed::unwrap::<Errand>(object);
        let mut work = Some(work);
        let mut refused = 0;
        let waited = looped::carry_out(looped, Op::Park, 0, |park| {
            let waker = (*looped).runtime.driver().waker();
            match offload::begin(waker, park, work.take().expect("it is begun once")) {
                Ok(begun) => (*errand).0 = Some(begun),
                Err(error) => {
                    refused = error.result();
                    (*looped).runtime.cancel(park);
                }
            }
        });
        let begun = (*errand).0.take();
        std::hint::black_box(object);
        match waited {
            None => Ok(work.expect("nobody has begun it")()),
            Some(Waited { tag, .. }) if tag != 0 => Err(tag),
            Some(_) if refused != 0 => Ok(Answer::failed(refused)),
            Some(Waited { result, .. }) if result < 0 => Ok(Answer::failed(result)),
            Some(_) => Ok(begun.and_then(Work::end).unwrap_or(Answer::failed(-libc::ENOTRECOVERABLE))),
        }
    }
}
