//! Between bitmaps and row numbers (`kernels/columns/select.cu`).

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::rows::{RowList, bitmap_words, check_column, row_count, using_column};
use crate::abi::{BLOCK, ColumnKind, MarkArgs, SelectArgs, TILE_ROWS};
use crate::expression::InputColumn;
use crate::parquet::Context;

const MODULE: &str = "columns/select";

/// The numbers of the set bits (`inverted`: of the clear ones) among the first `rows`, ascending, and how
/// many there are: a selection.
///
/// # Errors
/// [`CudaError::Misuse`] for a bitmap that is shorter; what the driver says.
pub fn select_rows(
    context: &Context<'_>,
    bits: &DeviceSlice<u32>,
    rows: u32,
    inverted: bool,
) -> Result<(DeviceSlice<u32>, DeviceSlice<u32>)> {
    row_count(rows as usize)?;
    if bits.len() < bitmap_words(rows) {
        return Err(CudaError::Misuse(format!("{rows} rows of {bits:?}")));
    }
    let stream = context.stream;
    let mut numbers = context.memory.buffer::<u32>(rows.max(1) as usize, stream)?;
    let mut count = context.memory.buffer::<u32>(1, stream)?;
    if rows == 0 {
        count.zero(stream)?;
        return Ok((numbers.freeze(), count.freeze()));
    }
    let tiles = rows.div_ceil(TILE_ROWS);
    let mut look_back = context.memory.buffer::<u64>(1 + tiles as usize, stream)?;
    look_back.zero(stream)?;
    let args = SelectArgs {
        bits: bits.address(),
        numbers: numbers.address(),
        count: count.address(),
        look_back: look_back.address(),
        rows,
        inverted: u32::from(inverted),
    };
    let function = context.kernels.function(MODULE, "select_rows")?;
    let launch = Launch::new(&function)
        .value(&args)
        .using_read(bits)
        .using_write(&mut numbers)
        .using_write(&mut count)
        .using_write(&mut look_back);
    // SAFETY: the parameter is the kernel's; it reads `rows` bits (checked above), writes at most as many numbers
    // and a count, and a word of look-back per tile and one more.
    unsafe { launch.run(Grid::linear(tiles, BLOCK), stream) }?;
    Ok((numbers.freeze(), count.freeze()))
}

/// Sets the bits of the rows that `list` selects in a bitmap of `rows` bits; `NONE` and positions that `filter`
/// (a column of booleans, by position) does not hold true for are passed over.
///
/// # Errors
/// [`CudaError::Misuse`] for a list without a selection, a bitmap or filter that is shorter; what the driver says.
pub fn mark_rows(
    context: &Context<'_>,
    list: RowList<'_>,
    filter: Option<&InputColumn>,
    bits: &mut DeviceBuffer<u32>,
    rows: u32,
) -> Result<()> {
    if list.selection.is_none() || bits.len() < bitmap_words(rows) {
        return Err(CudaError::Misuse(format!("{rows} rows marked in {bits:?}")));
    }
    if let Some(filter) = filter {
        check_column(filter)?;
        if filter.descriptor.kind != ColumnKind::Bits as u8 || filter.descriptor.rows < list.rows {
            return Err(CudaError::Misuse("a filter that is not boolean, or too short".into()));
        }
    }
    let args = MarkArgs {
        list: list.abi(0)?,
        filter: filter.map_or(0, |f| f.descriptor.values),
        filter_validity: filter.map_or(0, |f| f.descriptor.validity),
        bits: bits.address(),
        rows,
        reserved: 0,
    };
    let function = context.kernels.function(MODULE, "select_mark")?;
    let mut launch = list.using(Launch::new(&function).value(&args).using_write(bits));
    if let Some(filter) = filter {
        launch = using_column(launch, filter);
    }
    let grid = Grid::covering(u64::from(list.rows), BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it reads the list and as many bits of the filter (checked above), and
    // changes bits below `rows`, which the bitmap has.
    unsafe { launch.run(grid, context.stream) }
}
