//! Group tables and accumulators: the Rust side of `include/staffa/group_by/abi.h`.

use bytemuck::{Pod, Zeroable};

use super::{Column, KeySet, RowsAbi};

/// Marks the slot of a group without a number.
pub const SLOT_FRESH: u32 = 1 << 31;

/// Counts of a group table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct GroupState {
    /// Groups that have a number.
    pub groups: u32,
    /// Groups of a morsel that is not committed.
    pub fresh: u32,
    /// 1: the table was too small; [`super::KEY_OUTSIDE`]: a key did not fit its packed form.
    pub overflow: u32,
    /// Morsels whose rows all have groups.
    pub commits: u32,
}

/// Arguments of the `group_by` kernels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct GroupArgs {
    /// Which rows; `stop` is the state's overflow.
    pub list: RowsAbi,
    /// Keys of the morsel.
    pub keys: KeySet,
    /// Keys of the groups.
    pub stored: KeySet,
    /// Address of packed keys per position, or 0.
    pub packed: u64,
    /// Address of packed keys per group, or 0.
    pub stored_packed: u64,
    /// Address of hashes per position, or 0.
    pub hashes: u64,
    /// Address of hashes per group, or 0.
    pub stored_hashes: u64,
    /// Address of `mask + 1` slots.
    pub slots: u64,
    /// Address of the [`GroupState`].
    pub state: u64,
    /// Address of a `u32` per position: its slot.
    pub position_slots: u64,
    /// Address of a `u32` per position: slots of new groups.
    pub fresh_slots: u64,
    /// Address of a `u32` per position: rows that brought new groups.
    pub fresh_rows: u64,
    /// Address of a `u32` per position: its group.
    pub ids: u64,
    /// Slots - 1.
    pub mask: u32,
    /// Groups that there is room for.
    pub capacity: u32,
    /// Slots that are looked at.
    pub probes: u32,
    /// 0, 8 or 16.
    pub packed_bytes: u32,
    /// 1: a key is its slot.
    pub direct: u32,
    /// Zero.
    pub reserved: u32,
}

/// How a value becomes the word that an accumulator takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum WordForm {
    /// Zero-extended.
    Unsigned = 0,
    /// Sign-extended.
    Signed = 1,
    /// Unsigned order is the values' order.
    OrderedUnsigned = 2,
    /// The same, of signed integers.
    OrderedSigned = 3,
    /// The same, of floats.
    OrderedFloat = 4,
    /// The bits of a double.
    Float = 5,
    /// 1, whatever the value.
    One = 6,
}

/// Arguments of the `aggregate` kernels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct AggregateArgs {
    /// Which rows.
    pub list: RowsAbi,
    /// Address of a group per position.
    pub ids: u64,
    /// Address of a bitmap of rows that count; 0: all.
    pub filter: u64,
    /// Address of its validity; 0: no NULLs.
    pub filter_validity: u64,
    /// The values.
    pub value: Column,
    /// Address of the accumulators.
    pub words: u64,
    /// Address of a bitmap: groups that met a value; 0: not wanted.
    pub seen: u64,
    /// Address of a `u32` that becomes 1 at a NaN; 0: not wanted.
    pub nan: u64,
    /// Address of a `u32` per group.
    pub elected: u64,
    /// Address of a `u64` per group: the morsel's rows with a value, for deviations.
    pub counts: u64,
    /// Address of a double per group: their sum.
    pub sums: u64,
    /// Groups that there is room for.
    pub groups: u32,
    /// A [`WordForm`].
    pub form: u32,
    /// 1: the greatest value is wanted, 0: the least.
    pub greatest: u32,
    /// Zero.
    pub reserved: u32,
}

/// Arguments of `moments_merge`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MomentsArgs {
    /// Address of a `u32` that is not 0 once the table has overflowed.
    pub stop: u64,
    /// Address of the group of each row, at most one row each; 0: the row's number.
    pub ids: u64,
    /// Address of a `u64` per row; rows of count 0 are left out.
    pub counts: u64,
    /// Address of a double per row; 0: `sums` says.
    pub means: u64,
    /// Address of a double per row.
    pub sums: u64,
    /// Address of a double per row: the sum of squared deviations from the mean.
    pub deviations: u64,
    /// Address of the groups' own counts.
    pub into_counts: u64,
    /// Address of their means.
    pub into_means: u64,
    /// Address of their sums of squared deviations.
    pub into_deviations: u64,
    /// Rows.
    pub rows: u32,
    /// Groups that there is room for.
    pub groups: u32,
}

/// Arguments of `aggregate_fill` and `aggregate_finish`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FinishArgs {
    /// Address of the accumulators.
    pub words: u64,
    /// Address of the output.
    pub values: u64,
    /// Address of a bitmap: groups that met a value; 0: all did.
    pub seen: u64,
    /// The word to fill with.
    pub first: u64,
    /// Groups.
    pub groups: u32,
    /// Bytes a group of output; 0: a bitmap.
    pub width: u32,
    /// A [`WordForm`].
    pub form: u32,
    /// Zero.
    pub reserved: u32,
}
