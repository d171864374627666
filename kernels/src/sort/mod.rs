//! Launchers of the sort kernels (`kernels/sort`, `docs/design/sort.md`).
//!
//! [`sort_rows`] orders rows by columns of any types, [`top_rows`] finds the first rows of such an order without
//! sorting the others; both make row numbers, with which [`gather`](crate::columns::gather) makes columns.
//! [`radix_sort`] orders rows by numbers.

mod keys;
mod order;
mod plan;
mod radix;
mod ties;
mod top;

pub use order::sort_rows;
pub use plan::SortColumn;
pub use radix::{KeyBytes, RadixKeys, RadixSorted, radix_sort};
pub(crate) use radix::{Wanted, sort as sort_positions};
pub use top::{TopRows, top_rows};
