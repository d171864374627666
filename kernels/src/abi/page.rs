//! Parquet pages in device memory, and the arguments of the kernels that decode them.

use bytemuck::{Pod, Zeroable};

/// [`Page::levels_bytes`] of a version-1 page: the section starts with its own length, in 4 bytes.
pub const LEVELS_PREFIXED: u32 = u32::MAX;

/// A data page whose bytes are decompressed and in device memory, as the host validated it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Page {
    /// Device address of the body, any alignment.
    pub body: u64,
    /// Bytes of the body.
    pub body_bytes: u32,
    /// Rows (levels) in the page.
    pub rows: u32,
    /// Output row of the page's first; rows that fall outside the column are decoded and not stored.
    pub first_row: i32,
    /// Tiles of the pages before this one: the sum of `rows.div_ceil(TILE_ROWS)`.
    pub first_tile: u32,
    /// What [`super::ErrorSlot::where_`] says.
    pub ordinal: u32,
    /// Bytes in front of the definition levels.
    pub levels_offset: u32,
    /// Bytes of definition levels (version 2), [`LEVELS_PREFIXED`] (version 1), or 0 without levels.
    pub levels_bytes: u32,
    /// Highest definition level; 0: a required column, which stores none.
    pub max_level: u8,
    /// Bits a level.
    pub level_width: u8,
    /// Zero.
    pub reserved0: u16,
    /// DELTA_BYTE_ARRAY: device address for this page's strings.
    pub heap: u64,
    /// Bytes that are there.
    pub heap_bytes: u64,
}

/// What the kernels find out about a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PageState {
    /// Where the values section starts in the body.
    pub values_offset: u32,
    /// Bytes of the values section.
    pub values_bytes: u32,
    /// Rows that are not NULL.
    pub valid: u32,
    /// Bytes of the values section that delta-encoded integers cover.
    pub consumed: u32,
    /// DELTA_BYTE_ARRAY: bytes of the page's strings.
    pub heap_needed: u64,
    /// Where the definition levels start in the body.
    pub levels_offset: u32,
    /// Bytes of definition levels.
    pub levels_bytes: u32,
}

/// Where in a run of a hybrid stream a tile starts. Scratch: only its size matters to the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Checkpoint {
    /// Offset of a bit-packed run in the stream, or the value of a repeated one.
    pub data: u32,
    /// Values in the run; bit 31: bit-packed.
    pub length: u32,
    /// Values of the run that earlier tiles took.
    pub taken: u32,
    /// Offset of the next run's header.
    pub next: u32,
}

/// A compressed page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CompressedPage {
    /// Device address of the compressed bytes.
    pub source: u64,
    /// Device address for the output.
    pub target: u64,
    /// Compressed bytes.
    pub source_bytes: u32,
    /// Exactly this many bytes must come out.
    pub target_bytes: u32,
    /// What [`super::ErrorSlot::where_`] says.
    pub ordinal: u32,
    /// Zero.
    pub reserved: u32,
}

/// The pages of one column in one morsel, which every page kernel takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PageSet {
    /// Address of `count` [`Page`]s.
    pub pages: u64,
    /// Address of `count` [`PageState`]s.
    pub states: u64,
    /// Address of `tiles * TILE_WORDS` words of page-local validity; 0 when no page has levels.
    pub words: u64,
    /// Address of `tiles` `u32`s: non-null rows of the page before the tile.
    pub tile_valid: u64,
    /// Address of the [`super::ErrorSlot`].
    pub error: u64,
    /// Pages.
    pub count: u32,
    /// Tiles of all pages.
    pub tiles: u32,
}

/// Arguments of `levels_index`, `levels_expand` and `levels_rank`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct LevelsArgs {
    /// The pages.
    pub set: PageSet,
    /// Address of `tiles` [`Checkpoint`]s.
    pub checkpoints: u64,
    /// Address of the column's validity bitmap, zeroed; 0: not wanted.
    pub validity: u64,
    /// Address of a zeroed `u64`: NULLs within the column's rows.
    pub nulls: u64,
    /// Rows of the column.
    pub rows: u32,
    /// Zero.
    pub reserved: u32,
}

/// Arguments of the fixed-width kernels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FixedArgs {
    /// The pages.
    pub set: PageSet,
    /// Address of the output.
    pub values: u64,
    /// Address of compact values to read instead of the pages' own; 0: the pages'.
    pub compact: u64,
    /// Rows of the column.
    pub rows: u32,
    /// Bytes a stored value.
    pub stored: u32,
    /// Bytes a row of output.
    pub width: u32,
    /// Where in a stored value the output starts.
    pub offset: u32,
    /// The multiplier of `i32_scale`.
    pub factor: i64,
}

/// Arguments of the dictionary kernels and of RLE booleans.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct HybridArgs {
    /// The pages.
    pub set: PageSet,
    /// Address of `tiles` [`Checkpoint`]s.
    pub checkpoints: u64,
    /// Address of the output: codes, values, or a zeroed bitmap.
    pub values: u64,
    /// Address of the dictionary's values, of the output's width.
    pub dictionary: u64,
    /// Entries of the dictionary.
    pub dictionary_rows: u32,
    /// Rows of the column.
    pub rows: u32,
    /// Bytes a row of output.
    pub width: u32,
    /// 0: the first byte is the width of an index; 1: booleans, behind a 4-byte length.
    pub form: u32,
}

/// Arguments of the delta and variable-length kernels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CompactArgs {
    /// The pages.
    pub set: PageSet,
    /// Address of the output: `tiles * TILE_ROWS` slots, or one per row when `direct`.
    pub output: u64,
    /// Address of an `i32` per slot: lengths, or lengths of suffixes.
    pub lengths: u64,
    /// Address of an `i32` per slot: lengths of prefixes.
    pub prefixes: u64,
    /// Rows of the column, when `direct`.
    pub rows: u32,
    /// 1: the output is indexed by row, because no page has NULLs; 0: by slot.
    pub direct: u32,
}

/// Arguments of `spans_utf8`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Utf8Args {
    /// Address of `rows` [`super::Span`]s.
    pub spans: u64,
    /// Address of the [`super::ErrorSlot`].
    pub error: u64,
    /// Strings to check.
    pub rows: u32,
    /// What [`super::ErrorSlot::where_`] says.
    pub ordinal: u32,
}

/// Arguments of the decompressors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct DecompressArgs {
    /// Address of `count` [`CompressedPage`]s.
    pub pages: u64,
    /// Address of the [`super::ErrorSlot`].
    pub error: u64,
    /// Pages.
    pub count: u32,
    /// Zero.
    pub reserved: u32,
}
