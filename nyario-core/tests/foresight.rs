//! What the driver says of results that have not been taken yet.

mod common;

use common::*;
use nyario_core::driver::{Config, Driver, Foreseen, Op, Submitted};
use nyario_core::sys::Fd;
use std::io::Write;
use std::os::unix::net::UnixStream;

scenarios!(on_config: who_comes_soon_is_foreseen);

/// Each prediction comes true, as nothing else is going on.
fn who_comes_soon_is_foreseen(config: &Config) {
    let mut driver = Driver::new(Masked, config).unwrap();
    assert_eq!(driver.foresee(), Foreseen::default());
    let mut pairs: Vec<(Fd, UnixStream)> = (0..32).map(|_| pair()).collect();
    let mut bufs = vec![[0u8; 4]; pairs.len()];
    for (number, (&(fd, _), buf)) in pairs.iter().zip(&mut bufs).enumerate() {
        let op = Op::Read { fd, buf: buf.as_mut_ptr(), len: buf.len() };
        assert!(matches!(submit(&mut driver, op, number as u64 * 4, 0), Submitted::Pending(_)));
    }
    driver.turn(Some(0));
    for (_, theirs) in &mut pairs {
        theirs.write_all(b"text").unwrap();
    }
    let (mut told, mut foreseen) = (Vec::new(), Vec::new());
    while told.len() < pairs.len() {
        let Foreseen { soon, later } = driver.foresee();
        match driver.next() {
            Some(end) => {
                assert_eq!(end.result, 4);
                told.push(end.waiter);
                let behind = |places: usize, waiter: Option<u64>| Some((told.len() - 1 + places, waiter?));
                foreseen.extend([behind(1, soon), behind(2, later)].into_iter().flatten());
            }
            None => driver.turn(None),
        }
    }
    // A tiny ring shows too few results at a time.
    assert!(foreseen.len() >= told.len() || config.completions < 8, "{foreseen:?}");
    for (place, waiter) in foreseen {
        assert_eq!(told[place], waiter);
    }
    for (fd, _) in pairs {
        assert_eq!(finish(&mut driver, Op::Close { fd }), 0);
    }
}
