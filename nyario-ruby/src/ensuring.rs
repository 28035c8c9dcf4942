//! What is done whichever way a call is left.

use crate::looped::QNIL;
use magnus::Error;
use magnus::rb_sys::protect;
use rb_sys::VALUE;

/// Calls `body`, and then `finish`, even when something is on its way out of the first: an exception, a throw, or the end
/// of the thread. Ruby puts back what it keeps of that, whatever `finish` has rescued; it would crash on its way without.
///
/// # Safety
///
/// The GVL is held; `finish` does not raise, and nothing with a destructor is alive in `body` where it may.
pub(crate) unsafe fn ensuring<B: FnMut() -> VALUE, F: FnMut()>(mut body: B, mut finish: F) -> Result<VALUE, Error> {
    unsafe extern "C" fn call<B: FnMut() -> VALUE>(body: VALUE) -> VALUE {
        // SAFETY: it is the closure below, which outlives the call.
        unsafe { (*(body as *mut B))() }
    }
    unsafe extern "C" fn call_last<F: FnMut()>(finish: VALUE) -> VALUE {
        // SAFETY: as in `call`.
        unsafe { (*(finish as *mut F))() };
        QNIL
    }
    let (body, finish) = (&raw mut body as VALUE, &raw mut finish as VALUE);
    // SAFETY: as above.
    protect(|| unsafe { rb_sys::rb_ensure(Some(call::<B>), body, Some(call_last::<F>), finish) })
}
