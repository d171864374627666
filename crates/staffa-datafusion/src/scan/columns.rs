//! The columns of a row group: most by our decoder, the rest by arrow-rs.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, internal_err};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use staffa_engine::Morsel;
use staffa_parquet::{
    ChunkBytes, Column, ColumnChunk, ColumnReader, FetchOptions, FetchPlan, ReadOptions,
    RowGroupBytes, Selection,
};

use super::open::{GroupToRead, OpenFile};
use super::rows::Cursor;

/// Columns that our decoder reads. Their bytes are fetched when rows are first asked for.
pub(super) struct OwnColumns {
    group: GroupToRead,
    /// Columns of the file's schema.
    roots: Vec<usize>,
    /// Whether every dictionary is kept, as predicates want it, or those of strings only.
    keeps_codes: bool,
    readers: Option<Vec<ColumnReader>>,
}

impl OwnColumns {
    /// The columns `roots` of a row group.
    pub(super) fn new(group: &GroupToRead, roots: Vec<usize>, keeps_codes: bool) -> Self {
        Self { group: group.clone(), roots, keeps_codes, readers: None }
    }

    /// These rows of the columns, which must stand behind those decoded before.
    ///
    /// # Errors
    /// Reading, and bytes that are no Parquet.
    pub(super) async fn decode(&mut self, file: &OpenFile, rows: &Selection) -> Result<Morsel> {
        let mut morsel = Morsel::from_arrays(Vec::new(), rows.len() as usize);
        if self.roots.is_empty() {
            return Ok(morsel);
        }
        let readers = match &mut self.readers {
            Some(readers) => readers,
            None => {
                let opened = open_columns(file, &self.group, &self.roots, self.keeps_codes).await?;
                self.readers.insert(opened)
            }
        };
        for reader in readers {
            morsel = match reader.decode(rows).map_err(external)? {
                Column::Plain(array) => morsel.with_column(array),
                Column::Dictionary { codes, nulls, values } => {
                    morsel.with_codes(values, Arc::new(UInt32Array::new(codes, nulls)))
                }
            };
        }
        Ok(morsel)
    }
}

/// Fetches the columns' bytes.
///
/// # Errors
/// Reading.
pub(super) async fn fetch(
    file: &OpenFile,
    group: &GroupToRead,
    roots: &[usize],
) -> Result<Vec<(Arc<ColumnChunk>, ChunkBytes)>> {
    let leaves: Vec<usize> = roots.iter().filter_map(|&root| file.footer.leaf_of(root)).collect();
    if leaves.len() != roots.len() {
        return internal_err!("a nested column is no leaf");
    }
    // Stores coalesce the ranges that they are asked for together.
    let options = FetchOptions { gap_bytes: 0, ..FetchOptions::default() };
    let selected = group.rows.as_ref().map(|rows| {
        let all = file.reader_metadata.metadata().row_group(group.index).num_rows();
        Cursor::new(all, Some(rows)).take(usize::MAX)
    });
    let plan = FetchPlan::new(&file.footer, group.index, &leaves, selected.as_ref(), &options)
        .map_err(external)?;
    let mut reader = file.reader()?;
    let bytes = reader.get_byte_ranges(plan.ranges().to_vec()).await?;
    file.give_back(reader);
    let parts: Vec<_> = plan.ranges().iter().map(|range| range.start).zip(bytes).collect();
    Ok(RowGroupBytes::divide(&plan, &parts).into_chunks())
}

/// Fetches the columns' bytes and reads their page headers.
async fn open_columns(
    file: &OpenFile,
    group: &GroupToRead,
    roots: &[usize],
    keeps_codes: bool,
) -> Result<Vec<ColumnReader>> {
    let chunks = fetch(file, group, roots).await?;
    roots
        .iter()
        .zip(chunks)
        .map(|(&root, (chunk, bytes))| {
            let data_type = file.schema.field(root).data_type();
            let mut options = ReadOptions::new(data_type.clone());
            options.codes = keeps_codes || is_string(data_type);
            ColumnReader::new(chunk, bytes, &options).map_err(external)
        })
        .collect()
}

pub(super) fn is_string(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    )
}

fn external(error: staffa_parquet::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Columns that arrow-rs decodes, in batches of the same rows.
pub(super) struct ArrowColumns {
    decoder: ParquetPushDecoder,
}

impl ArrowColumns {
    /// The columns `roots` of a row group, so many rows at a time.
    ///
    /// # Errors
    /// Arrow-rs's.
    pub(super) fn new(
        file: &OpenFile,
        group: &GroupToRead,
        roots: Vec<usize>,
        batch_rows: usize,
    ) -> Result<Self> {
        let mask = ProjectionMask::roots(file.reader_metadata.parquet_schema(), roots);
        let mut builder =
            ParquetPushDecoderBuilder::new_with_metadata(file.reader_metadata.clone())
                .with_row_groups(vec![group.index])
                .with_projection(mask)
                .with_batch_size(batch_rows);
        if let Some(rows) = &group.rows {
            builder = builder.with_row_selection(rows.clone());
        }
        Ok(Self { decoder: builder.build()? })
    }

    /// The next batch; `None` at the row group's end.
    ///
    /// # Errors
    /// Reading, and bytes that are no Parquet.
    pub(super) async fn next(&mut self, file: &OpenFile) -> Result<Option<RecordBatch>> {
        loop {
            match self.decoder.try_decode()? {
                DecodeResult::Data(batch) => return Ok(Some(batch)),
                DecodeResult::Finished => return Ok(None),
                DecodeResult::NeedsData(ranges) => {
                    let mut reader = file.reader()?;
                    let bytes = reader.get_byte_ranges(ranges.clone()).await?;
                    file.give_back(reader);
                    self.decoder.push_ranges(ranges, bytes)?;
                }
            }
        }
    }
}
