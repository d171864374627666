//! Scans, filters and projections, by each engine that has them.

use staffa_testkit::contract;
use staffa_testkit::engine::Engine;

use crate::{hold, hold_for_key_types};

#[test]
fn scans_of_every_type() {
    hold_for_key_types(async |key| contract::scanned(&Engine::cpu(), &key).await);
}

#[test]
fn filters_over_every_type() {
    hold_for_key_types(async |key| contract::filtered(&Engine::cpu(), &key).await);
}

#[test]
fn projections_of_every_type() {
    hold_for_key_types(async |key| contract::projected(&Engine::cpu(), &key).await);
}

#[test]
fn errors_are_datafusions() {
    hold(contract::who_errs(&Engine::cpu()));
}
