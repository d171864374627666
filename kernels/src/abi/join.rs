//! Hash joins: the Rust side of `include/staffa/join/abi.h`.

use bytemuck::{Pod, Zeroable};

use super::{KeySet, RowsAbi};

/// What a build found out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct JoinState {
    /// 1: the table was too small; [`super::KEY_OUTSIDE`]: a key did not fit its packed form.
    pub overflow: u32,
    /// 1: a key stands more than once.
    pub duplicates: u32,
}

/// The table of a build side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct JoinTableAbi {
    /// Keys of the build side.
    pub keys: KeySet,
    /// Address of its selection, or 0.
    pub selection: u64,
    /// Address of packed keys per build position, or 0.
    pub packed: u64,
    /// Address of `mask + 1` slots.
    pub slots: u64,
    /// Address of a `u32` per slot: rows of its key.
    pub counts: u64,
    /// Address of a `u32` per slot: where they stand in `rows`.
    pub starts: u64,
    /// Address of a row number per build position, key by key.
    pub rows: u64,
    /// Address of the [`JoinState`].
    pub state: u64,
    /// Address of a bitmap of slots that a probe met; 0: not wanted.
    pub matched: u64,
    /// Slots - 1.
    pub mask: u32,
    /// Slots that are looked at.
    pub probes: u32,
    /// 1: a key is its slot.
    pub direct: u32,
    /// 1: no key stands more than once.
    pub unique: u32,
}

/// Arguments of `join_insert_*` and `join_fill`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct JoinBuildArgs {
    /// Which rows; `stop` is the state's overflow.
    pub list: RowsAbi,
    /// The table.
    pub table: JoinTableAbi,
    /// Address of a hash per position, or 0.
    pub hashes: u64,
    /// Address of a bitmap per position.
    pub matchable: u64,
    /// Address of a `u32` per position: its slot.
    pub position_slots: u64,
    /// Address of a `u32` per position: its number among the rows of its key.
    pub ranks: u64,
}

/// Arguments of `join_scan`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct JoinScanArgs {
    /// Address of a `u32` per slot.
    pub counts: u64,
    /// Address of a `u32` per slot.
    pub starts: u64,
    /// Address of a `u64` for tickets and one per tile, zeroed.
    pub look_back: u64,
    /// Slots.
    pub slots: u64,
}

/// Arguments of `join_probe_*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct JoinProbeArgs {
    /// Which rows.
    pub list: RowsAbi,
    /// The table.
    pub table: JoinTableAbi,
    /// Keys of the probe side.
    pub keys: KeySet,
    /// Address of a packed key per position, or 0.
    pub packed: u64,
    /// Address of a hash per position, or 0.
    pub hashes: u64,
    /// Address of a bitmap per position.
    pub matchable: u64,
    /// Address of a `u32` per position.
    pub found: u64,
    /// Address of a bitmap per position; 0: not wanted.
    pub matches: u64,
    /// Address of `rows + 1` `u64`s; 0: not wanted.
    pub offsets: u64,
    /// Address of a `u64` for tickets and one per tile, zeroed.
    pub look_back: u64,
    /// 1: a row without a match has one output.
    pub outer: u32,
    /// Zero.
    pub reserved: u32,
}

/// Arguments of `join_retrieve`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct JoinRetrieveArgs {
    /// Rows of the probe side.
    pub list: RowsAbi,
    /// The table.
    pub table: JoinTableAbi,
    /// As in [`JoinProbeArgs`].
    pub found: u64,
    /// As in [`JoinProbeArgs`].
    pub offsets: u64,
    /// First output of the chunk.
    pub first: u64,
    /// Address of `limit` build rows.
    pub build: u64,
    /// Address of `limit` probe rows.
    pub probe: u64,
    /// Address of a `u32`: outputs in the chunk.
    pub count: u64,
    /// Outputs that there is room for.
    pub limit: u32,
    /// Zero.
    pub reserved: u32,
}

/// Arguments of `join_matched_rows`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct JoinMatchedArgs {
    /// Address of a bitmap of slots.
    pub matched: u64,
    /// Address of a slot per position.
    pub position_slots: u64,
    /// Address of a bitmap of positions.
    pub bits: u64,
    /// Positions.
    pub rows: u32,
    /// Zero.
    pub reserved: u32,
}
