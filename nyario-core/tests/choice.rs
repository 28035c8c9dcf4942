//! Which backend a loop gets. In a process of its own, whose environment it changes.

use nyario_core::driver::{BackendKind, Config, Driver};
use nyario_core::sys::{Errno, Linux};

#[test]
fn the_environment_names_the_backend() {
    let before = std::env::var("NYARIO_BACKEND");
    let choice = |value: &str| {
        // SAFETY: the one test of this process, and no other thread reads the environment.
        unsafe { std::env::set_var("NYARIO_BACKEND", value) };
        Config::from_env().map(|config| config.backend)
    };
    assert_eq!(choice("uring"), Ok(Some(BackendKind::Uring)));
    assert_eq!(choice("epoll"), Ok(Some(BackendKind::Epoll)));
    assert_eq!(choice("kqueue"), Ok(Some(BackendKind::Kqueue)));
    assert_eq!(choice(""), Ok(None));
    for unknown in ["kqueues", "EPOLL", " epoll", "io_uring"] {
        assert_eq!(choice(unknown), Err(Errno(libc::EINVAL)), "{unknown:?}");
    }
    // SAFETY: as above.
    unsafe { std::env::remove_var("NYARIO_BACKEND") };
    assert_eq!(Config::from_env().map(|config| config.backend), Ok(None));
    if let Ok(before) = before {
        // SAFETY: as above.
        unsafe { std::env::set_var("NYARIO_BACKEND", before) };
    }
    for kind in [BackendKind::Uring, BackendKind::Epoll, BackendKind::Kqueue] {
        match Driver::new(Linux, &Config { backend: Some(kind), ..Config::default() }) {
            Ok(driver) => assert_eq!(driver.backend(), kind, "what is insisted on is what one gets"),
            Err(error) => eprintln!("{} is skipped: the kernel denies it: {error}", kind.name()),
        }
    }
    assert!(Driver::new(Linux, &Config::default()).is_ok(), "without a wish there is always one");
}
