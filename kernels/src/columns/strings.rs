//! Strings as offsets and bytes (`kernels/columns/strings.cu`).

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use crate::abi::{BLOCK, Span, StringsArgs, TILE_ROWS};
use crate::parquet::Context;

const MODULE: &str = "columns/strings";

/// Where each of `rows` strings starts when they stand one behind the other, and behind the last one where
/// all end: `rows + 1` offsets. With a `count` only so many of the spans are there. `totals[number]` becomes
/// the bytes of all strings.
///
/// # Errors
/// [`CudaError::Misuse`] for fewer spans than rows, or no such total; what the driver says.
pub fn string_offsets(
    context: &Context<'_>,
    spans: &DeviceSlice<Span>,
    rows: u32,
    count: Option<&DeviceSlice<u32>>,
    totals: &DeviceBuffer<u64>,
    number: usize,
) -> Result<DeviceSlice<u64>> {
    if spans.len() < rows as usize || number >= totals.len() || rows > i32::MAX as u32 {
        return Err(CudaError::Misuse(format!("{rows} strings of {spans:?} to total {number}")));
    }
    if count.is_some_and(DeviceSlice::is_empty) {
        return Err(CudaError::Misuse("a count without a value".into()));
    }
    let stream = context.stream;
    let mut offsets = context.memory.buffer::<u64>(rows as usize + 1, stream)?;
    let tiles = (rows + 1).div_ceil(TILE_ROWS);
    let mut look_back = context.memory.buffer::<u64>(tiles as usize + 1, stream)?;
    look_back.zero(stream)?;
    let args = StringsArgs {
        spans: spans.address(),
        count: count.map_or(0, DeviceSlice::address),
        offsets: offsets.address(),
        total: totals.address() + 8 * number as u64,
        look_back: look_back.address(),
        rows,
        ..StringsArgs::default()
    };
    let function = context.kernels.function(MODULE, "strings_offsets")?;
    let mut launch = Launch::new(&function)
        .value(&args)
        .using_read(spans)
        .using_write(&mut offsets)
        .using_write(&mut look_back)
        .using_shared(totals);
    if let Some(count) = count {
        launch = launch.using_read(count);
    }
    // SAFETY: the parameter is the kernel's; it reads `rows` spans and the count, writes `rows + 1` offsets, a
    // total that is there, and a word of look-back per tile and one more (all checked or made above).
    unsafe { launch.run(Grid::linear(tiles, BLOCK), stream) }?;
    Ok(offsets.freeze())
}

/// Copies the strings to where `offsets` says, in `target`. `pointed` is the memory that the spans point into.
///
/// # Errors
/// [`CudaError::Misuse`] for fewer spans or offsets than rows; what the driver says.
pub fn gather_strings(
    context: &Context<'_>,
    spans: &DeviceSlice<Span>,
    offsets: &DeviceSlice<u64>,
    rows: u32,
    pointed: &[DeviceSlice<u8>],
    target: &mut DeviceBuffer<u8>,
) -> Result<()> {
    if spans.len() < rows as usize || offsets.len() <= rows as usize {
        return Err(CudaError::Misuse(format!("{rows} strings of {spans:?} at {offsets:?}")));
    }
    let args = StringsArgs {
        spans: spans.address(),
        offsets: offsets.address(),
        target: target.address(),
        target_bytes: target.bytes(),
        rows,
        ..StringsArgs::default()
    };
    let function = context.kernels.function(MODULE, "strings_gather")?;
    let mut launch = Launch::new(&function)
        .value(&args)
        .using_read(spans)
        .using_read(offsets)
        .using_write(target);
    for memory in pointed {
        launch = launch.using_read(memory);
    }
    let grid = Grid::covering(u64::from(rows) * 32, BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it reads `rows` spans and offsets (checked above) and the bytes
    // that the spans name, which a kernel validated, and writes no byte behind the target (checked there).
    unsafe { launch.run(grid, context.stream) }
}
