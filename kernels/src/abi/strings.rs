//! Arguments of the kernels that turn spans into offsets and bytes.

use bytemuck::{Pod, Zeroable};

/// Arguments of `strings_offsets` and `strings_gather`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct StringsArgs {
    /// Address of `rows` [`super::Span`]s.
    pub spans: u64,
    /// Address of a `u32`: how many of them there are; 0: all.
    pub count: u64,
    /// Address of `rows + 1` `u64`s.
    pub offsets: u64,
    /// Address of a `u64`: bytes of all strings.
    pub total: u64,
    /// Address of a `u64` for tickets and one per tile, zeroed.
    pub look_back: u64,
    /// Address of the strings' bytes.
    pub target: u64,
    /// Bytes that are there.
    pub target_bytes: u64,
    /// Spans.
    pub rows: u32,
    /// Zero.
    pub reserved: u32,
}
