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

/// Arguments of `select_rows`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SelectArgs {
    /// Address of a bitmap.
    pub bits: u64,
    /// Address of `rows` `u32`s.
    pub numbers: u64,
    /// Address of a `u32`: how many there are.
    pub count: u64,
    /// Address of a `u64` for tickets and one per tile, zeroed.
    pub look_back: u64,
    /// Bits.
    pub rows: u32,
    /// 1: the clear bits.
    pub inverted: u32,
}

/// Arguments of `select_mark`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MarkArgs {
    /// `selection` names the rows.
    pub list: RowsAbi,
    /// Address of a bitmap by position; 0: all count.
    pub filter: u64,
    /// Address of its validity; 0: no NULLs.
    pub filter_validity: u64,
    /// Address of the bitmap.
    pub bits: u64,
    /// Its bits.
    pub rows: u32,
    /// Zero.
    pub reserved: u32,
}
