//! Aggregations.

use staffa_testkit::contract;
use staffa_testkit::engine::Engine;

use crate::{hold, hold_for_key_types};

#[test]
fn groups_of_every_key_type() {
    hold_for_key_types(async |key| contract::grouped(&Engine::cpu(), &key).await);
}

#[test]
fn aggregates_without_keys() {
    hold(contract::ungrouped(&Engine::cpu()));
}
