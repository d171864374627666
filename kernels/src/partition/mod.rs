//! Launchers of the partition kernels (`kernels/partition`, `docs/design/partition.md`).
//!
//! [`partition`] assigns rows to partitions as DataFusion 55's `RepartitionExec` does and orders them by
//! partition; [`Partitions::columns`] moves columns into that order, in one buffer.

mod columns;
mod hash;
mod rows;
mod strings;

pub use columns::{MovedColumn, MovedColumns, MovedStrings, StringBytes};
pub use hash::{HashColumn, hashes};
pub use rows::{MOST_PARTITIONS, Partitions, partition};
