//! `Nyario.sleep`.

use crate::looped::{self, QNIL};
use crate::{blocking, moment, raise};
use nyario_core::driver::Op;
use nyario_core::sys::{Kernel, Linux};
use rb_sys::VALUE;

/// `sleep(seconds)`.
pub(crate) unsafe extern "C" fn sleep(_: VALUE, seconds: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held; a park borrows nothing.
    unsafe {
        let nanos = moment::nanos(seconds);
        let looped = looped::running();
        if looped.is_null() {
            blocking::sleep(nanos);
            return QNIL;
        }
        let until = Linux.now().saturating_add(nanos).max(1);
        let named = |park| (*looped).runtime.driver().explain(park, "sleep");
        match looped::perform(looped, Op::Park, until, named) {
            Some(error) if error < 0 => raise::system_call(error),
            Some(_) => {}
            None => blocking::sleep(nanos),
        }
        QNIL
    }
}
