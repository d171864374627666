//! Sorts and top-K.

use staffa_testkit::contract;
use staffa_testkit::engine::Engine;

use crate::hold_for_key_types;

#[test]
fn sorts_by_every_key_type() {
    hold_for_key_types(async |key| contract::sorted(&Engine::cpu(), &key).await);
}

#[test]
fn top_k_by_every_key_type() {
    hold_for_key_types(async |key| contract::top_k(&Engine::cpu(), &key).await);
}
