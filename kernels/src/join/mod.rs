//! Launchers of the hash join kernels (`kernels/join`, `docs/design/join.md`).
//!
//! [`JoinTable::build`] takes the build side's keys; [`JoinTable::probe`] finds each probe row's key and how many
//! outputs it has; [`Probe::retrieve`] makes the pairs of a chunk. Which rows matched is a bitmap on either
//! side ([`Probe::matches`], [`JoinTable::matched_rows`]), from which
//! [`select_rows`](crate::columns::select_rows) makes semi, anti and the unmatched rows of outer joins; with a
//! filter on pairs, [`mark_rows`](crate::columns::mark_rows) makes the bitmaps from the pairs that it keeps.

mod probe;
mod side;
mod table;

pub use probe::{Pairs, Probe, ProbeOptions};
pub use side::{JoinKeys, JoinSide};
pub use table::JoinTable;
