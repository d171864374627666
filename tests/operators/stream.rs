//! How outputs may be read.

use staffa_testkit::contract;
use staffa_testkit::engine::Engine;

use crate::hold;

#[test]
fn partitions_in_any_order() {
    hold(contract::out_of_order(&Engine::cpu()));
}

#[test]
fn partitions_never_polled() {
    hold(contract::never_polled(&Engine::cpu()));
}

#[test]
fn streams_dropped_midway() {
    hold(contract::dropped(&Engine::cpu()));
}
