//! Window functions.

use staffa_testkit::contract;
use staffa_testkit::engine::Engine;

use crate::{hold, hold_for_key_types};

#[test]
fn windows_of_every_key_type() {
    let types = contract::key_types();
    hold_for_key_types(async |key| {
        // An eighth of the queries for each type: 700 statements of every type take minutes.
        let turn = types.iter().position(|known| *known == key).unwrap_or(0);
        contract::windowed(&Engine::cpu(), &key, turn, 8).await
    });
}

#[test]
fn windows_in_larger_plans() {
    hold(contract::nested_windows(&Engine::cpu()));
}

#[test]
fn windows_of_one_to_many_partitions() {
    hold(contract::many_partitions(&Engine::cpu(), 10_000));
}

#[test]
fn limits_stop_windows_that_need_no_later_row() {
    hold(contract::limited_windows(&Engine::cpu()));
}
