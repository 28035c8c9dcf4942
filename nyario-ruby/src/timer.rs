//! `Nyario.after` and `Nyario.every`: blocks that run once their time has come, on a fiber of their own.
//!
//! A timer that waits is a deadline of the core's and holds no fiber.

use crate::fiber;
use crate::looped::{self, Job, Looped, QFALSE, QNIL, QTRUE};
use crate::typed::{self, DataType, Typed};
use crate::{api, moment, raise};
use nyario_core::driver::OpId;
use nyario_core::sys::{Kernel, Linux};
use rb_sys::{VALUE, rb_gc_mark};
use std::ffi::CStr;
use std::sync::OnceLock;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Ended,
}

pub(crate) struct Timer {
    state: State,
    block: VALUE,
    /// When its time comes.
    next: u64,
    /// The nanoseconds from one time to the next, or 0: it runs once.
    interval: u64,
    /// The deadline, and where the loop keeps it.
    op: OpId,
    place: u32,
    looped: *mut Looped,
    object: VALUE,
}

impl Typed for Timer {
    const NAME: &'static CStr = c"Nyario::Timer";
    const TYPE: &'static DataType = {
        static TYPE: DataType = DataType::of::<Timer>();
        &TYPE
    };

    fn mark(&self) {
        // SAFETY: both are live objects.
        unsafe {
            rb_gc_mark(self.block);
            rb_gc_mark(self.object);
        }
    }
}

/// A loop's timers. A place counts whom it has served, so that an alarm which is on its way meets nobody else.
#[derive(Default)]
pub(crate) struct Timers {
    places: Vec<(u32, VALUE)>,
    free: Vec<u32>,
    /// How many there are that run once: the loop waits for those.
    awaited: usize,
}

impl Timers {
    fn enter(&mut self, timer: VALUE) -> u32 {
        match self.free.pop() {
            Some(place) => {
                self.places[place as usize].1 = timer;
                place
            }
            None => {
                self.places.push((0, timer));
                (self.places.len() - 1) as u32
            }
        }
    }

    fn leave(&mut self, place: u32) {
        let (served, timer) = &mut self.places[place as usize];
        (*served, *timer) = ((*served + 1) & 0x1fff_ffff, QNIL);
        self.free.push(place);
    }

    fn word(&self, place: u32) -> u64 {
        u64::from(self.places[place as usize].0) << 32 | u64::from(place)
    }

    /// Whose alarm that is.
    fn of(&self, word: u64) -> Option<VALUE> {
        let place = word as u32;
        let &(_, timer) = self.places.get(place as usize)?;
        (timer != QNIL && self.word(place) == word).then_some(timer)
    }

    pub(crate) fn awaited(&self) -> usize {
        self.awaited
    }

    pub(crate) fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// # Safety
    ///
    /// Called while Ruby marks.
    pub(crate) unsafe fn mark(&self) {
        for &(_, timer) in &self.places {
            // SAFETY: nil or a live object.
            unsafe { rb_gc_mark(timer) };
        }
    }
}

/// An alarm of the loop's has come: the fiber that is to run the timer's block.
///
/// # Safety
///
/// The GVL is held, `looped` is the thread's own, and nothing is borrowed.
pub(crate) unsafe fn due(looped: *mut Looped, word: u64) -> Option<looped::Slot> {
    // SAFETY: as above; no borrow outlives its statement.
    unsafe {
        let object = (*looped).timers.of(word)?;
        let timer = typed::unwrap::<Timer>(object);
        (*timer).op = OpId::NONE;
        (*timer).state = State::Running;
        let slot = fiber::start(looped, Job::Tick { timer: object });
        if slot.is_none() {
            // It has been said that there is no fiber.
            ended(object);
        }
        slot
    }
}

/// Runs its block.
///
/// # Safety
///
/// Called on the timer's fiber, with the GVL held; may raise.
pub(crate) unsafe fn run(this: VALUE) {
    // SAFETY: as above.
    unsafe { rb_sys::rb_proc_call((*typed::unwrap::<Timer>(this)).block, rb_sys::rb_ary_new()) };
}

/// Its block has ended: it waits for the next time, if there is one. Times that have passed meanwhile are left out.
///
/// # Safety
///
/// The GVL is held, the loop is the thread's own, and nothing is borrowed.
pub(crate) unsafe fn ended(this: VALUE) {
    // SAFETY: as above.
    unsafe {
        let timer = typed::unwrap::<Timer>(this);
        let (looped, interval) = ((*timer).looped, (*timer).interval);
        if interval == 0 || (*timer).state == State::Ended || (*looped).ending {
            end(timer);
            return;
        }
        let late = Linux.now().saturating_sub((*timer).next);
        (*timer).next = (*timer).next.saturating_add((late / interval + 1).saturating_mul(interval));
        arm(timer);
    }
}

unsafe fn arm(timer: *mut Timer) {
    // SAFETY: called with the GVL held; the loop is the thread's own.
    unsafe {
        let looped = (*timer).looped;
        (*timer).state = State::Waiting;
        let word = (*looped).timers.word((*timer).place);
        (*timer).op = (*looped).runtime.arm(word, (*timer).next);
    }
}

/// It will not run again.
unsafe fn end(timer: *mut Timer) {
    // SAFETY: called with the GVL held; the loop is not gone.
    unsafe {
        let looped = (*timer).looped;
        (*timer).state = State::Ended;
        if (*timer).place != u32::MAX {
            (*looped).timers.leave((*timer).place);
            (*looped).timers.awaited -= usize::from((*timer).interval == 0);
            (*timer).place = u32::MAX;
        }
    }
}

static CLASS: OnceLock<VALUE> = OnceLock::new();

unsafe fn begin(next: u64, interval: u64) -> VALUE {
    // SAFETY: called by a method, with the GVL held; nothing here has a destructor.
    unsafe {
        let block = api::block();
        let looped = match looped::get() {
            Ok(looped) => looped,
            Err(errno) => raise::system_call(errno.result()),
        };
        if (*looped).ending {
            raise::refused(c"the loop is ending");
        }
        let timer = Timer {
            state: State::Waiting,
            block,
            next,
            interval,
            op: OpId::NONE,
            place: u32::MAX,
            looped,
            object: (*looped).object,
        };
        let object = typed::wrap(*CLASS.get().expect("defined when the extension was loaded"), timer);
        let timer = typed::unwrap::<Timer>(object);
        (*timer).place = (*looped).timers.enter(object);
        (*looped).timers.awaited += usize::from(interval == 0);
        arm(timer);
        std::hint::black_box((block, object));
        object
    }
}

/// `after(seconds) { }`.
unsafe extern "C" fn after(_: VALUE, seconds: VALUE) -> VALUE {
    // SAFETY: Ruby calls it with the GVL held.
    unsafe { begin(moment::after(seconds), 0) }
}

/// `every(seconds) { }`.
unsafe extern "C" fn every(_: VALUE, seconds: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let interval = moment::nanos(seconds);
        if interval == 0 {
            raise::argument("the time must be above 0 seconds");
        }
        begin(Linux.now().saturating_add(interval), interval)
    }
}

/// `cancel`, on any thread.
unsafe extern "C" fn cancel(this: VALUE) -> VALUE {
    // SAFETY: as above; another thread's loop may be waiting without the GVL, so its runtime is left alone, and the alarm
    // meets nobody.
    unsafe {
        let timer = typed::unwrap::<Timer>(this);
        let looped = (*timer).looped;
        if (*timer).state == State::Ended || (*looped).is_gone() {
            return QFALSE;
        }
        let running = (*timer).state == State::Running;
        if looped == looped::current() {
            (*looped).runtime.cancel((*timer).op);
        }
        end(timer);
        if looped != looped::running() {
            // It may be all that the loop waits for.
            (*looped).wake();
        }
        if running && (*timer).interval == 0 { QFALSE } else { QTRUE }
    }
}

unsafe extern "C" fn is_active(this: VALUE) -> VALUE {
    // SAFETY: as above.
    unsafe {
        let timer = typed::unwrap::<Timer>(this);
        let once = (*timer).state == State::Running && (*timer).interval == 0;
        if (*timer).state == State::Ended || once || (*(*timer).looped).is_gone() { QFALSE } else { QTRUE }
    }
}

/// # Safety
///
/// Called when the extension is loaded.
pub(crate) unsafe fn define(nyario: VALUE) {
    // SAFETY: as above; each function has the signature of its arity.
    unsafe {
        let class = rb_sys::rb_define_class_under(nyario, c"Timer".as_ptr(), rb_sys::rb_cObject);
        rb_sys::rb_undef_alloc_func(class);
        CLASS.get_or_init(|| class);
        api::method(class, c"cancel", cancel as *const (), 0);
        api::method(class, c"active?", is_active as *const (), 0);
        api::singleton_method(nyario, c"after", after as *const (), 1);
        api::singleton_method(nyario, c"every", every as *const (), 1);
    }
}
