//! How a driver is set up.

use crate::sys::Errno;
use std::ffi::CStr;

/// The backends there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackendKind {
    /// io_uring(7).
    Uring,
    /// epoll(7), edge-triggered.
    Epoll,
    /// kqueue(2), edge-triggered.
    Kqueue,
}

impl BackendKind {
    /// The name that `NYARIO_BACKEND` knows it by.
    pub fn name(self) -> &'static str {
        self.c_name().to_str().expect("plain text")
    }

    /// The same, for C.
    pub fn c_name(self) -> &'static CStr {
        match self {
            BackendKind::Uring => c"uring",
            BackendKind::Epoll => c"epoll",
            BackendKind::Kqueue => c"kqueue",
        }
    }

    /// The backend that [`name`](Self::name) names.
    pub fn from_name(name: &str) -> Option<BackendKind> {
        [BackendKind::Uring, BackendKind::Epoll, BackendKind::Kqueue].into_iter().find(|kind| kind.name() == name)
    }
}

/// The sizes and choices of a driver. The default suits a server of any size; tests make everything tiny.
#[derive(Clone, Debug)]
pub struct Config {
    /// The backend to insist on. Without one, io_uring where the kernel allows it, else epoll; kqueue where there is
    /// neither.
    pub backend: Option<BackendKind>,
    /// io_uring: submissions that one enter takes. kqueue: changes that wait for the turn, up to 512.
    pub submissions: u32,
    /// io_uring: completions that the kernel can hold ready without help.
    pub completions: u32,
    /// io_uring: provided buffers, a power of two up to 32768. Only those that traffic fills cost memory.
    pub buffers: u16,
    /// io_uring: bytes in each provided buffer.
    pub buffer_size: u32,
    /// io_uring: an enter that brings so many results or fewer, which are nothing but the ends of small sends, is not shared
    /// again: the next small sends go out at once. 0 for always sharing.
    pub few: u16,
}

impl Default for Config {
    fn default() -> Config {
        // Few: of hand-written loops, the one whose sends go out at once is ahead over one to four connections, and the one
        // whose sends share an enter over eight and more.
        Config { backend: None, submissions: 512, completions: 8192, buffers: 2048, buffer_size: 4096, few: 4 }
    }
}

impl Config {
    /// The default, with the backend that the environment variable `NYARIO_BACKEND` names: `uring`, `epoll` or `kqueue`.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the variable names no backend.
    pub fn from_env() -> Result<Config, Errno> {
        let backend = match std::env::var("NYARIO_BACKEND").as_deref() {
            Err(_) | Ok("") => None,
            Ok(name) => Some(BackendKind::from_name(name).ok_or_else(|| {
                eprintln!("nyario: NYARIO_BACKEND is '{name}'; the backends are 'uring', 'epoll' and 'kqueue'");
                Errno(libc::EINVAL)
            })?),
        };
        Ok(Config { backend, ..Config::default() })
    }
}

/// Says, once per process, that io_uring is not to be had and why.
pub(super) fn report_denied(error: Errno) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    let hint = match error.0 {
        libc::EPERM => "a container's seccomp profile or the sysctl kernel.io_uring_disabled forbids it",
        libc::ENOSYS => "the kernel has none",
        libc::ENOMEM => "the limit on locked memory is too low",
        libc::EOPNOTSUPP => "the kernel's is older than Linux 5.11 and lacks something that nyario needs",
        _ => "the kernel refuses it",
    };
    ONCE.call_once(|| eprintln!("nyario: using epoll, as io_uring is not available: {hint} ({error})"));
}
