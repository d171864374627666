//! Columns by partition, in one buffer.

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::rows::Partitions;
use super::strings::{Heap, heap_bytes, own};
use crate::abi::{BLOCK, Column, ColumnKind, MoveColumn, PartitionMoveArgs, TILE_ROWS};
use crate::columns::RowList;
use crate::columns::rows::{bitmap_words, check_column, using_column};
use crate::expression::InputColumn;
use crate::keys::upload;
use crate::parquet::Context;

const MODULE: &str = "partition/move";

/// Where each part of the buffer starts: as buffers do.
const ALIGNMENT: u64 = 256;

/// What becomes of the bytes of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StringBytes {
    /// Strings stay where they are, and the columns keep that memory.
    Shared,
    /// They are copied into the buffer, partition by partition. Reads how many bytes there are: waits for the
    /// device once for all columns.
    Owned,
}

/// Columns by partition. Rows `offsets[p]..offsets[p + 1]` of each are those of partition `p`.
pub struct MovedColumns {
    /// All values, bitmaps, offsets and bytes of strings.
    pub buffer: DeviceSlice<u8>,
    /// The columns, in the buffer (and, for codes and shared strings, in their sources').
    pub columns: Vec<MovedColumn>,
}

/// A column by partition.
pub struct MovedColumn {
    /// As many rows as the list has positions at most; what is behind the last one is zero.
    pub column: InputColumn,
    /// Owned strings as offsets and bytes.
    pub strings: Option<MovedStrings>,
}

/// Strings side by side: those of a partition are one range of bytes.
pub struct MovedStrings {
    /// Where each row's bytes start, and behind the last row where all end.
    pub offsets: DeviceSlice<u64>,
    /// The bytes.
    pub bytes: DeviceSlice<u8>,
}

/// Where a column's parts are in the buffer, in bytes.
struct Place {
    values: u64,
    validity: Option<u64>,
    heap: Option<Heap>,
}

impl Partitions {
    /// Moves columns into the order of partitions; `list` is the one that was partitioned. Codes stay codes.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for another list, or columns that lack its rows or are not in their buffers; what the
    /// driver says.
    pub fn columns(
        &self,
        context: &Context<'_>,
        list: RowList<'_>,
        columns: &[InputColumn],
        strings: StringBytes,
    ) -> Result<MovedColumns> {
        if !self.list.is(&list) {
            return Err(CudaError::Misuse(format!("columns of another list, {list:?}")));
        }
        for column in columns {
            check_column(column)?;
            list.check(column.descriptor.rows)?;
        }
        let heaps = match strings {
            StringBytes::Shared => vec![None; columns.len()],
            StringBytes::Owned => heap_bytes(context, list, columns)?,
        };
        let (places, bytes) = layout(columns, &heaps, list.rows)?;
        let mut buffer = context.memory.buffer::<u8>(bytes, context.stream)?;
        if list.count.is_some() {
            // Nobody writes behind the last position, and spans there must not lead anywhere.
            buffer.zero(context.stream)?;
        }
        self.move_values(context, list, columns, &places, &mut buffer)?;
        self.move_bits(context, list, columns, &places, &mut buffer)?;
        for (column, place) in columns.iter().zip(&places) {
            if let Some(heap) = &place.heap {
                let spans = buffer.address() + place.values;
                own(context, list, column, spans, heap, &mut buffer)?;
            }
        }
        let buffer = buffer.freeze();
        let moved = columns
            .iter()
            .zip(&places)
            .map(|(column, place)| moved(column, place, list.rows, &buffer))
            .collect::<Result<_>>()?;
        Ok(MovedColumns { buffer, columns: moved })
    }

    /// Everything but bitmaps: through shared memory what that serves, the others by row number.
    fn move_values(
        &self,
        context: &Context<'_>,
        list: RowList<'_>,
        columns: &[InputColumn],
        places: &[Place],
        buffer: &mut DeviceBuffer<u8>,
    ) -> Result<()> {
        let base = buffer.address();
        let (mut staged, mut gathered) = (Vec::new(), Vec::new());
        for (column, place) in columns.iter().zip(places) {
            if stored_width(&column.descriptor).is_none() {
                continue;
            }
            let move_column =
                MoveColumn { source: column.descriptor, values: base + place.values, validity: 0 };
            let bytes = column.descriptor.kind == ColumnKind::Bytes as u8;
            if self.tile_starts.is_some() && !bytes { &mut staged } else { &mut gathered }
                .push(move_column);
        }
        self.run(context, list, columns, &staged, ("partition_scatter", TILE_ROWS), buffer)?;
        self.run(context, list, columns, &gathered, ("partition_gather", BLOCK), buffer)
    }

    /// Bitmaps: booleans and validity.
    fn move_bits(
        &self,
        context: &Context<'_>,
        list: RowList<'_>,
        columns: &[InputColumn],
        places: &[Place],
        buffer: &mut DeviceBuffer<u8>,
    ) -> Result<()> {
        let base = buffer.address();
        let moves: Vec<MoveColumn> = columns
            .iter()
            .zip(places)
            .filter(|(column, place)| {
                column.descriptor.kind == ColumnKind::Bits as u8 || place.validity.is_some()
            })
            .map(|(column, place)| MoveColumn {
                source: column.descriptor,
                values: base + place.values,
                validity: place.validity.map_or(0, |at| base + at),
            })
            .collect();
        self.run(context, list, columns, &moves, ("partition_bits", BLOCK), buffer)
    }

    fn run(
        &self,
        context: &Context<'_>,
        list: RowList<'_>,
        columns: &[InputColumn],
        moves: &[MoveColumn],
        (symbol, per_block): (&str, u32),
        buffer: &mut DeviceBuffer<u8>,
    ) -> Result<()> {
        if moves.is_empty() {
            return Ok(());
        }
        let uploaded = upload(context, moves)?;
        let args = PartitionMoveArgs {
            list: list.abi(0)?,
            columns: uploaded.address(),
            ids: self.ids.address(),
            tile_starts: self.tile_starts.as_ref().map_or(0, DeviceSlice::address),
            order: self.order.address(),
            count: u32::try_from(moves.len()).unwrap_or(u32::MAX),
            reserved: 0,
        };
        let function = context.kernels.function(MODULE, symbol)?;
        let launch = Launch::new(&function)
            .value(&args)
            .using_read(&uploaded)
            .using_read(&self.ids)
            .using_read(&self.order)
            .using_write(buffer);
        let mut launch = columns.iter().fold(list.using(launch), using_column);
        if let Some(starts) = &self.tile_starts {
            launch = launch.using_read(starts);
        }
        let grid = Grid::covering(u64::from(list.rows), per_block, BLOCK)?;
        // SAFETY: the parameter is the kernel's. It reads the list's rows of columns that lie in their buffers, and
        // ids, order and starts of the same list (all checked by the caller); outputs are below the list's
        // positions, for each of which every part of the buffer has room.
        unsafe { launch.run(grid, context.stream) }
    }
}

/// Bytes a row of a column as it is stored; codes are numbers. `None` for bitmaps.
fn stored_width(c: &Column) -> Option<u64> {
    match c.kind {
        kind if kind == ColumnKind::Bits as u8 => None,
        kind if kind == ColumnKind::Codes as u8 => Some(4),
        kind if kind == ColumnKind::Spans as u8 => Some(16),
        _ => Some(u64::from(c.width)),
    }
}

/// Places for all parts, and the bytes of the buffer.
fn layout(
    columns: &[InputColumn],
    heaps: &[Option<u64>],
    rows: u32,
) -> Result<(Vec<Place>, usize)> {
    let mut end = 0_u64;
    let mut take = |bytes: u64| -> Result<u64> {
        let at = end;
        end = at
            .checked_add(bytes)
            .and_then(|end| end.checked_next_multiple_of(ALIGNMENT))
            .ok_or_else(|| CudaError::Misuse(format!("{bytes} bytes of a column")))?;
        Ok(at)
    };
    let bitmap = 4 * bitmap_words(rows) as u64;
    let mut places = Vec::with_capacity(columns.len());
    for (column, heap) in columns.iter().zip(heaps) {
        let c = &column.descriptor;
        let values = take(match stored_width(c) {
            Some(width) => u64::from(rows)
                .checked_mul(width)
                .ok_or_else(|| CudaError::Misuse(format!("{rows} values of {width} bytes")))?,
            None => bitmap,
        })?;
        let validity = if c.validity == 0 { None } else { Some(take(bitmap)?) };
        let heap = match heap {
            Some(bytes) => Some(Heap {
                offsets: take(8 * (u64::from(rows) + 1))?,
                at: take(*bytes)?,
                bytes: *bytes,
            }),
            None => None,
        };
        places.push(Place { values, validity, heap });
    }
    let bytes =
        usize::try_from(end).map_err(|_| CudaError::Misuse(format!("{end} bytes of columns")))?;
    Ok((places, bytes))
}

/// The moved column, as a descriptor over the buffer.
fn moved(
    source: &InputColumn,
    place: &Place,
    rows: u32,
    buffer: &DeviceSlice<u8>,
) -> Result<MovedColumn> {
    let base = buffer.address();
    let descriptor = Column {
        values: base + place.values,
        validity: place.validity.map_or(0, |at| base + at),
        rows,
        ..source.descriptor
    };
    let mut buffers = vec![buffer.clone()];
    let spans = source.descriptor.kind == ColumnKind::Spans as u8;
    if source.descriptor.kind == ColumnKind::Codes as u8 || (spans && place.heap.is_none()) {
        buffers.extend(source.buffers.iter().cloned());
    }
    let part = |at: u64, bytes: u64| -> Result<DeviceSlice<u8>> {
        let range = usize::try_from(at).ok().zip(usize::try_from(at + bytes).ok());
        let (start, end) =
            range.ok_or_else(|| CudaError::Misuse(format!("{bytes} bytes at {at}")))?;
        buffer.slice(start..end)
    };
    let strings = match &place.heap {
        Some(heap) => Some(MovedStrings {
            offsets: part(heap.offsets, 8 * (u64::from(rows) + 1))?.cast()?,
            bytes: part(heap.at, heap.bytes)?,
        }),
        None => None,
    };
    Ok(MovedColumn { column: InputColumn { descriptor, buffers }, strings })
}
