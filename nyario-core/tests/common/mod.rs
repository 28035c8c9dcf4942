//! What the suites share: each scenario runs over every backend, alone in its process, under a watchdog, and has to
//! leave no descriptor behind.

#![allow(dead_code, reason = "each suite uses a part of it")]

pub mod masked;
pub mod memory;

pub use masked::Masked;
use nyario_core::driver::{BackendKind, Completion, Config, Driver, Op, Submitted};
use nyario_core::fiber::{FiberId, Loop, Options};
use nyario_core::net;
use nyario_core::runtime::Stopper;
use nyario_core::sys::{Errno, Fd, Kernel, Linux};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Mutex, MutexGuard, Once, mpsc};
use std::thread;
use std::time::Duration;

/// A loop as its own fibers see it.
pub type Looped = &'static Loop<Masked>;

/// Makes a test of each scenario for each backend; the first word says what a scenario is given.
#[macro_export]
macro_rules! scenarios {
    ($given:ident: $($name:ident),* $(,)?) => {
        mod uring {
            $(#[test] fn $name() {
                let name = concat!("uring::", stringify!($name));
                $crate::common::$given($crate::common::Variant::Uring, name, super::$name)
            })*
        }
        mod uring_tiny {
            $(#[test] fn $name() {
                let name = concat!("uring_tiny::", stringify!($name));
                $crate::common::$given($crate::common::Variant::UringTiny, name, super::$name)
            })*
        }
        mod epoll {
            $(#[test] fn $name() {
                let name = concat!("epoll::", stringify!($name));
                $crate::common::$given($crate::common::Variant::Epoll, name, super::$name)
            })*
        }
        #[cfg(nyario_kqueue)]
        mod kqueue {
            $(#[test] fn $name() {
                let name = concat!("kqueue::", stringify!($name));
                $crate::common::$given($crate::common::Variant::Kqueue, name, super::$name)
            })*
        }
    };
}

/// What a scenario runs over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    Uring,
    /// io_uring with queues so short that a full one, an overflow and a lack of buffers are everyday events.
    UringTiny,
    Epoll,
    /// libkqueue; see `scripts/test-kqueue`.
    #[cfg(nyario_kqueue)]
    Kqueue,
}

impl Variant {
    fn config(self) -> Config {
        match self {
            Variant::Uring => Config { backend: Some(BackendKind::Uring), ..Config::default() },
            Variant::UringTiny => Config {
                backend: Some(BackendKind::Uring),
                submissions: 2,
                completions: 4,
                buffers: 2,
                buffer_size: 16,
                few: 0,
            },
            Variant::Epoll => Config { backend: Some(BackendKind::Epoll), ..Config::default() },
            #[cfg(nyario_kqueue)]
            Variant::Kqueue => Config { backend: Some(BackendKind::Kqueue), ..Config::default() },
        }
    }

    /// The variant's configuration, unless something speaks against running it here; that is said aloud.
    fn available(self) -> Option<Config> {
        let config = self.config();
        let name = config.backend.expect("every variant insists").name();
        let reason = match std::env::var("NYARIO_BACKEND") {
            Ok(only) if !only.is_empty() && only != name => Some(format!("NYARIO_BACKEND asks for {only}")),
            // Asked of the bare kernel: a mask is to be borne, not to be skipped.
            _ => Driver::new(Linux, &config).err().map(|error| format!("the kernel denies {name}: {error}")),
        };
        match reason {
            None => Some(config),
            Some(reason) => {
                aloud(&format!("{self:?} is skipped: {reason}"));
                None
            }
        }
    }
}

/// Says something on standard error past the test harness, which would swallow it.
fn aloud(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Runs a scenario that is given a loop.
pub fn on_loop(variant: Variant, name: &'static str, scenario: fn(Looped)) {
    on_config(variant, name, |config| with_loop(config, scenario));
}

/// Runs a scenario that is given a configuration.
pub fn on_config(variant: Variant, name: &'static str, scenario: impl FnOnce(&Config)) {
    let _alone = alone(name);
    let Some(config) = variant.available() else { return };
    let _watched = Watchdog::new(name);
    PANICS.store(0, Ordering::Relaxed);
    count_panics();
    let (before, mapped) = (open_descriptors(), masked::mapped());
    memory::watch(|| scenario(&config));
    assert_eq!(settled(open_descriptors, &before), before, "a scenario leaves no descriptor behind");
    if !LEFTOVERS.swap(false, Ordering::Relaxed) {
        assert_eq!(masked::mapped(), mapped, "a scenario leaves nothing mapped");
        assert_eq!(memory::left(), 0, "a scenario leaves no memory behind");
    }
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "panics on fibers, which end the fiber alone");
}

/// What `look` sees once it is as before, or after a while: what a fiber has abandoned, a thread of the pool frees later.
fn settled<T: PartialEq>(look: impl Fn() -> T, before: &T) -> T {
    for _ in 0..memory::PATIENCE {
        if look() == *before {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    look()
}

static PANICS: AtomicIsize = AtomicIsize::new(0);

/// Makes every panic count, as those on fibers reach nobody.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // A line is enough for one that was announced: whoever searches a log for failures is to find those alone.
            if PANICS.fetch_add(1, Ordering::Relaxed) < 0 {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                eprintln!("announced: {} ({place})", info.payload_as_str().unwrap_or("?"));
            } else {
                before(info);
            }
        }));
    });
}

/// Says that so many panics are to come.
pub fn expect_panics(count: isize) {
    PANICS.fetch_sub(count, Ordering::Relaxed);
    expect_leftovers();
}

static LEFTOVERS: AtomicBool = AtomicBool::new(false);

/// Says that memory is left behind on purpose.
pub fn expect_leftovers() {
    LEFTOVERS.store(true, Ordering::Relaxed);
}

/// Shows a fresh loop to `work`, and drops it.
pub fn with_loop<T>(config: &Config, work: impl FnOnce(Looped) -> T) -> T {
    let looped = Box::into_raw(Box::new(Loop::new(Masked, config).unwrap()));
    // SAFETY: it is a box, freed below; what runs on the loop has ended or never runs again by then.
    let result = work(unsafe { &*looped });
    // SAFETY: as above.
    drop(unsafe { Box::from_raw(looped) });
    result
}

/// Descriptors, and at times signal handlers and limits, are the whole process's, so scenarios take turns.
fn alone(name: &'static str) -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    *NAME.lock().unwrap() = name;
    alone
}

/// The scenario that has its turn.
static NAME: Mutex<&str> = Mutex::new("");

/// Runs the present scenario once more in a process of its own, and returns what that says on standard error. `None`
/// says that this is that process. The test harness would swallow what is said here.
pub fn said_in_own_process() -> Option<String> {
    const INSIDE: &str = "NYARIO_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return None;
    }
    let name = *NAME.lock().unwrap();
    let mut inside = Command::new(std::env::current_exe().unwrap());
    let output = inside.args([name, "--exact", "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let (out, said) = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).into();
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{said}");
    Some(said)
}

/// Ends the process when a scenario hangs, as nothing else would.
struct Watchdog(#[allow(dead_code, reason = "dropping it is the signal")] mpsc::Sender<()>);

impl Watchdog {
    fn new(name: &'static str) -> Watchdog {
        let (alive, watch) = mpsc::channel();
        let (ready, begun) = mpsc::channel();
        thread::spawn(move || {
            ready.send(()).unwrap();
            if watch.recv_timeout(Duration::from_secs(30)) == Err(mpsc::RecvTimeoutError::Timeout) {
                aloud(&format!("{name} hangs"));
                std::process::abort();
            }
        });
        // A thread that begins takes memory, and gives much of it back: no scenario is to count that, or to be in its way.
        begun.recv().unwrap();
        Watchdog(alive)
    }
}

/// Every open descriptor, with what it is.
pub fn open_descriptors() -> BTreeMap<Fd, PathBuf> {
    let list = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap());
    let named = list.map(|entry| (entry.file_name().to_str().unwrap().parse().unwrap(), entry.path()));
    // The listing's own descriptor is gone by the time its link is read.
    named
        .collect::<Vec<(Fd, PathBuf)>>()
        .into_iter()
        .filter_map(|(fd, path)| Some((fd, path.read_link().ok()?)))
        .collect()
}

/// Runs the loop while `peer` runs on a thread; the loop is stopped when that ends, however it does.
pub fn run_beside<T: Send>(looped: Looped, peer: impl FnOnce() -> T + Send) -> T {
    struct StopAtEnd(Stopper<Masked>);
    impl Drop for StopAtEnd {
        fn drop(&mut self) {
            self.0.stop();
        }
    }
    let stop = StopAtEnd(looped.stopper());
    let result = thread::scope(|scope| {
        let peer = scope.spawn(move || {
            let _stop = stop;
            peer()
        });
        looped.run().unwrap();
        peer.join()
    });
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs `code` on a fiber, and the loop until every fiber has ended.
pub fn in_fiber<K: Kernel, T: 'static>(looped: &'static Loop<K>, code: impl FnOnce() -> T + 'static) -> T {
    let slot = Rc::new(Cell::new(None));
    let place = slot.clone();
    go(looped, move || {
        place.set(Some(code()));
        0
    });
    looped.run().unwrap();
    slot.take().expect("the fiber has come to its end")
}

/// Spawns a fiber to be joined.
pub fn go<K: Kernel>(looped: &'static Loop<K>, code: impl FnOnce() -> u64 + 'static) -> FiberId {
    looped.spawn(Options::default(), code).unwrap()
}

/// Waits in a fiber for something that has no event of its own.
pub fn until<K: Kernel>(looped: &'static Loop<K>, condition: impl Fn() -> bool) {
    while !condition() {
        looped.sleep(100_000).unwrap();
    }
}

/// Lets every other fiber go as far as it comes, the kernel's part included.
pub fn settle<K: Kernel>(looped: &'static Loop<K>) {
    for _ in 0..8 {
        looped.sleep(300_000).unwrap();
    }
}

/// A result as a fiber's value.
pub fn told(result: Result<usize, Errno>) -> u64 {
    result.map_or_else(|error| failed(error.0), |count| count as u64)
}

/// What [`told`] makes of that error.
pub const fn failed(errno: i32) -> u64 {
    -(errno as i64) as u64
}

/// What [`told`] makes of an operation's result.
pub fn word(result: i32) -> u64 {
    i64::from(result) as u64
}

/// A connected pair: a bare descriptor for the loop, and a blocking stream.
pub fn pair() -> (Fd, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (ours.into_raw_fd(), theirs)
}

/// Gives a file another number, which may be taken: what was there is closed, as others close.
pub fn renumber(file: impl IntoRawFd, fd: Fd) {
    let from = file.into_raw_fd();
    if from != fd {
        // SAFETY: a call without memory.
        assert_eq!(unsafe { libc::dup3(from, fd, libc::O_CLOEXEC) }, fd);
        close_behind(from);
    }
}

/// Like [`pair`], with a certain number for the loop's end.
pub fn pair_at(fd: Fd) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    renumber(ours, fd);
    theirs
}

/// Like [`pair`], over TCP.
pub fn tcp_pair() -> (Fd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let ours = listener.accept().unwrap().0;
    ours.set_nodelay(true).unwrap();
    theirs.set_nodelay(true).unwrap();
    (ours.into_raw_fd(), theirs)
}

/// A pipe: where to read, and where to write.
pub fn pipe() -> (Fd, Fd) {
    let (read, write) = std::io::pipe().unwrap();
    (read.into_raw_fd(), write.into_raw_fd())
}

/// A listening socket and where it is reached.
pub fn listen() -> (Fd, String) {
    let fd = net::listen(&Linux, "127.0.0.1:0").unwrap();
    (fd, net::Address::of_socket(&Linux, fd).unwrap().to_string())
}

/// Carries out an operation that lends no memory, or memory that outlives the call.
pub fn perform<K: Kernel>(looped: &'static Loop<K>, op: Op) -> i32 {
    // SAFETY: the scenarios keep what they lend alive across the call.
    unsafe { looped.perform(op) }
}

/// Reads exactly so many bytes.
pub fn read_exactly<K: Kernel>(looped: &'static Loop<K>, fd: Fd, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let mut have = 0;
    while have < count {
        match net::read(looped, fd, &mut bytes[have..]) {
            Ok(0) => panic!("the stream ends after {have} of {count} bytes"),
            Ok(more) => have += more,
            Err(error) => panic!("after {have} of {count} bytes: {error}"),
        }
    }
    bytes
}

/// Sends back whatever comes, until the end or an error.
pub fn echo<K: Kernel>(looped: &'static Loop<K>, fd: Fd) {
    let mut buf = [0; 4096];
    while let Ok(count @ 1..) = net::read(looped, fd, &mut buf) {
        if net::write(looped, fd, &buf[..count]) != Ok(count) {
            return;
        }
    }
}

/// Writes something that finds room, whole.
pub fn say<K: Kernel>(looped: &'static Loop<K>, fd: Fd, bytes: &[u8]) {
    assert_eq!(net::write(looped, fd, bytes), Ok(bytes.len()));
}

/// Closes descriptors that are open.
pub fn close<K: Kernel>(looped: &'static Loop<K>, fds: &[Fd]) {
    for &fd in fds {
        assert_eq!(net::close(looped, fd), Ok(()), "descriptor {fd}");
    }
}

/// Joins fibers that are all to have that value.
pub fn all_told<K: Kernel>(looped: &'static Loop<K>, fibers: impl IntoIterator<Item = FiberId>, value: u64) {
    for fiber in fibers {
        assert_eq!(looped.join(fiber), Ok(value));
    }
}

/// Closes past the loop.
pub fn close_behind(fd: Fd) {
    assert_eq!(Linux.close(fd), 0);
}

/// Makes the stream's close a reset instead of a farewell.
pub fn reset(stream: &impl AsRawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let (value, len) = ((&raw const linger).cast(), size_of_val(&linger) as u32);
    // SAFETY: the option is read during the call.
    let set = unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, len) };
    assert_eq!(set, 0);
}

/// Bytes of which each place can be told from its neighbours.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Begins an operation on a bare driver.
pub fn submit(driver: &mut Driver<Masked>, op: Op, waiter: u64, deadline: u64) -> Submitted {
    // SAFETY: the scenarios keep what they lend alive until the completion or the driver's end.
    unsafe { driver.submit(op, waiter, deadline) }
}

/// Takes turns until the driver has a completion.
pub fn completion(driver: &mut Driver<Masked>) -> Completion {
    loop {
        if let Some(completion) = driver.next() {
            return completion;
        }
        driver.turn(None);
    }
}

/// Carries an operation out on a bare driver that has nothing else under way.
pub fn finish(driver: &mut Driver<Masked>, op: Op) -> i32 {
    match submit(driver, op, 77, 0) {
        Submitted::Done(result) => result,
        Submitted::Pending(_) => {
            let completion = completion(driver);
            assert_eq!(completion.waiter, 77);
            completion.result
        }
    }
}
