//! Joins sparse morsels into full ones, in order.

use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::concat;
use arrow::datatypes::{ByteViewType, DataType, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;

use arrow::array::GenericByteViewArray;
use datafusion_common::Result;

use crate::Morsel;

/// Passes dense morsels on as they are; gathers sparse ones until together they are dense.
///
/// Dense means a quarter of `target` rows: below that, what an operator pays per morsel (some
/// microseconds per column) weighs as much as what it pays per row.
pub(super) struct Compactor {
    schema: SchemaRef,
    dense: usize,
    sparse: Vec<RecordBatch>,
    sparse_rows: usize,
    ended: bool,
    ready: VecDeque<Morsel>,
}

impl Compactor {
    /// For morsels of `schema`, with operators that aim at `target` rows. A limit right above is content with
    /// `enough`: so many are not kept back, because what would have to be read for more may have no end.
    pub(super) fn new(schema: SchemaRef, target: usize, enough: Option<usize>) -> Self {
        Self {
            schema,
            dense: (target / 4).min(enough.unwrap_or(usize::MAX)).max(1),
            sparse: Vec::new(),
            sparse_rows: 0,
            ended: false,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next morsel.
    pub(super) fn push(&mut self, morsel: Morsel) -> Result<()> {
        if morsel.rows() >= self.dense {
            self.flush()?;
            self.ready.push_back(morsel);
            return Ok(());
        }
        self.sparse_rows += morsel.rows();
        let batch = morsel.into_batch(&self.schema)?;
        self.sparse.push(release_views(batch)?);
        if self.sparse_rows >= self.dense {
            self.flush()?;
        }
        Ok(())
    }

    /// The next morsel that is ready.
    pub(super) fn next(&mut self) -> Result<Option<Morsel>> {
        if self.ended && self.ready.is_empty() {
            self.flush()?;
        }
        Ok(self.ready.pop_front())
    }

    /// Nothing more comes: what is left may leave.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.sparse_rows);
        let batches = std::mem::take(&mut self.sparse);
        if rows == 0 {
            return Ok(());
        }
        let columns = (0..self.schema.fields().len())
            .map(|i| {
                let parts: Vec<&dyn Array> = batches.iter().map(|b| b.column(i).as_ref()).collect();
                concat(&parts)
            })
            .collect::<Result<Vec<ArrayRef>, ArrowError>>();
        match columns {
            Ok(columns) => self.ready.push_back(Morsel::from_arrays(columns, rows)),
            // Together the values may be too many for a dictionary's keys, or for 32-bit offsets.
            Err(ArrowError::DictionaryKeyOverflowError | ArrowError::OffsetOverflowError(_)) => {
                self.ready.extend(batches.into_iter().map(Morsel::from_batch));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// A few rows of a view array hold on to all the buffers of the array they come from: copies
/// what they need and lets the rest go.
///
/// # Errors
/// Arrow's.
pub(crate) fn release_views(batch: RecordBatch) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let (schema, columns, _) = batch.into_parts();
    let columns = columns
        .into_iter()
        .map(|column| match column.data_type() {
            DataType::Utf8View => release(column.as_string_view(), &column),
            DataType::BinaryView => release(column.as_binary_view(), &column),
            _ => column,
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

pub(crate) fn release<T: ByteViewType>(
    views: &GenericByteViewArray<T>,
    column: &ArrayRef,
) -> ArrayRef {
    let held: usize = views.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
    if held > 2 * views.total_buffer_bytes_used() + 1024 {
        Arc::new(views.gc())
    } else {
        Arc::clone(column)
    }
}
