//! The contracts of what a device runs, held by the CUDA engine: scans of Parquet, filters and
//! projections. Needs a device: `scripts/with-emulated-gpu cargo test --test operators device`.
//! `STAFFA_CONTRACT_STRIDE=3` takes every third type; which, is up to the seed of the emulated driver.

use arrow::datatypes::DataType;
use staffa_testkit::contract;
use staffa_testkit::engine::Engine;

use crate::{hold, hold_for_types};

/// Whether there is a device, or a note.
fn has_gpu() -> bool {
    let required = std::env::var_os("STAFFA_REQUIRE_GPU").is_some_and(|value| value == "1");
    match staffa::gpu(&staffa::StaffaConfig::default()) {
        Ok(_) => true,
        Err(reason) if required => panic!("STAFFA_REQUIRE_GPU=1: {reason}"),
        Err(reason) => {
            eprintln!("SKIPPED: {reason}");
            false
        }
    }
}

fn types() -> impl Iterator<Item = DataType> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let stride = number("STAFFA_CONTRACT_STRIDE").unwrap_or(1).max(1);
    let first = number("STAFFA_EMULATOR_SEED").unwrap_or(0) % stride;
    contract::key_types().into_iter().skip(first).step_by(stride)
}

#[test]
fn scans_of_every_type() {
    if has_gpu() {
        hold_for_types(types(), async |key| contract::scanned(&Engine::gpu(), &key).await);
    }
}

#[test]
fn filters_over_every_type() {
    if has_gpu() {
        hold_for_types(types(), async |key| contract::filtered(&Engine::gpu(), &key).await);
    }
}

#[test]
fn projections_of_every_type() {
    if has_gpu() {
        hold_for_types(types(), async |key| contract::projected(&Engine::gpu(), &key).await);
    }
}

#[test]
fn errors_are_datafusions() {
    if has_gpu() {
        hold(contract::who_errs(&Engine::gpu()));
    }
}

#[test]
fn partitions_in_any_order() {
    if has_gpu() {
        hold(contract::out_of_order(&Engine::gpu()));
    }
}

#[test]
fn partitions_never_polled() {
    if has_gpu() {
        hold(contract::never_polled(&Engine::gpu()));
    }
}

#[test]
fn streams_dropped_midway() {
    if has_gpu() {
        hold(contract::dropped(&Engine::gpu()));
    }
}
