//! The columns of a row group: most by our decoder, the rest by arrow-rs.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use datafusion::common::{DataFusionError, Result, internal_err};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use staffa_engine::Morsel;
use staffa_parquet::{
    Column, ColumnReader, FetchOptions, FetchPlan, ReadOptions, RowGroupBytes, Selection,
    is_byte_string,
};
use tokio::sync::OnceCell;

use super::open::{GroupToRead, OpenFile};
use super::rows::Cursor;

/// Columns of a row group that our decoder reads. Their bytes are fetched once, when rows are first
/// asked for, by whichever lane asks.
pub(super) struct ColumnSet {
    /// Columns of the file's schema.
    roots: Vec<usize>,
    /// Whether every dictionary is kept, as predicates want it, or those of strings only.
    keeps_codes: bool,
    bytes: OnceCell<RowGroupBytes>,
}

impl ColumnSet {
    /// The columns `roots`.
    pub(super) fn new(roots: Vec<usize>, keeps_codes: bool) -> Self {
        Self { roots, keeps_codes, bytes: OnceCell::new() }
    }

    /// Columns of the file's schema.
    pub(super) fn roots(&self) -> &[usize] {
        &self.roots
    }

    /// Whether somebody has asked for the columns' bytes, and got them.
    pub(super) fn is_fetched(&self) -> bool {
        self.bytes.initialized()
    }

    /// The columns' bytes.
    ///
    /// # Errors
    /// Reading.
    pub(super) async fn fetch(
        &self,
        file: &OpenFile,
        group: &GroupToRead,
    ) -> Result<&RowGroupBytes> {
        self.bytes.get_or_try_init(|| fetch(file, group, &self.roots)).await
    }

    /// Has the columns' bytes at hand when they are asked for: by the operating system, which holds them
    /// anyway, or by fetching them now.
    ///
    /// # Errors
    /// Reading.
    pub(super) async fn prefetch(&self, file: &OpenFile, group: &GroupToRead) -> Result<()> {
        if self.is_fetched() || self.roots.is_empty() {
            return Ok(());
        }
        if !file.expect(plan(file, group, &self.roots)?.ranges()) {
            self.fetch(file, group).await?;
        }
        Ok(())
    }

    /// A decoder for each column; fetches their bytes and reads their page headers.
    async fn open(&self, file: &OpenFile, group: &GroupToRead) -> Result<Vec<ColumnReader>> {
        let bytes = self.fetch(file, group).await?;
        self.roots
            .iter()
            .zip(bytes.clone().into_chunks())
            .map(|(&root, (chunk, bytes))| {
                let data_type = file.schema.field(root).data_type();
                let mut options = ReadOptions::new(data_type.clone());
                options.codes = self.keeps_codes || is_byte_string(data_type);
                ColumnReader::new(chunk, bytes, &options).map_err(external)
            })
            .collect()
    }
}

/// One lane's decoders of a [`ColumnSet`].
pub(super) struct OwnColumns {
    set: Arc<ColumnSet>,
    readers: Option<Vec<ColumnReader>>,
}

impl OwnColumns {
    /// Decoders that are not open yet.
    pub(super) fn new(set: &Arc<ColumnSet>) -> Self {
        Self { set: Arc::clone(set), readers: None }
    }

    /// These rows of the columns, which must stand behind those decoded before.
    ///
    /// # Errors
    /// Reading, and bytes that are no Parquet.
    pub(super) async fn decode(
        &mut self,
        file: &OpenFile,
        group: &GroupToRead,
        rows: &Selection,
    ) -> Result<Morsel> {
        let mut morsel = Morsel::from_arrays(Vec::new(), rows.len() as usize);
        if self.set.roots.is_empty() {
            return Ok(morsel);
        }
        let readers = match &mut self.readers {
            Some(readers) => readers,
            None => self.readers.insert(self.set.open(file, group).await?),
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

/// Fetches the bytes of columns, of those pages that hold selected rows where the file says where
/// they are.
///
/// # Errors
/// Reading.
pub(super) async fn fetch(
    file: &OpenFile,
    group: &GroupToRead,
    roots: &[usize],
) -> Result<RowGroupBytes> {
    let plan = plan(file, group, roots)?;
    let bytes = file.read(plan.ranges()).await?;
    let parts: Vec<_> = plan.ranges().iter().map(|range| range.start).zip(bytes).collect();
    Ok(RowGroupBytes::divide(&plan, &parts))
}

/// Which bytes those are.
fn plan(file: &OpenFile, group: &GroupToRead, roots: &[usize]) -> Result<FetchPlan> {
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
    FetchPlan::new(&file.footer, group.index, &leaves, selected.as_ref(), &options)
        .map_err(external)
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
                    let bytes = file.read(&ranges).await?;
                    self.decoder.push_ranges(ranges, bytes)?;
                }
            }
        }
    }
}
