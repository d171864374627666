//! The `staffa` binary as its users run it: what it prints, and its exit codes.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by a panic, its helpers too"
)]

mod bench;
mod common;
mod doctor;
mod sql;
mod usage;
mod verify;
