//! Columns in device memory (docs/design/columns.md).

use bytemuck::{Pod, Zeroable};

/// How a column's values are stored; the number is the descriptor's `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ColumnKind {
    /// 1, 2, 4, 8, 16 or 32 bytes a row.
    Fixed = 1,
    /// A bitmap.
    Bits = 2,
    /// `width` bytes a row, any width.
    Bytes = 3,
    /// A [`Span`] a row.
    Spans = 4,
    /// A `u32` a row, an index into a dictionary.
    Codes = 5,
}

/// The column descriptor that kernels receive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Column {
    /// Address of the values; 0 when `rows` is 0.
    pub values: u64,
    /// Address of the validity bitmap; 0: no row is NULL.
    pub validity: u64,
    /// Address of the dictionary's values; 0 unless `Codes`.
    pub dictionary: u64,
    /// Rows.
    pub rows: u32,
    /// Entries of the dictionary.
    pub dictionary_rows: u32,
    /// A [`ColumnKind`].
    pub kind: u8,
    /// Of the dictionary's values; 0 unless `Codes`.
    pub dictionary_kind: u8,
    /// Zero.
    pub reserved0: u16,
    /// Bytes a value (of the dictionary's values for `Codes`); 0 for `Bits`.
    pub width: u32,
    /// Logical type tag.
    pub type_: u32,
    /// Of decimals; unit of times and timestamps.
    pub scale: i32,
    /// Of decimals.
    pub precision: u32,
    /// Zero.
    pub reserved1: u32,
    /// Zero.
    pub reserved2: u64,
}

/// One row of a column of kind `Spans`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(16))]
pub struct Span {
    /// Device address of the first byte; any value when `length` is 0.
    pub address: u64,
    /// Bytes, at most 2^31 - 1.
    pub length: u32,
    /// The first four bytes, zero-filled, the first byte lowest.
    pub prefix: u32,
}
