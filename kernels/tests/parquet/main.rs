//! Parquet kernels against encoders whose input is known: whatever was encoded must come out.
//!
//! Needs a device: a GPU, or the emulated driver (`scripts/with-emulated-gpu`). Without one every test
//! says SKIPPED; with `STAFFA_REQUIRE_GPU=1` it fails. `STAFFA_TEST_SEED` chooses other data.

mod booleans;
mod column;
mod decompress;
mod delta;
mod dictionary;
mod encode;
mod fixed;
mod gpu;
mod hostile;
mod levels;
mod random;
mod refused;
mod strings;
