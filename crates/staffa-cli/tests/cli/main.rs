//! The `staffa` binary as its users run it: what it prints, and its exit codes.

mod bench;
mod common;
mod doctor;
mod sql;
mod usage;
mod verify;
