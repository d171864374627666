//! Faults, want of memory and many queries at once, through SQL: always the right rows, nothing left behind, and
//! an end. What runs on a device needs the emulated driver, which fails on demand:
//! `scripts/with-emulated-gpu cargo test --test gpu_faults`.
//!
//! Tests draw a seeded sample of what there is to fail: `STAFFA_FAULTS` percent of the usual one (`all` for a night),
//! `STAFFA_SEED` for another sample.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails by panicking")]

mod allocations;
mod child;
mod concurrency;
mod emulator;
mod errors;
mod reservations;
mod sample;
mod tables;
