//! Launchers of the sort kernels (`kernels/sort`).
//!
//! [`radix_sort`] orders rows by numbers.

mod radix;

pub use radix::{KeyBytes, RadixKeys, RadixSorted, radix_sort};
pub(crate) use radix::{Wanted, sort as sort_positions};
