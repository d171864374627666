//! Columns by row numbers (`kernels/columns/gather.cu`).

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::rows::{RowList, bitmap_words, check_column, logical_storage, row_count, using_column};
use super::strings::{gather_strings, string_offsets};
use crate::abi::{BLOCK, Column, ColumnKind, GatherArgs, KeyRule, OwnArgs, RowsAbi, Span};
use crate::expression::InputColumn;
use crate::parquet::Context;

const MODULE: &str = "columns/gather";

/// A column that a gather fills: [`ColumnKind`], bytes a value, and room for a number of rows.
pub struct GatheredColumn {
    /// A value a row; words of a bitmap for bits.
    pub values: DeviceBuffer<u8>,
    /// Zeroed before the first row is gathered.
    pub validity: DeviceBuffer<u32>,
    /// As [`Column::kind`]; never codes.
    pub kind: u8,
    /// Bytes a value; 0 for bits, 16 for spans.
    pub width: u32,
    /// Rows that there is room for.
    pub capacity: u32,
}

impl GatheredColumn {
    /// Room for rows of `source`, with the dictionary's values in the place of codes.
    ///
    /// # Errors
    /// What the driver says.
    pub fn like(context: &Context<'_>, source: &Column, capacity: u32) -> Result<Self> {
        let (kind, width) = logical_storage(source);
        Self::new(context, kind, width, capacity)
    }

    pub(crate) fn new(context: &Context<'_>, kind: u8, width: u32, capacity: u32) -> Result<Self> {
        let bits = kind == ColumnKind::Bits as u8;
        let bytes = if bits {
            4 * bitmap_words(capacity)
        } else {
            (capacity as usize)
                .checked_mul(width as usize)
                .ok_or_else(|| CudaError::Misuse(format!("{capacity} values of {width} bytes")))?
        };
        let mut values = context.memory.buffer::<u8>(bytes.max(1), context.stream)?;
        if bits || kind == ColumnKind::Spans as u8 {
            // Bits are ORed in; spans that nobody wrote must not lead anywhere.
            values.zero(context.stream)?;
        }
        let mut validity =
            context.memory.buffer::<u32>(bitmap_words(capacity).max(1), context.stream)?;
        validity.zero(context.stream)?;
        Ok(Self { values, validity, kind, width, capacity })
    }

    /// The descriptor of its first `rows` rows.
    pub fn descriptor(&self, rows: u32) -> Column {
        Column {
            values: self.values.address(),
            validity: self.validity.address(),
            rows,
            kind: self.kind,
            width: self.width,
            ..Column::default()
        }
    }

    /// Ends writing: the column of its first `rows` rows. Whoever reads its spans adds the memory that
    /// they point into.
    pub fn freeze(self, rows: u32) -> Result<InputColumn> {
        let descriptor = self.descriptor(rows.min(self.capacity));
        let buffers = vec![self.values.freeze(), self.validity.freeze().cast()?];
        Ok(InputColumn { descriptor, buffers })
    }
}

/// Gathers the rows that `ids` name (`NONE`: NULL); `count` says how many there are, else all. Row numbers
/// come from a kernel: each is `NONE` or below the source's rows. With a float's `rule` -0.0 comes out as 0.0.
///
/// # Errors
/// [`CudaError::Misuse`] for a column that is not in its buffers; what the driver says.
pub fn gather(
    context: &Context<'_>,
    source: &InputColumn,
    rule: KeyRule,
    ids: &DeviceSlice<u32>,
    count: Option<&DeviceSlice<u32>>,
) -> Result<GatheredColumn> {
    let rows = row_count(ids.len())?;
    let mut target = GatheredColumn::like(context, &source.descriptor, rows)?;
    let list = RowList { rows, selection: Some(ids), count };
    let abi = list.abi(0)?;
    launch(context, source, rule, abi, 0, &mut target, |launch| list.using(launch))?;
    Ok(target)
}

/// Gathers codes as they are: a column of codes of the same dictionary.
///
/// # Errors
/// As [`gather`]; [`CudaError::Misuse`] for a column without codes.
pub fn gather_codes(
    context: &Context<'_>,
    source: &InputColumn,
    ids: &DeviceSlice<u32>,
    count: Option<&DeviceSlice<u32>>,
) -> Result<InputColumn> {
    if source.descriptor.kind != ColumnKind::Codes as u8 {
        return Err(CudaError::Misuse("codes of a column that has none".into()));
    }
    check_column(source)?;
    let mut numbers = source.clone();
    numbers.descriptor.kind = ColumnKind::Fixed as u8;
    numbers.descriptor.width = 4;
    let gathered = gather(context, &numbers, KeyRule::Bits, ids, count)?;
    let rows = gathered.capacity;
    let mut codes = gathered.freeze(rows)?;
    codes.descriptor = Column {
        values: codes.descriptor.values,
        validity: codes.descriptor.validity,
        rows,
        ..source.descriptor
    };
    codes.buffers.extend(source.buffers.iter().cloned());
    Ok(codes)
}

/// The launch behind [`gather`], with addresses that only callers in this package may give: of the list, and of
/// where the first row goes. `using` names the memory behind them.
pub(crate) fn launch(
    context: &Context<'_>,
    source: &InputColumn,
    rule: KeyRule,
    list: RowsAbi,
    first: u64,
    target: &mut GatheredColumn,
    using: impl for<'l> FnOnce(Launch<'l>) -> Launch<'l>,
) -> Result<()> {
    check_column(source)?;
    let (kind, width) = logical_storage(&source.descriptor);
    if (kind, width) != (target.kind, target.width) {
        return Err(CudaError::Misuse(format!("{:?} gathered as another kind", source.descriptor)));
    }
    let symbol = match kind {
        k if k == ColumnKind::Bits as u8 => "gather_bits",
        k if k == ColumnKind::Bytes as u8 => "gather_bytes",
        _ if width > 8 => "gather_wide",
        _ => "gather_narrow",
    };
    let args = GatherArgs {
        list,
        source: Column { width, ..source.descriptor },
        values: target.values.address(),
        validity: target.validity.address(),
        first,
        capacity: target.capacity,
        rule: rule as u32,
    };
    let function = context.kernels.function(MODULE, symbol)?;
    let launch = Launch::new(&function)
        .value(&args)
        .using_write(&mut target.values)
        .using_write(&mut target.validity);
    let launch = using(using_column(launch, source));
    let grid = Grid::covering(u64::from(list.rows), BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it reads the source's rows that the list names (below its rows, as
    // the list's contract says; the column lies in its buffers, checked above) and writes below `capacity`,
    // which the target has room for.
    unsafe { launch.run(grid, context.stream) }
}

/// Copies the strings of a column of spans, so that it no longer needs the memory that they were in
/// (`pointed`). Reads their total length: waits for the device once.
///
/// # Errors
/// [`CudaError::Misuse`] for a column of another kind; what the driver says.
pub fn own_strings(
    context: &Context<'_>,
    column: &mut GatheredColumn,
    rows: u32,
    pointed: &[DeviceSlice<u8>],
) -> Result<DeviceSlice<u8>> {
    if column.kind != ColumnKind::Spans as u8 || rows > column.capacity {
        return Err(CudaError::Misuse(format!("{rows} strings of a column of {}", column.kind)));
    }
    // The launchers of strings read a slice: a copy of the spans, 16 bytes a row.
    let mut copy = context.memory.buffer::<u8>(16 * rows as usize, context.stream)?;
    let kept = std::mem::replace(&mut column.values, context.memory.buffer(0, context.stream)?);
    let kept = kept.freeze();
    copy.copy_from(&kept.slice(0..16 * rows as usize)?, context.stream)?;
    let spans: DeviceSlice<Span> = copy.freeze().cast()?;
    column.values =
        kept.thaw().map_err(|_| CudaError::Misuse("the spans are shared with somebody".into()))?;
    let totals = context.memory.buffer::<u64>(1, context.stream)?;
    let offsets = string_offsets(context, &spans, rows, None, &totals, 0)?;
    let total = totals.read(context.ring, context.stream)?.first().copied().unwrap_or(0);
    let total = usize::try_from(total)
        .map_err(|_| CudaError::Misuse(format!("{total} bytes of strings")))?;
    let mut heap = context.memory.buffer::<u8>(total.max(1), context.stream)?;
    gather_strings(context, &spans, &offsets, rows, pointed, &mut heap)?;
    let args = OwnArgs {
        spans: column.values.address(),
        offsets: offsets.address(),
        heap: heap.address(),
        rows,
        reserved: 0,
    };
    let function = context.kernels.function(MODULE, "gather_own")?;
    let launch =
        Launch::new(&function).value(&args).using_write(&mut column.values).using_read(&offsets);
    let grid = Grid::covering(u64::from(rows), BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it changes `rows` spans, at most the capacity (checked above), and
    // reads as many offsets, of which there are rows + 1.
    unsafe { launch.run(grid, context.stream) }?;
    Ok(heap.freeze())
}
