//! Key columns: the Rust side of `include/staffa/keys/abi.h`.

use bytemuck::{Pod, Zeroable};

use super::Column;

/// A row, group or slot that is none.
pub const NONE: u32 = u32::MAX;

/// What a group table's overflow becomes when a key does not fit its packed form.
pub const KEY_OUTSIDE: u32 = 2;

/// How the values of a key column compare: in `Column::type_` of a [`KeySet`]'s descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum KeyRule {
    /// By their bits; unsigned where order matters.
    Bits = 0,
    /// As DataFusion groups floats: by their bits, -0.0 as 0.0.
    Float16 = 1,
    /// The same.
    Float32 = 2,
    /// The same.
    Float64 = 3,
    /// By their bits; signed where order matters.
    Signed = 4,
}

/// The key columns of a set of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct KeySet {
    /// Address of `count` [`Column`]s.
    pub columns: u64,
    /// Columns.
    pub count: u32,
    /// Rows of each.
    pub rows: u32,
}

/// Rows of a set: all, or selected ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RowsAbi {
    /// Address of row numbers; 0: position i is row i.
    pub selection: u64,
    /// Address of a `u32`: how many positions there are; 0: `rows`.
    pub count: u64,
    /// Address of a `u32`: if it is not 0, nothing is done; 0: there is none.
    pub stop: u64,
    /// Positions at most.
    pub rows: u32,
    /// Zero.
    pub reserved: u32,
}

/// Arguments of `keys_hash`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct HashArgs {
    /// Which rows.
    pub list: RowsAbi,
    /// Their keys.
    pub keys: KeySet,
    /// Address of a `u64` per position.
    pub hashes: u64,
    /// Address of a bitmap: the row has no NULL; 0: not wanted.
    pub matchable: u64,
}

/// Arguments of `keys_range`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RangeArgs {
    /// Which rows.
    pub list: RowsAbi,
    /// The column.
    pub values: Column,
    /// Address of a [`KeyRange`].
    pub range: u64,
}

/// Least and greatest value of a column, as numbers whose unsigned order is the values'.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct KeyRange {
    /// All ones if there is no value.
    pub low: u64,
    /// Zero if there is no value.
    pub high: u64,
    /// 1: a value does not fit 64 bits.
    pub wide: u32,
    /// 1: there are NULLs.
    pub nulls: u32,
}

/// A column's part in a packed key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PackField {
    /// The column.
    pub values: Column,
    /// As in [`KeyRange`].
    pub low: u64,
    /// As in [`KeyRange`].
    pub high: u64,
    /// What a step of this field adds to the key: lower half.
    pub stride_low: u64,
    /// Upper half.
    pub stride_high: u64,
    /// 1: NULL is part 0, and values start at 1.
    pub nullable: u32,
    /// Zero.
    pub reserved: u32,
    /// Zero.
    pub reserved1: u64,
}

/// Arguments of `keys_pack_64` and `keys_pack_128`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PackArgs {
    /// Which rows.
    pub list: RowsAbi,
    /// Address of `count` [`PackField`]s.
    pub fields: u64,
    /// Address of a key per position.
    pub keys: u64,
    /// Address of a bitmap: the row fits and may match; 0: not wanted.
    pub matchable: u64,
    /// Address of a `u32` that becomes [`KEY_OUTSIDE`] when a row does not fit; 0: not wanted.
    pub outside: u64,
    /// Fields.
    pub count: u32,
    /// 1: a NULL makes the row unmatchable.
    pub nulls_differ: u32,
}
