//! What crosses the line between host and kernels: the Rust side of `include/staffa/abi.h` and of the
//! operators' own `include/staffa/<operator>/abi.h`.
//!
//! Layouts are described there and in `docs/design/columns.md`; the test `abi` compares every size,
//! alignment and offset. Addresses are device addresses; a zeroed struct is valid for each of them.

mod column;
mod error;
mod gather;
mod group_by;
mod join;
mod keys;
mod page;
mod partition;
mod sort;
mod strings;

pub use column::{Column, ColumnKind, Span};
pub use error::{ErrorCode, ErrorSlot};
pub use gather::{GatherArgs, MarkArgs, OwnArgs, SelectArgs};
pub use group_by::{
    AggregateArgs, FinishArgs, GroupArgs, GroupState, MomentsArgs, SLOT_FRESH, WordForm,
};
pub use join::{
    JoinBuildArgs, JoinMatchedArgs, JoinProbeArgs, JoinRetrieveArgs, JoinScanArgs, JoinState,
    JoinTableAbi,
};
pub use keys::{
    HashArgs, KEY_OUTSIDE, KeyRange, KeyRule, KeySet, NONE, PackArgs, PackField, RangeArgs, RowsAbi,
};
pub use page::{
    Checkpoint, CompactArgs, CompressedPage, DecompressArgs, FixedArgs, HybridArgs,
    LEVELS_PREFIXED, LevelsArgs, Page, PageSet, PageState, Utf8Args,
};
pub use partition::{
    HASH_DICTIONARY, HashRule, MoveColumn, PartitionHeapArgs, PartitionIdsArgs, PartitionMoveArgs,
    PartitionOffsetsArgs,
};
pub use sort::{
    RADIX, RADIX_BITS, RadixCountArgs, RadixPassArgs, RadixStartsArgs, SORT_DESCENDING,
    SORT_NULLABLE, SORT_NULLS_LAST, SORT_ROWS, STRING_BITS, SortField, SortKeysArgs,
    SortSettleArgs, SortTiesArgs, TopArgs, TopState, ValueOrder,
};
pub use strings::StringsArgs;

/// Rows of a page that one block handles.
pub const TILE_ROWS: u32 = 2048;

/// Words of validity that a tile has.
pub const TILE_WORDS: u32 = TILE_ROWS / 32;

/// Threads of a block, unless a kernel says otherwise.
pub const BLOCK: u32 = 256;
