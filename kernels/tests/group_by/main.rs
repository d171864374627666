//! Keys, group tables, aggregates and gathers against a plain host oracle.
//!
//! Needs a device: a GPU, or the emulated driver (`scripts/with-emulated-gpu`). Without one every test
//! says SKIPPED; with `STAFFA_REQUIRE_GPU=1` it fails. `STAFFA_TEST_SEED` chooses other data.

mod aggregates;
mod columns;
mod gather;
#[path = "../parquet/gpu.rs"]
#[expect(dead_code, reason = "shared with other tests, which use all of it")]
mod gpu;
mod groups;
mod growth;
mod moments;
mod packed;
#[path = "../parquet/random.rs"]
mod random;
mod refused;
