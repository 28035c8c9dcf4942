//! The C ABI of nyario. The comments here become `include/nyario.h`, in the order of these modules.

mod server;

mod embedding;

mod connection;

mod fiber;

mod time;

mod error;

mod version;

mod boundary;
