//! Rows picked from several batches, as one batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion_common::Result;

use crate::cpu::compact::release_views;

/// Batches of one schema to pick rows from, column by column.
pub(in crate::cpu) struct Gather<'a> {
    schema: SchemaRef,
    columns: Vec<Vec<&'a dyn Array>>,
}

impl<'a> Gather<'a> {
    /// Picks rows from `batches`.
    pub(in crate::cpu) fn new(
        schema: &SchemaRef,
        batches: impl Iterator<Item = &'a RecordBatch> + Clone,
    ) -> Self {
        let columns = (0..schema.fields().len())
            .map(|at| batches.clone().map(move |batch| batch.column(at).as_ref()).collect())
            .collect();
        Self { schema: Arc::clone(schema), columns }
    }

    /// Adds the rows at `picks` (batch, row), in that order, to `out`: as one batch, or as several
    /// where offsets or dictionary keys would not do for all of them.
    ///
    /// # Errors
    /// Arrow's.
    pub(in crate::cpu) fn take(
        &self,
        picks: &[(usize, usize)],
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        if picks.is_empty() {
            return Ok(());
        }
        match self.columns(picks) {
            Ok(columns) => {
                let options = RecordBatchOptions::new().with_row_count(Some(picks.len()));
                let batch =
                    RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
                out.push(release_views(batch)?);
                Ok(())
            }
            Err(ArrowError::OffsetOverflowError(_) | ArrowError::DictionaryKeyOverflowError)
                if picks.len() > 1 =>
            {
                let (left, right) = picks.split_at(picks.len() / 2);
                self.take(left, out)?;
                self.take(right, out)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn columns(&self, picks: &[(usize, usize)]) -> Result<Vec<ArrayRef>, ArrowError> {
        let columns = self.columns.iter();
        if self.columns.first().is_some_and(|arrays| arrays.len() == 1) {
            let rows = picks.iter().map(|(_, row)| *row as u32);
            let rows = UInt32Array::from(rows.collect::<Vec<_>>());
            return columns.map(|arrays| take(arrays[0], &rows, None)).collect();
        }
        columns.map(|arrays| interleave(arrays, picks)).collect()
    }
}
