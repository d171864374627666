//! Joins on the device through SQL: what must come out is stock DataFusion's, and every case shows from the plan
//! and the metrics that the device did it. Needs a device: `scripts/with-emulated-gpu cargo test --test gpu_join`.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails by panicking")]

mod common;
mod faults;
mod inner;
mod kinds;
mod lifted;
mod placement;
#[path = "../gpu_shared/mod.rs"]
mod shared;
mod tpch;
mod types;
