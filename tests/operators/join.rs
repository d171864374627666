//! Joins.

use staffa_testkit::contract;
use staffa_testkit::engine::Engine;

use crate::{hold, hold_for_key_types};

#[test]
fn hash_joins_of_every_key_type() {
    hold_for_key_types(async |key| contract::hash_joins(&Engine::cpu(), &key).await);
}

#[test]
fn sort_merge_joins_of_every_key_type() {
    hold_for_key_types(async |key| {
        // DataFusion's own sort-merge join cannot compare these, so there is no oracle.
        if matches!(key, arrow::datatypes::DataType::Interval(_)) {
            return Ok(0);
        }
        contract::sort_merge_joins(&Engine::cpu(), &key).await
    });
}

#[test]
fn joins_without_equality() {
    hold(contract::joins_without_equality(&Engine::cpu()));
}

#[test]
fn null_aware_and_mark_joins() {
    hold_for_key_types(async |key| contract::null_aware(&Engine::cpu(), &key).await);
}
