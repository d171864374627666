//! What both sides of the probe do: a row group in memory, a filter and a projection.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{binary, col, lit};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use staffa_common::StaffaError;
use staffa_parquet::{
    ChunkBytes, ColumnChunk, FetchOptions, Footer, FooterOptions, ParquetFile, ReadOptions, Source,
};

/// Rows of the larger size: a quarter of a usual morsel, decoded by a core in about a millisecond.
pub(super) const ROWS: usize = 1 << 18;
/// Rows of the smaller, one page of each column.
pub(super) const FEW_ROWS: usize = 1 << 13;
/// Columns: one in a dictionary, one plain.
pub(super) const COLUMNS: usize = 2;
/// Operations on a row: `<`, `>` and AND of the filter, `*` and `+` of the projection.
pub(super) const OPERATIONS: usize = 5;

/// A row group with what is computed over it.
pub(super) struct Work {
    file: ParquetFile,
    pub(super) schema: SchemaRef,
    pub(super) filter: Arc<dyn PhysicalExpr>,
    pub(super) output: Arc<dyn PhysicalExpr>,
}

impl Work {
    /// Writes the file; a few milliseconds.
    pub(super) fn new() -> Result<Self, StaffaError> {
        // Numbers without a pattern that a codec or a branch predictor could use.
        let random = |row: usize| (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24;
        let key = (0..ROWS).map(|row| (random(row) % 1000) as i64);
        let value = (0..ROWS).map(|row| random(row + ROWS) as i64);
        let columns: [(&str, ArrayRef); COLUMNS] = [
            ("key", Arc::new(Int64Array::from_iter_values(key))),
            ("value", Arc::new(Int64Array::from_iter_values(value))),
        ];
        let batch = RecordBatch::try_from_iter(columns).map_err(DataFusionError::from);
        let batch = batch.map_err(datafusion_fault)?;
        let bytes = write(&batch).map_err(|error| StaffaError::bug(error.to_string()))?;
        let source = Source::memory("probe", bytes.into());
        let footer = Footer::read(&source, &FooterOptions::default())?;
        let schema = batch.schema();
        let (filter, output) = expressions(&schema).map_err(datafusion_fault)?;
        Ok(Self { file: ParquetFile::new(source, Arc::new(footer)), schema, filter, output })
    }

    /// The columns' bytes, as a scan has them after fetching.
    pub(super) fn chunks(
        &self,
    ) -> Result<impl Iterator<Item = (Arc<ColumnChunk>, ChunkBytes)>, StaffaError> {
        let plan = self.file.plan(0, &[0, 1], None, &FetchOptions::default())?;
        Ok(self.file.fetch_blocking(&plan)?.into_chunks().into_iter())
    }

    /// How a column is read.
    pub(super) fn options(&self, column: usize) -> ReadOptions {
        ReadOptions::new(self.schema.field(column).data_type().clone())
    }
}

pub(super) fn datafusion_fault(error: DataFusionError) -> StaffaError {
    StaffaError::bug(error.strip_backtrace())
}

fn write(batch: &RecordBatch) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_data_page_row_count_limit(FEW_ROWS)
        .set_write_batch_size(FEW_ROWS)
        .set_column_dictionary_enabled(ColumnPath::from("value"), false)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.into_inner()
}

type Exprs = (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>);

/// `key < 500 AND value > 1000`, and `value * 3 + key`.
fn expressions(schema: &SchemaRef) -> Result<Exprs, DataFusionError> {
    let (key, value) = (col("key", schema)?, col("value", schema)?);
    let few = binary(Arc::clone(&key), Operator::Lt, lit(500_i64), schema)?;
    let large = binary(Arc::clone(&value), Operator::Gt, lit(1000_i64), schema)?;
    let times = binary(value, Operator::Multiply, lit(3_i64), schema)?;
    Ok((binary(few, Operator::And, large, schema)?, binary(times, Operator::Plus, key, schema)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_a_page_per_few_rows() {
        let work = Work::new().expect("a file");
        assert_eq!(work.file.footer().row_groups(), 1);
        assert_eq!(work.file.footer().rows(0).expect("rows"), ROWS as u64);
        let chunks: Vec<_> = work.chunks().expect("chunks").collect();
        assert_eq!(chunks.len(), COLUMNS);
        // Codes of ten bits, and numbers that no codec shortens.
        let (codes, plain) = (chunks[0].1.len_bytes(), chunks[1].1.len_bytes());
        assert!(codes > ROWS && codes < ROWS * 2, "{codes}");
        assert!(plain > ROWS * 4 && plain < ROWS * 9, "{plain}");
        let index = work.file.footer().metadata().offset_index().expect("an offset index");
        for column in &index[0] {
            assert_eq!(column.page_locations().len(), ROWS / FEW_ROWS);
        }
    }
}
