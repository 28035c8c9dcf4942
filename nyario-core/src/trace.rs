//! What the Tracy profiler is told, in a build with the feature `tracy`: zones for a turn, its wait and its sweep, a frame
//! for each turn, and which fiber runs. Without the feature nothing of this is compiled.

/// A zone from here to the end of the block.
macro_rules! zone {
    ($name:literal) => {
        #[cfg(feature = "tracy")]
        let _zone = tracy_client::Client::start().span(tracy_client::span_location!($name), 0);
    };
}

pub(crate) use zone;

/// The end of a turn.
#[inline(always)]
pub(crate) fn turn_ends() {
    #[cfg(feature = "tracy")]
    tracy_client::Client::start().frame_mark();
}

#[cfg(feature = "tracy")]
pub(crate) mod fibers {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::ffi::{CStr, CString};

    thread_local! {
        /// Tracy keeps a fiber's name by its address, for ever; those that are used again are found here.
        static NAMES: RefCell<HashMap<String, &'static CStr>> = RefCell::default();
    }

    /// A fiber runs on this thread from here on: one of that name, or else the one at that place.
    pub(crate) fn enter(name: &str, place: u32) {
        let name = if name.is_empty() { format!("fiber {place}") } else { name.to_string() };
        let known = NAMES.with_borrow(|names| names.get(&name).copied());
        let text = known.unwrap_or_else(|| {
            let text = CString::new(name.as_str()).expect("a name has no control characters");
            let text: &'static CStr = Box::leak(text.into_boxed_c_str());
            NAMES.with_borrow_mut(|names| names.insert(name, text));
            text
        });
        tracy_client::Client::start();
        // SAFETY: the text stays for ever.
        unsafe { tracy_client::sys::___tracy_fiber_enter(text.as_ptr()) };
    }

    /// The thread itself goes on.
    pub(crate) fn leave() {
        // SAFETY: it takes nothing, and the client runs since `enter`.
        unsafe { tracy_client::sys::___tracy_fiber_leave() };
    }
}
