//! Launchers of the group-by kernels (`kernels/group_by`, `docs/design/group-by.md`).
//!
//! [`GroupTable::assign`] gives every row of a morsel the number of its group; [`Accumulator::update`] adds the
//! morsel's values by those numbers. Both can be queued morsel after morsel without waiting: when a table
//! overflows, nothing behind that point counts, and the host makes a larger table and goes on with the
//! morsel that did not count ([`GroupTable::state`], [`GroupTable::grow`]).

mod accumulator;
mod function;
mod moments;
mod stored;
mod table;

pub use accumulator::{Accumulator, Input};
pub use function::{Function, ValueType};
pub use moments::Moments;
pub use table::{GroupKeys, GroupTable, GroupTableConfig};
