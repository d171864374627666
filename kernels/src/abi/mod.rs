//! What crosses the line between host and kernels: the Rust side of `include/staffa/abi.h`.
//!
//! Layouts are described there and in `docs/design/columns.md`; the test `abi` compares every size,
//! alignment and offset. Addresses are device addresses; a zeroed struct is valid for each of them.

mod column;
mod error;
mod page;
mod strings;

pub use column::{Column, ColumnKind, Span};
pub use error::{ErrorCode, ErrorSlot};
pub use page::{
    Checkpoint, CompactArgs, CompressedPage, DecompressArgs, FixedArgs, HybridArgs,
    LEVELS_PREFIXED, LevelsArgs, Page, PageSet, PageState, Utf8Args,
};
pub use strings::StringsArgs;

/// Rows of a page that one block handles.
pub const TILE_ROWS: u32 = 2048;

/// Words of validity that a tile has.
pub const TILE_WORDS: u32 = TILE_ROWS / 32;

/// Threads of a block, unless a kernel says otherwise.
pub const BLOCK: u32 = 256;
