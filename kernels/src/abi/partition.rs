//! Partitioning: the Rust side of `include/staffa/partition/abi.h`.

use bytemuck::{Pod, Zeroable};

use super::{Column, KeySet, RowsAbi};

/// How DataFusion hashes a column, by its declared type: in `Column::type_` of a [`KeySet`]'s descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum HashRule {
    /// Integers, decimals, dates, times, timestamps, durations, intervals.
    Number = 0,
    /// Floats.
    Float = 1,
    /// Booleans.
    Boolean = 2,
    /// `Utf8`, `LargeUtf8`.
    String = 3,
    /// `Binary`, `LargeBinary`, `FixedSizeBinary`.
    Binary = 4,
    /// `Utf8View`, `BinaryView`.
    View = 5,
}

/// Added to a [`HashRule`] when the declared type is a dictionary, or runs, of such values.
pub const HASH_DICTIONARY: u32 = 8;

/// Arguments of `partition_ids`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PartitionIdsArgs {
    /// Which rows.
    pub list: RowsAbi,
    /// Their keys.
    pub keys: KeySet,
    /// Address of a `u32` per position.
    pub ids: u64,
    /// Address of a `u64` per position; 0: not wanted.
    pub hashes: u64,
    /// (2^64 - 1) / partitions.
    pub reciprocal: u64,
    /// 1 to 65,536.
    pub partitions: u32,
    /// Zero.
    pub reserved: u32,
}

/// Arguments of `partition_offsets`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PartitionOffsetsArgs {
    /// How many positions.
    pub list: RowsAbi,
    /// Address of ascending `u32`s, one per position; 0: `starts` say it.
    pub ids: u64,
    /// Address of 256 `u32`s, for at most 256 partitions.
    pub starts: u64,
    /// Address of `partitions + 1` `u32`s.
    pub offsets: u64,
    /// Partitions.
    pub partitions: u32,
    /// Zero.
    pub reserved: u32,
}

/// A column on its way to partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MoveColumn {
    /// The column.
    pub source: Column,
    /// Address of its values by position of the output.
    pub values: u64,
    /// Address of their validity; 0: the source has none.
    pub validity: u64,
}

/// Arguments of `partition_scatter`, `partition_gather` and `partition_bits`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PartitionMoveArgs {
    /// The rows that were partitioned.
    pub list: RowsAbi,
    /// Address of `count` [`MoveColumn`]s.
    pub columns: u64,
    /// Address of a `u32` per position: its partition.
    pub ids: u64,
    /// Address of 256 `u32`s per tile.
    pub tile_starts: u64,
    /// Address of a `u32` per position of the output: its row.
    pub order: u64,
    /// Columns.
    pub count: u32,
    /// Zero.
    pub reserved: u32,
}

/// Arguments of `partition_heap`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PartitionHeapArgs {
    /// Which rows.
    pub list: RowsAbi,
    /// A column of spans.
    pub source: Column,
    /// Address of a `u64`, zeroed.
    pub total: u64,
}
