//! Hash joins against pairs that the host finds, and selections from bitmaps.
//!
//! Needs a device: a GPU, or the emulated driver (`scripts/with-emulated-gpu`). Without one every test
//! says SKIPPED; with `STAFFA_REQUIRE_GPU=1` it fails. `STAFFA_TEST_SEED` chooses other data.

mod case;
#[path = "../group_by/columns.rs"]
#[expect(dead_code, reason = "shared with the tests of group-by, which use all of it")]
mod columns;
#[path = "../parquet/gpu.rs"]
#[expect(dead_code, reason = "shared with other tests, which use all of it")]
mod gpu;
mod joins;
#[path = "../parquet/random.rs"]
mod random;
mod refused;
mod select;
