//! Sorting: the Rust side of `include/staffa/sort/abi.h`.

use bytemuck::{Pod, Zeroable};

use super::{Column, RowsAbi};

/// Bits of a key that one pass sorts by.
pub const RADIX_BITS: u32 = 8;

/// Values of a digit.
pub const RADIX: u32 = 256;

/// Rows that a radix sort takes.
pub const SORT_ROWS: u32 = (1 << 30) - 1;

/// Arguments of `radix_count_*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RadixCountArgs {
    /// How many positions.
    pub list: RowsAbi,
    /// Address of a key per position.
    pub keys: u64,
    /// Address of 256 `u32`s per pass, zeroed.
    pub counts: u64,
    /// Lowest bit of the first digit.
    pub first_shift: u32,
    /// Digits.
    pub passes: u32,
}

/// Arguments of `radix_starts`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RadixStartsArgs {
    /// As in [`RadixCountArgs`].
    pub counts: u64,
    /// Address of 256 `u32`s per pass: exclusive sums.
    pub starts: u64,
    /// Address of a `u32` per pass: 1 if all keys have one value.
    pub trivial: u64,
}

/// Arguments of `radix_pass_*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RadixPassArgs {
    /// How many positions; its selection gives rows if `rows_in` is 0.
    pub list: RowsAbi,
    /// Address of a key per position.
    pub keys_in: u64,
    /// Address of a key per position; 0: not wanted.
    pub keys_out: u64,
    /// Address of a `u32` per position; 0: the list's rows.
    pub rows_in: u64,
    /// Address of a `u32` per position.
    pub rows_out: u64,
    /// Address of this pass's 256 starts.
    pub starts: u64,
    /// Address of this pass's `u32`.
    pub trivial: u64,
    /// Address of four `u32`s and 256 per tile, zeroed.
    pub look_back: u64,
    /// Address of 256 `u32`s per tile; 0: not wanted.
    pub tile_starts: u64,
    /// Lowest bit of the digit.
    pub shift: u32,
    /// Zero.
    pub reserved: u32,
}

/// How the values of a sort column compare: in `Column::type_` of a [`SortField`]'s descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ValueOrder {
    /// Numbers without a sign, booleans.
    Unsigned = 0,
    /// Numbers with a sign, dates, times, decimals.
    Signed = 1,
    /// Floats, in total order: -NaN, -inf .. -0.0, 0.0 .. inf, NaN.
    Float = 2,
    /// Strings and binary, byte by byte; the shorter first where one begins with the other.
    Bytes = 3,
}

/// Flag of a [`SortField`]: a bit above the value says whether it is NULL.
pub const SORT_NULLABLE: u32 = 1;

/// Flag of a [`SortField`]: NULLs come last.
pub const SORT_NULLS_LAST: u32 = 2;

/// Flag of a [`SortField`]: the greatest value comes first.
pub const SORT_DESCENDING: u32 = 4;

/// Bits of eight bytes of a string, with how many there are.
pub const STRING_BITS: u32 = 68;

/// A part of a column that goes into a sort key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SortField {
    /// The column.
    pub values: Column,
    /// Which 64 bits of a value, the highest first, or which 8 bytes; [`super::NONE`]: `units` say it.
    pub unit: u32,
    /// Of the unit, without the one for NULL.
    pub bits: u32,
    /// `SORT_*`.
    pub flags: u32,
    /// Lowest bit in the key.
    pub shift: u32,
}

/// Arguments of `sort_keys_*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SortKeysArgs {
    /// Which rows, or with `order` which places.
    pub list: RowsAbi,
    /// Address of a row per place; 0: the list names rows.
    pub order: u64,
    /// Address of a `u32` per place: where its ties begin; 0: none.
    pub segments: u64,
    /// Address of a `u32` per place where ties begin: the unit to sort by; 0: none.
    pub units: u64,
    /// Address of `count` [`SortField`]s.
    pub fields: u64,
    /// Address of a key per position.
    pub keys: u64,
    /// Address of a `u32` per position: its row; 0: not wanted.
    pub rows: u64,
    /// Fields.
    pub count: u32,
    /// Lowest bit of the segment in the key.
    pub segment_shift: u32,
}

/// Arguments of `sort_settle_*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SortSettleArgs {
    /// The places that were sorted.
    pub list: RowsAbi,
    /// Address of their keys, sorted.
    pub keys: u64,
    /// Address of their rows, sorted.
    pub rows: u64,
    /// Address of a row per place.
    pub order: u64,
    /// Address of a `u32` per place: where its ties begin.
    pub segments: u64,
    /// Address of a `u32` per place: units that its ties share; 0: not wanted.
    pub depths: u64,
    /// As in [`SortKeysArgs`]; 0: the unit was 0.
    pub units: u64,
}

/// Arguments of `sort_common` and `sort_tied`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SortTiesArgs {
    /// Places that there are.
    pub list: RowsAbi,
    /// The strings.
    pub values: Column,
    /// Address of a row per place.
    pub order: u64,
    /// Address of a `u32` per place.
    pub segments: u64,
    /// Address of a `u32` per place.
    pub depths: u64,
    /// Address of a `u32` per place, all ones before.
    pub units: u64,
    /// Address of a bitmap of places.
    pub bits: u64,
}

/// What a selection of the first rows has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct TopState {
    /// The last key's digits, from the top: lower half.
    pub low: u64,
    /// Upper half.
    pub high: u64,
    /// Keys wanted among those that begin so.
    pub left: u32,
    /// 1: there are not that many.
    pub all: u32,
    /// Zero.
    pub reserved: u64,
}

/// Arguments of `top_count_*`, `top_choose` and `top_take_*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct TopArgs {
    /// Which rows.
    pub list: RowsAbi,
    /// Address of a key per position.
    pub keys: u64,
    /// Address of 256 `u32`s, zeroed.
    pub counts: u64,
    /// Address of a [`TopState`].
    pub state: u64,
    /// Address of a `u64` for tickets and one per tile, zeroed.
    pub look_back: u64,
    /// Address of `capacity` keys; 0: not wanted.
    pub keys_out: u64,
    /// Address of `capacity` rows.
    pub rows_out: u64,
    /// Address of a `u32`.
    pub count_out: u64,
    /// Lowest bit of the digit.
    pub shift: u32,
    /// Of the outputs.
    pub capacity: u32,
    /// 1: all that tie with the last one too.
    pub ties: u32,
    /// Zero.
    pub reserved: u32,
}
