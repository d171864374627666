//! Sort keys (`kernels/sort/keys.cu`).

use staffa_cuda::{DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::plan::{Key, SortColumn};
use super::{KeyBytes, RadixKeys};
use crate::abi::{BLOCK, SortKeysArgs};
use crate::columns::RowList;
use crate::columns::rows::using_column;
use crate::keys::upload;
use crate::parquet::Context;

const MODULE: &str = "sort/keys";

/// An order that is not final: a row a place, and where each place's ties begin.
pub(super) struct Places {
    pub(super) order: DeviceBuffer<u32>,
    pub(super) segments: DeviceBuffer<u32>,
    /// Units of strings that a place's ties share.
    pub(super) depths: Option<DeviceBuffer<u32>>,
    /// By where ties begin: the unit that their strings differ in.
    pub(super) units: Option<DeviceBuffer<u32>>,
}

/// Keys of a list's rows.
pub(super) fn row_keys(
    context: &Context<'_>,
    columns: &[SortColumn],
    key: &Key,
    list: RowList<'_>,
) -> Result<RadixKeys> {
    let width = key.width(0)?;
    let args = SortKeysArgs { list: list.abi(0)?, ..SortKeysArgs::default() };
    let keys = make(context, columns, key, width, list, args, |launch| launch)?;
    Ok(RadixKeys { keys, width, bits: 0..key.bits })
}

/// Keys of places that tie, with where their ties begin above the fields; and the places' rows.
pub(super) fn place_keys(
    context: &Context<'_>,
    columns: &[SortColumn],
    key: &Key,
    places: &mut Places,
    tied: RowList<'_>,
    segment_bits: u32,
) -> Result<(RadixKeys, DeviceSlice<u32>)> {
    let width = key.width(segment_bits)?;
    let mut rows = context.memory.buffer::<u32>(tied.rows.max(1) as usize, context.stream)?;
    let args = SortKeysArgs {
        list: tied.abi(0)?,
        order: places.order.address(),
        segments: places.segments.address(),
        units: places.units.as_ref().map_or(0, DeviceBuffer::address),
        rows: rows.address(),
        segment_shift: key.bits,
        ..SortKeysArgs::default()
    };
    let Places { order, segments, units, .. } = places;
    let keys = make(context, columns, key, width, tied, args, |launch| {
        let launch = launch.using_write(order).using_write(segments).using_write(&mut rows);
        crate::columns::rows::using_optional(launch, units.as_mut())
    })?;
    Ok((RadixKeys { keys, width, bits: 0..key.bits + segment_bits }, rows.freeze()))
}

fn make(
    context: &Context<'_>,
    columns: &[SortColumn],
    key: &Key,
    width: KeyBytes,
    list: RowList<'_>,
    args: SortKeysArgs,
    using: impl for<'l> FnOnce(Launch<'l>) -> Launch<'l>,
) -> Result<DeviceBuffer<u8>> {
    let bytes = list.rows as usize * width.bytes() as usize;
    let mut keys = context.memory.buffer::<u8>(bytes, context.stream)?;
    let fields = upload(context, &key.fields)?;
    let args = SortKeysArgs {
        fields: fields.address(),
        keys: keys.address(),
        count: u32::try_from(key.fields.len()).unwrap_or(u32::MAX),
        ..args
    };
    let symbol = width.symbol(["sort_keys_32", "sort_keys_64", "sort_keys_128"]);
    let function = context.kernels.function(MODULE, symbol)?;
    let launch = Launch::new(&function).value(&args).using_read(&fields).using_write(&mut keys);
    let launch =
        columns.iter().fold(list.using(launch), |launch, key| using_column(launch, &key.column));
    let grid = Grid::covering(u64::from(list.rows), BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it reads the list's rows (or places of an order of such rows) of
    // columns that lie in their buffers and are of kinds that their order reads, checked by the caller, and
    // writes a key, and a row, per position.
    unsafe { using(launch).run(grid, context.stream) }?;
    Ok(keys)
}
