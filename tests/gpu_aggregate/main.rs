//! Aggregation on the device through SQL: what must come out is stock DataFusion's, and every case shows from
//! the plan and the metrics that the device did it. Needs a device:
//! `scripts/with-emulated-gpu cargo test --test gpu_aggregate`.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails by panicking")]

mod cardinality;
mod common;
mod faults;
mod growth;
mod joins;
mod mixed;
mod placement;
#[path = "../gpu_shared/mod.rs"]
mod shared;
mod together;
mod tpch;
mod types;
