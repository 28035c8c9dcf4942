//! The C ABI of nyario. The comments here become `include/nyario.h`, in the order of these modules.

mod configure;

mod server;

mod embedding;

mod connection;

mod socket;

mod datagram;

mod pairs;

mod vector;

mod transfer;

mod poll;

mod passing;

mod names;

mod fiber;

mod deadline;

mod time;

mod cleanup;

mod local;

mod sync;

mod thread;

mod process;

mod signal;

mod inside;

mod error;

mod version;

mod boundary;
