//! The bytes of strings by partition, behind each other.

use staffa_cuda::{CudaError, DeviceBuffer, Grid, Launch, Result};

use crate::abi::{BLOCK, ColumnKind, OwnArgs, PartitionHeapArgs, StringsArgs, TILE_ROWS};
use crate::columns::RowList;
use crate::columns::rows::using_column;
use crate::expression::InputColumn;
use crate::parquet::Context;

/// Where the buffer has a column's offsets and bytes.
pub(super) struct Heap {
    pub(super) offsets: u64,
    pub(super) at: u64,
    pub(super) bytes: u64,
}

/// How many bytes the strings of each column have; `None` for other kinds. Waits for the device if there are any.
pub(super) fn heap_bytes(
    context: &Context<'_>,
    list: RowList<'_>,
    columns: &[InputColumn],
) -> Result<Vec<Option<u64>>> {
    let spans = |column: &&InputColumn| column.descriptor.kind == ColumnKind::Spans as u8;
    let count = columns.iter().filter(spans).count();
    if count == 0 {
        return Ok(vec![None; columns.len()]);
    }
    let mut totals = context.memory.buffer::<u64>(count, context.stream)?;
    totals.zero(context.stream)?;
    let function = context.kernels.function("partition/move", "partition_heap")?;
    for (number, column) in columns.iter().filter(spans).enumerate() {
        let args = PartitionHeapArgs {
            list: list.abi(0)?,
            source: column.descriptor,
            total: totals.address() + 8 * number as u64,
        };
        let launch = Launch::new(&function).value(&args).using_write(&mut totals);
        let launch = using_column(list.using(launch), column);
        let blocks = list.rows.div_ceil(8 * BLOCK).min(1024);
        // SAFETY: the parameter is the kernel's; it reads the list's rows of a column of spans in its buffers
        // (checked by the caller) and changes one total, which is there.
        unsafe { launch.run(Grid::linear(blocks, BLOCK), context.stream) }?;
    }
    let mut totals = totals.read(context.ring, context.stream)?.into_iter();
    Ok(columns.iter().map(|column| if spans(&column) { totals.next() } else { None }).collect())
}

/// Copies the strings of spans at address `spans`, inside `buffer`, into their heap there, and makes the spans
/// point to the copies.
pub(super) fn own(
    context: &Context<'_>,
    list: RowList<'_>,
    source: &InputColumn,
    spans: u64,
    heap: &Heap,
    buffer: &mut DeviceBuffer<u8>,
) -> Result<()> {
    let stream = context.stream;
    let end = heap.at.checked_add(heap.bytes).filter(|&end| end <= buffer.bytes());
    if end.is_none() {
        return Err(CudaError::Misuse(format!("{} bytes of strings at {}", heap.bytes, heap.at)));
    }
    let tiles = (list.rows + 1).div_ceil(TILE_ROWS);
    let mut look_back = context.memory.buffer::<u64>(tiles as usize + 1, stream)?;
    look_back.zero(stream)?;
    let mut total = context.memory.buffer::<u64>(1, stream)?;
    let args = StringsArgs {
        spans,
        count: list.abi(0)?.count,
        offsets: buffer.address() + heap.offsets,
        total: total.address(),
        look_back: look_back.address(),
        target: buffer.address() + heap.at,
        target_bytes: heap.bytes,
        rows: list.rows,
        reserved: 0,
    };
    let function = context.kernels.function("columns/strings", "strings_offsets")?;
    let launch = Launch::new(&function)
        .value(&args)
        .using_write(buffer)
        .using_write(&mut look_back)
        .using_write(&mut total);
    // SAFETY: the parameter is the kernel's; it reads a span per position and writes an offset per position and
    // one more, for which the buffer has room, a total, and a word of look-back per tile and one more.
    unsafe { list.using(launch).run(Grid::linear(tiles, BLOCK), stream) }?;
    let function = context.kernels.function("columns/strings", "strings_gather")?;
    let launch = Launch::new(&function).value(&args).using_write(buffer);
    let grid = Grid::covering(u64::from(list.rows) * 32, BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it reads spans and offsets by position and the bytes that the spans name,
    // in the source's buffers, and writes no byte behind the heap (checked there).
    unsafe { using_column(list.using(launch), source).run(grid, stream) }?;
    let own =
        OwnArgs { spans, offsets: args.offsets, heap: args.target, rows: list.rows, reserved: 0 };
    let function = context.kernels.function("columns/gather", "gather_own")?;
    let launch = Launch::new(&function).value(&own).using_write(buffer);
    let grid = Grid::covering(u64::from(list.rows), BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it changes a span per position, reading as many offsets. Spans behind
    // the last position are empty, since the buffer was zeroed if there are any.
    unsafe { launch.run(grid, stream) }
}
