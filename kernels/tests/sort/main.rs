//! Sorts and first rows against the host's.
//!
//! Needs a device: a GPU, or the emulated driver (`scripts/with-emulated-gpu`). Without one every test
//! says SKIPPED; with `STAFFA_REQUIRE_GPU=1` it fails. `STAFFA_TEST_SEED` chooses other data.

#[path = "../group_by/columns.rs"]
#[expect(dead_code, reason = "shared with the tests of group-by, which use all of it")]
mod columns;
#[path = "../parquet/gpu.rs"]
#[expect(dead_code, reason = "shared with other tests, which use all of it")]
mod gpu;
mod order;
mod radix;
#[path = "../parquet/random.rs"]
mod random;
mod refused;
mod strings;
mod top;

/// Sanitizers cost ten times: their runs take fewer cases, which meet the same code.
pub(crate) fn sanitized() -> bool {
    std::env::var("LD_PRELOAD").is_ok_and(|libraries| libraries.contains("san"))
}
