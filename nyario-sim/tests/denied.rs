//! Kernels whose io_uring will not do: epoll serves them, unless somebody insists.

use nyario_core::driver::{BackendKind, Config, Driver};
use nyario_core::sys::Errno;
use nyario_sim::model::{Character, Features, Model};

/// Whatever is missing, nothing stays open or mapped of the attempt.
fn driver(features: Features, backend: Option<BackendKind>) -> Result<BackendKind, Errno> {
    let model = Model::new(1, Character { features, ..Character::default() });
    let config = Config { backend, ..Config::default() };
    let found = Driver::new(model.clone(), &config).map(|driver| driver.backend());
    assert_eq!((model.descriptors(), model.mappings()), (vec![], 0));
    found
}

const LACKING: [Features; 2] =
    [Features { opcodes: 0, ..Features::MODERN }, Features { features: 0, ..Features::MODERN }];

#[test]
fn epoll_takes_over() {
    for features in LACKING {
        assert_eq!(driver(features, None), Ok(BackendKind::Epoll), "{features:?}");
    }
    assert_eq!(driver(Features::MODERN, None), Ok(BackendKind::Uring));
    assert_eq!(driver(Features::OLD, None), Ok(BackendKind::Uring));
}

#[test]
fn who_insists_is_told() {
    for features in LACKING {
        assert_eq!(driver(features, Some(BackendKind::Uring)), Err(Errno(libc::EOPNOTSUPP)), "{features:?}");
    }
}
