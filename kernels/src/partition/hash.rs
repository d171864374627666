//! DataFusion's hashes of rows, and their remainders (`kernels/partition/ids.cu`).

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use crate::abi::{BLOCK, Column, ColumnKind, HASH_DICTIONARY, HashRule, KeySet, PartitionIdsArgs};
use crate::columns::RowList;
use crate::columns::rows::{check_column, logical_storage, using_column};
use crate::expression::InputColumn;
use crate::keys::upload;
use crate::parquet::Context;

const MODULE: &str = "partition/ids";

/// A column that rows are assigned by, and its declared type as far as hashes differ.
///
/// The type is the plan's: strings that the device keeps as a dictionary's codes are `String` or `View` if they
/// are declared so, and `dictionary` is only for what is declared a dictionary (or run-end encoded).
#[derive(Clone)]
pub struct HashColumn {
    /// The column.
    pub column: InputColumn,
    /// How its values are hashed.
    pub rule: HashRule,
    /// Whether the declared type is a dictionary, or runs, of such values.
    pub dictionary: bool,
}

impl HashColumn {
    fn check(&self) -> Result<()> {
        check_column(&self.column)?;
        let (kind, width) = logical_storage(&self.column.descriptor);
        let is = |of: ColumnKind| kind == of as u8;
        let fits = match self.rule {
            HashRule::Number => is(ColumnKind::Fixed),
            HashRule::Float => is(ColumnKind::Fixed) && matches!(width, 2 | 4 | 8),
            HashRule::Boolean => is(ColumnKind::Bits),
            HashRule::String | HashRule::View => is(ColumnKind::Spans),
            HashRule::Binary => is(ColumnKind::Spans) || is(ColumnKind::Bytes),
        };
        if fits {
            return Ok(());
        }
        Err(CudaError::Misuse(format!("{:?} hashed as {:?}", self.column.descriptor, self.rule)))
    }

    fn descriptor(&self) -> Column {
        let (_, width) = logical_storage(&self.column.descriptor);
        let dictionary = if self.dictionary { HASH_DICTIONARY } else { 0 };
        Column { type_: self.rule as u32 | dictionary, width, ..self.column.descriptor }
    }
}

/// The hashes of a list's rows, by position: `create_hashes` of DataFusion 55 with `REPARTITION_RANDOM_STATE`.
///
/// # Errors
/// [`CudaError::Misuse`] for no columns, columns that are not in their buffers, lack rows of the list, or hold
/// other values than their rule says; what the driver says.
pub fn hashes(
    context: &Context<'_>,
    columns: &[HashColumn],
    list: RowList<'_>,
) -> Result<DeviceSlice<u64>> {
    let mut ids = context.memory.buffer::<u32>(list.rows.max(1) as usize, context.stream)?;
    let mut hashes = context.memory.buffer::<u64>(list.rows as usize, context.stream)?;
    assign(context, columns, list, 1, &mut ids, Some(&mut hashes))?;
    Ok(hashes.freeze())
}

/// Fills `ids` with the partition of each position. `partitions` is above 0.
pub(super) fn assign(
    context: &Context<'_>,
    columns: &[HashColumn],
    list: RowList<'_>,
    partitions: u32,
    ids: &mut DeviceBuffer<u32>,
    hashes: Option<&mut DeviceBuffer<u64>>,
) -> Result<()> {
    if columns.is_empty() || partitions == 0 || ids.len() < list.rows as usize {
        return Err(CudaError::Misuse(format!(
            "{} rows by {} columns to {partitions} partitions",
            list.rows,
            columns.len()
        )));
    }
    for column in columns {
        column.check()?;
        list.check(column.column.descriptor.rows)?;
    }
    let descriptors: Vec<Column> = columns.iter().map(HashColumn::descriptor).collect();
    let descriptors = upload(context, &descriptors)?;
    let count = u32::try_from(columns.len()).unwrap_or(u32::MAX);
    let args = PartitionIdsArgs {
        list: list.abi(0)?,
        keys: KeySet { columns: descriptors.address(), count, rows: 0 },
        ids: ids.address(),
        hashes: hashes.as_ref().map_or(0, |hashes| hashes.address()),
        reciprocal: u64::MAX / u64::from(partitions),
        partitions,
        reserved: 0,
    };
    let function = context.kernels.function(MODULE, "partition_ids")?;
    let launch = Launch::new(&function).value(&args).using_write(ids).using_read(&descriptors);
    let mut launch = list.using(launch);
    if let Some(hashes) = hashes {
        launch = launch.using_write(hashes);
    }
    let launch = columns.iter().fold(launch, |launch, column| using_column(launch, &column.column));
    let grid = Grid::covering(u64::from(list.rows), BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it reads the list's rows of columns that lie in their buffers and are
    // of kinds that the rules read (checked above), and writes an id, and a hash, per position.
    unsafe { launch.run(grid, context.stream) }
}
