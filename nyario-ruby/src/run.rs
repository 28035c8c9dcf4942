//! `Nyario.run`: a block, and a loop for as long as it takes.

use crate::looped::{self, QNIL};
use crate::{api, fiber, raise, task, typed};
use magnus::rb_sys::{FromRawValue, protect};
use magnus::{Error, Ruby, Value};

pub(crate) fn run(ruby: &Ruby) -> Result<Value, Error> {
    // SAFETY: magnus calls with the GVL held; no borrow outlives its statement, and what may raise runs under `protect`.
    unsafe {
        let looped = looped::running();
        if !looped.is_null() && rb_sys::rb_fiber_current() != (*looped).root {
            return protect(|| rb_sys::rb_yield_values2(0, std::ptr::null())).map(|value| Value::from_raw(value));
        }
        let mut main = QNIL;
        protect(|| {
            let block = api::block();
            if !looped::running().is_null() {
                raise::runtime("the loop of this thread runs already");
            }
            main = task::spawn(block, QNIL, QNIL, true);
            main
        })?;
        api::run_loop(ruby)?;
        let task = typed::unwrap::<task::Task>(main);
        let (value, error) = ((*task).value(), (*task).error());
        std::hint::black_box(main);
        // The loop was stopped while the block waited.
        let refused = error != QNIL && fiber::errno(error) == Some(libc::ECANCELED);
        if error != QNIL && !refused {
            protect(|| rb_sys::rb_exc_raise(error))?;
        }
        Ok(Value::from_raw(value))
    }
}
