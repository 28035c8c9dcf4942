//! The C ABI of nyario. The comments here become `include/nyario.h`, in the order of these modules.

mod server;

mod embedding;

mod connection;

mod socket;

mod vector;

mod poll;

mod names;

mod fiber;

mod time;

mod sync;

mod thread;

mod error;

mod version;

mod boundary;
