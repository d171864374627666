//! Joins: a build side that is sealed into a table, and lanes that probe it.
//!
//! ```text
//!  build lanes ─► Local (batches of the columns that matter, key arrays)
//!                  └─ seal: concatenate ─► key codes or hashes ─► JoinTable ─► JoinState
//!  probe lane  ─► keys ─► lookup: hits (probe row, run of build rows)
//!                  └─ pairs, in chunks ─► residual filter ─► row numbers on both sides
//! ```
//!
//! A key of integers (dates, decimals, floats, several of them) becomes one exact `u64` where the
//! ranges seen on the build side allow; then the table compares no values at all. Other keys go
//! by a 64-bit hash, and each hit is compared once with one row of its run: a run holds only rows
//! of one key. Joins without keys have a single run of all rows.
//!
//! Where the build side does not fit into memory, a part of it is joined later from files (`spill`).
//!
//! Output rows stand in the order of the probe rows; the values of neither side are gathered here.
//! (Rows of spilled partitions come after the others.)

mod build;
mod columns;
mod device;
mod distinct;
mod dynamic;
mod earlier;
mod emit;
mod equal;
mod find;
mod key_filter;
mod keys;
mod lookup;
mod loops;
mod pairs;
mod probe;
mod residual;
mod seal;
mod spill;
mod state;
mod table;
mod visited;

#[cfg(test)]
mod tests;

pub use build::BuildSink;
pub use device::{BuildSide, OnDevice};
pub(crate) use emit::kept_columns;
pub(crate) use key_filter::KeyFilter;
pub use key_filter::row_test;
pub use probe::Probe;
