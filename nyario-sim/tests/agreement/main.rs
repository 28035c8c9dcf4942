//! The model against the kernel that runs these tests: the same scripts on both, and what each answers must agree.

mod datagrams;
mod endings;
mod files;
mod ground;
mod paths;
mod rings;
mod sockets;
mod streams;
mod transfers;

use ground::{Ground, Told};
use nyario_core::sys::Linux;
use nyario_sim::model::{Character, Model};
use std::sync::{Mutex, MutexGuard};

/// Descriptor numbers are the process's, so scripts take turns.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Runs a script on both.
fn agree(on_model: impl FnOnce(&Model, &mut Told), on_linux: impl FnOnce(&Linux, &mut Told)) {
    let _alone = alone();
    let (mut model, mut linux) = (Told::default(), Told::default());
    on_linux(&Linux, &mut linux);
    let kernel = Model::new(1, Character::default());
    on_model(&kernel, &mut model);
    assert!(kernel.descriptors().is_empty(), "a script closes what it opens");
    for (model, linux) in model.lines.iter().zip(&linux.lines) {
        assert_eq!(model, linux, "the model (left) and Linux (right)");
    }
    assert_eq!(model.lines.len(), linux.lines.len());
    assert!(!linux.lines.is_empty() || linux.skipped, "a script says something");
}

macro_rules! scripts {
    ($($module:ident: $($script:ident),* ;)*) => {
        $($(#[test] fn $script() { agree($module::$script, $module::$script); })*)*
    };
}

scripts! {
    streams: a_unix_pair, a_unix_pair_that_is_full, unread_bytes_break_a_unix_pair, a_pipe, a_pipe_that_is_full,
        a_pipe_without_a_reader, an_eventfd, numbers_are_reused, vectors;
    sockets: a_connection, a_refusal, unread_bytes_break_a_connection, writing_to_who_left, a_half_close, a_queue,
        edges, an_edge_for_each_arrival, levels, an_edge_at_a_hangup, what_cannot_be_waited_for, modified_interests;
    endings: deaf_ears, deaf_ears_of_a_unix_pair, both_ways, nothing_to_shut, an_edge_at_deaf_ears, unread_behind_an_end,
        unread_behind_a_unix_end, a_broken_one;
    datagrams: messages, messages_from_who_left, messages_that_find_no_room, an_edge_for_each_message,
        messages_through_a_ring;
    paths: a_leftover;
    files: a_file, a_file_through_a_ring;
    transfers: into_a_pipe, out_of_a_pipe, out_of_a_pipe_into_a_full_one, into_a_full_pipe, between_pipes, no_pipe,
        from_a_connection_that_is_none, a_part_of_a_file, a_file_and_no_room, only_looked_at, a_message_and_its_room,
        who_is_there, polls_of_what_is_always_ready;
    rings: a_receive, a_receive_in_advance, a_cancel, a_cancel_of_nothing, a_poll, many_from_one, many_and_no_buffers,
        an_end_of_many, a_half_close_of_many, deaf_ears_of_many, many_cancelled, accepts, more_than_fit, misuse, a_send_to_who_left, time_out;
}
