//! Gathering columns: the Rust side of `include/staffa/columns/abi.h`.

use bytemuck::{Pod, Zeroable};

use super::{Column, RowsAbi};

/// Arguments of `gather_narrow`, `gather_wide`, `gather_bytes` and `gather_bits`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct GatherArgs {
    /// `selection` holds the row of each output.
    pub list: RowsAbi,
    /// What is gathered.
    pub source: Column,
    /// Address of the output.
    pub values: u64,
    /// Address of the output's validity, zeroed; 0: not wanted.
    pub validity: u64,
    /// Address of a `u32`: where in the output the first row goes; 0: at the front.
    pub first: u64,
    /// Rows of the output.
    pub capacity: u32,
    /// A [`super::KeyRule`].
    pub rule: u32,
}

/// Arguments of `gather_own`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct OwnArgs {
    /// Address of `rows` [`super::Span`]s.
    pub spans: u64,
    /// Address of a `u64` per span.
    pub offsets: u64,
    /// Address of the copies.
    pub heap: u64,
    /// Spans.
    pub rows: u32,
    /// Zero.
    pub reserved: u32,
}
