//! Launchers of the kernels on keys (`kernels/keys`): hashes, ranges, packed keys.
//!
//! Keys compare as DataFusion groups and joins them: by value, -0.0 with 0.0, NaNs by their bits, NULL with
//! NULL unless told otherwise. A dictionary's codes count as what they stand for.

mod hash;
mod pack;

use staffa_cuda::{CudaError, DeviceSlice, Launch, Result};

use crate::abi::{Column, KeyRule, KeySet};
use crate::columns::rows::{check_column, using_column};
use crate::expression::InputColumn;
use crate::parquet::Context;

pub(crate) use hash::launch as launch_hash;
pub use hash::{RowHashes, hash};
pub use pack::{FieldRange, PackedKeys, Packing, pack, range};
pub(crate) use pack::{
    PackedAs, fields as pack_fields, launch as launch_pack, mappable, mappable_storage,
};

/// A key column and how its values compare.
#[derive(Clone)]
pub struct KeyColumn {
    /// The column.
    pub column: InputColumn,
    /// Its rule.
    pub rule: KeyRule,
}

impl KeyColumn {
    /// The descriptor with the rule in it, as kernels on keys take it.
    pub(crate) fn descriptor(&self) -> Column {
        Column { type_: self.rule as u32, ..self.column.descriptor }
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_column(&self.column)
    }
}

/// The key columns of a set of rows, checked and in device memory.
pub struct KeyColumns {
    columns: Vec<KeyColumn>,
    descriptors: DeviceSlice<Column>,
    rows: u32,
}

impl KeyColumns {
    /// Checks and uploads the descriptors.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for no columns, columns of different lengths, or one that is not in its buffers;
    /// what the driver says.
    pub fn new(context: &Context<'_>, columns: Vec<KeyColumn>) -> Result<Self> {
        let Some(first) = columns.first() else {
            return Err(CudaError::Misuse("a key without columns".into()));
        };
        let rows = first.column.descriptor.rows;
        for key in &columns {
            key.check()?;
            if key.column.descriptor.rows != rows {
                return Err(CudaError::Misuse("key columns of different lengths".into()));
            }
        }
        let descriptors: Vec<Column> = columns.iter().map(KeyColumn::descriptor).collect();
        let descriptors = upload(context, &descriptors)?;
        Ok(Self { columns, descriptors, rows })
    }

    /// The columns.
    pub fn columns(&self) -> &[KeyColumn] {
        &self.columns
    }

    /// Rows of each.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    pub(crate) fn abi(&self) -> KeySet {
        KeySet {
            columns: self.descriptors.address(),
            count: u32::try_from(self.columns.len()).unwrap_or(u32::MAX),
            rows: self.rows,
        }
    }

    /// Names their memory.
    pub(crate) fn using<'l>(&self, launch: Launch<'l>) -> Launch<'l> {
        let launch = launch.using_read(&self.descriptors);
        self.columns.iter().fold(launch, |launch, key| using_column(launch, &key.column))
    }

    /// Whether both sides' columns hold values that can be compared: the same kinds, widths and rules.
    pub(crate) fn same_types(&self, other: &[KeyColumn]) -> bool {
        let form = |key: &KeyColumn| {
            (crate::columns::rows::logical_storage(&key.column.descriptor), key.rule)
        };
        self.columns.iter().map(form).eq(other.iter().map(form))
    }
}

/// A buffer with these values.
pub(crate) fn upload<T: bytemuck::Pod>(
    context: &Context<'_>,
    values: &[T],
) -> Result<DeviceSlice<T>> {
    let mut buffer = context.memory.buffer(values.len(), context.stream)?;
    buffer.write(0, values, context.ring, context.stream)?;
    Ok(buffer.freeze())
}
