//! The keys of one side, packed or hashed.

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Launch, Result};

use crate::abi::{HashArgs, JoinState, PackArgs};
use crate::columns::RowList;
use crate::columns::rows::bitmap_words;
use crate::keys::{
    KeyColumn, KeyColumns, PackedAs, Packing, launch_hash, launch_pack, mappable, pack_fields,
    upload,
};
use crate::parquet::Context;

/// How a join finds keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinKeys {
    /// The packed key is the slot: for a small range.
    Direct(Packing),
    /// By the packed key. The packing's ranges are the build side's; what lies outside matches nothing.
    Packed(Packing),
    /// By a hash, then by comparing columns: for all types.
    Hashed,
}

impl JoinKeys {
    pub(super) fn key_bytes(&self) -> u32 {
        match self {
            JoinKeys::Direct(packing) | JoinKeys::Packed(packing) => packing.key_bytes(),
            JoinKeys::Hashed => 0,
        }
    }
}

/// One side of a join: key columns, and which of their rows take part.
#[derive(Clone, Copy)]
pub struct JoinSide<'a> {
    /// The keys.
    pub keys: &'a KeyColumns,
    /// The rows.
    pub list: RowList<'a>,
}

/// Packed keys or hashes by position, and which rows may match.
pub(super) struct Made {
    pub(super) keys: DeviceSlice<u8>,
    pub(super) matchable: DeviceSlice<u32>,
}

impl Made {
    pub(super) fn using<'l>(&self, launch: Launch<'l>) -> Launch<'l> {
        launch.using_read(&self.keys).using_read(&self.matchable)
    }
}

/// Makes a side's keys. With `state` (a build side's), a key outside of its range stops the table.
pub(super) fn make(
    context: &Context<'_>,
    form: &JoinKeys,
    side: JoinSide<'_>,
    nulls_equal: bool,
    state: Option<&mut DeviceBuffer<JoinState>>,
) -> Result<Made> {
    let JoinSide { keys, list } = side;
    list.check(keys.rows())?;
    let rows = list.rows as usize;
    let words = bitmap_words(list.rows).max(1);
    let mut matchable = context.memory.buffer::<u32>(words, context.stream)?;
    let bytes = rows * form.key_bytes().max(8) as usize;
    let made = context.memory.buffer::<u8>(bytes, context.stream)?;
    let made = match form {
        JoinKeys::Hashed => {
            let mut hashes = made.cast::<u64>()?;
            let args = HashArgs {
                list: list.abi(0)?,
                keys: keys.abi(),
                hashes: hashes.address(),
                matchable: matchable.address(),
            };
            launch_hash(context, &args, &mut hashes, |launch| {
                keys.using(list.using(launch)).using_write(&mut matchable)
            })?;
            if nulls_equal {
                // NULL equals NULL: every row may match. Bits behind the last row are not looked at.
                matchable.fill_bytes(0xff, context.stream)?;
            }
            hashes.cast()?
        }
        JoinKeys::Direct(packing) | JoinKeys::Packed(packing) => {
            let mut made = made;
            let columns = keys.columns().iter().map(KeyColumn::descriptor);
            let fields = upload(context, &pack_fields(packing, columns)?)?;
            let stop = state.as_ref().map_or(0, |state| state.address());
            let args = PackArgs {
                list: list.abi(stop)?,
                fields: fields.address(),
                keys: made.address(),
                matchable: matchable.address(),
                outside: stop,
                count: keys.abi().count,
                nulls_differ: u32::from(!nulls_equal),
            };
            launch_pack(context, &args, packing.key_bytes(), &mut made, |launch| {
                let launch = keys.using(list.using(launch));
                let launch = launch.using_read(&fields).using_write(&mut matchable);
                match state {
                    Some(state) => launch.using_write(state),
                    None => launch,
                }
            })?;
            made
        }
    };
    Ok(Made { keys: made.freeze(), matchable: matchable.freeze() })
}

/// Whether a form can hold keys of these columns.
pub(super) fn check_form(form: &JoinKeys, keys: &KeyColumns) -> Result<()> {
    let (JoinKeys::Direct(packing) | JoinKeys::Packed(packing)) = form else { return Ok(()) };
    if packing.ranges().len() != keys.columns().len() {
        return Err(CudaError::Misuse("packed keys of other columns".into()));
    }
    keys.columns().iter().try_for_each(mappable)
}

/// Whether a probe's packed keys mean what the build side's do.
pub(super) fn check_probe(form: &JoinKeys, build: &KeyColumns, probe: &KeyColumns) -> Result<()> {
    if *form == JoinKeys::Hashed {
        return Ok(());
    }
    let pairs = build.columns().iter().zip(probe.columns());
    pairs.into_iter().try_for_each(|(build, probe)| {
        mappable(probe)?;
        PackedAs::of(build).check(probe)
    })
}
