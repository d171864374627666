//! Launchers of the kernels that move columns: by row numbers, and to what leaves the device.

mod gather;
pub(crate) mod rows;
mod select;
mod strings;

pub(crate) use gather::launch as launch_gather;
pub use gather::{GatheredColumn, gather, gather_codes, own_strings};
pub use rows::RowList;
pub use select::{mark_rows, select_rows};
pub use strings::{gather_strings, string_offsets};
