//! The targets without the fuzzer: a few thousand inputs that a seed decides, so that they keep compiling and holding.

use nyario_sim::random::Random;

fn bytes(random: &mut Random, most: u64) -> Vec<u8> {
    (0..random.below(most)).map(|_| random.word() as u8).collect()
}

#[test]
fn driver() {
    let mut random = Random::new(1);
    (0..3000).for_each(|_| nyario_fuzz::driver(&bytes(&mut random, 600)));
}

#[test]
fn address() {
    // Mostly of what addresses are made of, as nothing else gets far.
    const ALPHABET: &[u8] = b"0123456789abf:.[]/*%localhost\0 ";
    let mut random = Random::new(2);
    for _ in 0..100_000 {
        let text: Vec<u8> = (0..random.below(24)).map(|_| random.pick(ALPHABET)).collect();
        nyario_fuzz::address(&text);
        nyario_fuzz::address(&bytes(&mut random, 120));
    }
}
