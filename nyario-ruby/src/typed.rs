//! Ruby objects that carry a Rust value.

use rb_sys::{VALUE, rb_check_typeddata, rb_data_type_struct__bindgen_ty_1, rb_data_type_t, rb_data_typed_object_wrap};
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;

/// A value that a Ruby object owns: what it shows the garbage collector, and its class's name.
pub(crate) trait Typed: Sized + 'static {
    const NAME: &'static CStr;
    const TYPE: &'static DataType;

    /// Marks the Ruby values that it holds: with `rb_gc_mark` those that have to stay where they are, with [`mark_movable`]
    /// those that [`compact`](Self::compact) follows.
    fn mark(&self);

    /// Follows the values that compaction has moved, by [`follow`].
    fn compact(&mut self) {}
}

/// Marks a value that may be moved.
///
/// # Safety
///
/// The collector marks, and the value is nil or a live object.
#[inline]
pub(crate) unsafe fn mark_movable(value: VALUE) {
    // SAFETY: as above.
    unsafe { rb_sys::rb_gc_mark_movable(value) }
}

/// Finds out where a value marked as movable is now.
///
/// # Safety
///
/// The collector compacts.
#[inline]
pub(crate) unsafe fn follow(value: &mut VALUE) {
    // SAFETY: as above.
    *value = unsafe { rb_sys::rb_gc_location(*value) };
}

/// Ruby's description of a kind of object. It is constant, so threads may share it.
#[repr(transparent)]
pub(crate) struct DataType(rb_data_type_t);

// SAFETY: Ruby only reads it.
unsafe impl Sync for DataType {}

impl DataType {
    pub(crate) const fn of<T: Typed>() -> DataType {
        DataType(rb_data_type_t {
            wrap_struct_name: T::NAME.as_ptr(),
            function: rb_data_type_struct__bindgen_ty_1 {
                dmark: Some(mark::<T>),
                dfree: Some(free::<T>),
                dsize: Some(size::<T>),
                dcompact: Some(compact::<T>),
                reserved: [null_mut(); 1],
            },
            parent: std::ptr::null(),
            data: null_mut(),
            flags: rb_sys::rbimpl_typeddata_flags::RUBY_TYPED_FREE_IMMEDIATELY as VALUE,
        })
    }
}

unsafe extern "C" fn mark<T: Typed>(data: *mut c_void) {
    // SAFETY: Ruby hands in what `wrap` put there.
    unsafe { (*data.cast::<T>()).mark() }
}

unsafe extern "C" fn compact<T: Typed>(data: *mut c_void) {
    // SAFETY: Ruby hands in what `wrap` put there, while nothing else runs.
    unsafe { (*data.cast::<T>()).compact() }
}

unsafe extern "C" fn free<T: Typed>(data: *mut c_void) {
    // SAFETY: Ruby hands in, once, the box that `wrap` gave away.
    drop(unsafe { Box::from_raw(data.cast::<T>()) });
}

unsafe extern "C" fn size<T: Typed>(_data: *const c_void) -> rb_sys::size_t {
    size_of::<T>() as rb_sys::size_t
}

/// Gives a value to a new Ruby object of that class.
///
/// # Safety
///
/// The GVL is held. If Ruby has no memory left, it raises, and the value is leaked.
pub(crate) unsafe fn wrap<T: Typed>(class: VALUE, value: T) -> VALUE {
    let data = Box::into_raw(Box::new(value));
    // SAFETY: as above; the type describes just this.
    unsafe { rb_data_typed_object_wrap(class, data.cast(), &T::TYPE.0) }
}

/// The value that an object carries; raises a TypeError for an object of another kind.
///
/// # Safety
///
/// The GVL is held, and the object is alive for as long as the value is used.
#[inline]
pub(crate) unsafe fn unwrap<T: Typed>(object: VALUE) -> *mut T {
    // SAFETY: as above; the type is that of `T`.
    unsafe {
        match carried(object, &T::TYPE.0) {
            Some(data) => data.cast(),
            None => rb_check_typeddata(object, &T::TYPE.0).cast(),
        }
    }
}

/// What an object of just that type carries, without a call: each hook asks, for each message.
#[inline]
unsafe fn carried(object: VALUE, of: &rb_data_type_t) -> Option<*mut c_void> {
    // SAFETY: called with the GVL held, and each question is asked only once the one before it allows it.
    unsafe {
        let typed = !rb_sys::SPECIAL_CONST_P(object)
            && rb_sys::RB_BUILTIN_TYPE(object) == rb_sys::ruby_value_type::RUBY_T_DATA
            && rb_sys::RTYPEDDATA_P(object);
        (typed && std::ptr::eq(rb_sys::RTYPEDDATA_TYPE(object), of)).then(|| rb_sys::RTYPEDDATA_GET_DATA(object))
    }
}

/// Whether an object carries a `T`.
///
/// # Safety
///
/// The GVL is held.
pub(crate) unsafe fn is<T: Typed>(object: VALUE) -> bool {
    // SAFETY: as above.
    unsafe { rb_sys::rb_typeddata_is_kind_of(object, &T::TYPE.0) != 0 }
}
