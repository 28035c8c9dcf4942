//! A bounded number of operations over each backend, and the seeds that once found something.

use std::io::Write;
use std::process::Command;

fn simulate(words: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_nyario-sim")).args(words).output().expect("the simulation runs");
    let said = String::from_utf8_lossy(&output.stdout);
    // Past the test harness, which would swallow it: the seeds are to be known.
    std::io::stderr().write_all(said.as_bytes()).expect("standard error is open");
    assert!(output.status.success(), "nyario-sim {} fails:\n{said}", words.join(" "));
}

/// How many operations: a start. `make test` goes on with ten million over each backend, optimised.
const OPERATIONS: &str = "300000";

/// Where the seeds begin. Always the same: a test that fails by chance says nothing of the change that it was run for.
/// New ground is for `make soak`.
const SEED: &str = "1";

#[test]
fn uring() {
    simulate(&["--backend", "uring", "--seed", SEED, "--ops", OPERATIONS]);
}

#[test]
fn epoll() {
    simulate(&["--backend", "epoll", "--seed", SEED, "--ops", OPERATIONS]);
}

#[test]
fn kqueue() {
    simulate(&["--backend", "kqueue", "--seed", SEED, "--ops", OPERATIONS]);
}

/// What the simulation has found, by a seed whose plan shows it: seen to fail without the mending.
const FOUND: [(&str, &[&str]); 9] = [
    ("two servers without multishot accept", &["--backend", "uring", "--seed", "16"]),
    ("nothing at hand at the end of a stream", &["--backend", "uring", "--seed", "14"]),
    ("a handler that starts while the loop winds up", &["--backend", "uring", "--seed", "1030879"]),
    ("a hang-up that one filter of a kqueue tells of", &["--backend", "kqueue", "--seed", "1908"]),
    ("a message at the end of a stream is not filled in", &["--backend", "uring", "--seed", "17"]),
    ("a part goes to the next file of the number", &["--backend", "epoll", "--seed", "9793"]),
    ("a file's next part comes from the next file of the number", &["--backend", "kqueue", "--seed", "27941"]),
    ("a splice whose sink hung up and was closed", &["--backend", "uring", "--seed", "29913"]),
    ("submissions behind a full ring wait with the loop", &["--backend", "uring", "--seed", "346"]),
];

#[test]
fn what_was_found_stays_found() {
    for (name, words) in FOUND {
        eprintln!("{name}");
        simulate(words);
    }
}
