//! Places that tie (`kernels/sort/ties.cu`).

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::keys::Places;
use super::plan::SortColumn;
use super::{KeyBytes, RadixSorted};
use crate::abi::{BLOCK, SortSettleArgs, SortTiesArgs};
use crate::columns::rows::{bitmap_words, logical_storage, using_column, using_optional};
use crate::columns::{RowList, select_rows};
use crate::parquet::Context;

const MODULE: &str = "sort/ties";

/// Rows sorted by `width` keys to the places that `list` selects (or all), and where each place's ties begin.
pub(super) fn settle(
    context: &Context<'_>,
    places: &mut Places,
    sorted: &RadixSorted,
    width: KeyBytes,
    list: RowList<'_>,
) -> Result<()> {
    let keys =
        sorted.keys.as_ref().ok_or_else(|| CudaError::Misuse("a sort that kept no keys".into()))?;
    let args = SortSettleArgs {
        list: list.abi(0)?,
        keys: keys.address(),
        rows: sorted.rows.address(),
        order: places.order.address(),
        segments: places.segments.address(),
        depths: places.depths.as_ref().map_or(0, DeviceBuffer::address),
        units: places.units.as_ref().map_or(0, DeviceBuffer::address),
    };
    let symbol = width.symbol(["sort_settle_32", "sort_settle_64", "sort_settle_128"]);
    let function = context.kernels.function(MODULE, symbol)?;
    let launch = Launch::new(&function)
        .value(&args)
        .using_read(keys)
        .using_read(&sorted.rows)
        .using_write(&mut places.order)
        .using_write(&mut places.segments);
    let launch = using_optional(launch, places.depths.as_mut());
    let launch = using_optional(launch, places.units.as_mut());
    let grid = Grid::covering(u64::from(list.rows), BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it reads a key and a row per position, and writes to the places that the
    // list names, which are places of the order; segments are places too, for which there are units.
    unsafe { list.using(launch).run(grid, context.stream) }
}

/// Finds where strings of each run of ties differ: `units` of the places.
pub(super) fn find_common(
    context: &Context<'_>,
    places: &mut Places,
    column: &SortColumn,
    list: RowList<'_>,
) -> Result<()> {
    let mut units = context.memory.buffer::<u32>(list.rows.max(1) as usize, context.stream)?;
    units.fill_bytes(0xff, context.stream)?;
    let Some(depths) = &mut places.depths else {
        return Err(CudaError::Misuse("strings of places without depths".into()));
    };
    let (_, width) = logical_storage(&column.column.descriptor);
    let args = SortTiesArgs {
        list: all_of(list).abi(0)?,
        values: crate::abi::Column { width, ..column.column.descriptor },
        order: places.order.address(),
        segments: places.segments.address(),
        depths: depths.address(),
        units: units.address(),
        bits: 0,
    };
    let function = context.kernels.function(MODULE, "sort_common")?;
    let launch = Launch::new(&function)
        .value(&args)
        .using_write(&mut places.order)
        .using_write(&mut places.segments)
        .using_write(depths)
        .using_write(&mut units);
    let launch = using_column(all_of(list).using(launch), &column.column);
    let grid = Grid::covering(u64::from(list.rows), BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it reads places below the list's positions, their rows' strings, and
    // changes units of places where ties begin, of which there is one per place.
    unsafe { launch.run(grid, context.stream) }?;
    places.units = Some(units);
    Ok(())
}

/// The places that tie (with `units`: whose strings differ somewhere), and how many they are, which is read.
pub(super) fn tied(
    context: &Context<'_>,
    places: &mut Places,
    list: RowList<'_>,
) -> Result<(DeviceSlice<u32>, u32)> {
    let words = bitmap_words(list.rows).max(1);
    let mut bits = context.memory.buffer::<u32>(words, context.stream)?;
    let args = SortTiesArgs {
        list: all_of(list).abi(0)?,
        order: places.order.address(),
        segments: places.segments.address(),
        depths: places.depths.as_ref().map_or(0, DeviceBuffer::address),
        units: places.units.as_ref().map_or(0, DeviceBuffer::address),
        bits: bits.address(),
        ..SortTiesArgs::default()
    };
    let function = context.kernels.function(MODULE, "sort_tied")?;
    let launch = Launch::new(&function)
        .value(&args)
        .using_write(&mut places.segments)
        .using_write(&mut bits);
    let launch = using_optional(launch, places.depths.as_mut());
    let launch = using_optional(launch, places.units.as_mut());
    let grid = Grid::covering(u64::from(list.rows), BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it reads segments, and units at them, of places below the list's
    // positions, and writes a bit, and with units a depth, per place.
    unsafe { all_of(list).using(launch).run(grid, context.stream) }?;
    let (numbers, count) = select_rows(context, &bits.freeze(), list.rows, false)?;
    let count = count.read(context.ring, context.stream)?.first().copied().unwrap_or(0);
    Ok((numbers, count.min(list.rows)))
}

/// As many positions as a list has, without its selection: places of its order.
pub(super) fn all_of(list: RowList<'_>) -> RowList<'_> {
    RowList { selection: None, ..list }
}
