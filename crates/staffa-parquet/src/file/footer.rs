//! Footers: one request for the tail of a file, one more when the footer is longer.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::schema::types::SchemaDescriptor;
use staffa_common::FaultClass;

use crate::error::{Error, Place, Result};
use crate::file::source::Source;
use crate::limits::Limits;

/// Length of the footer and "PAR1".
const TAIL_BYTES: u64 = 8;

/// How to load a footer.
#[derive(Debug, Clone)]
pub struct FooterOptions {
    /// Bytes of the file's end to ask for at once. A footer that fits takes one request.
    pub tail_bytes: u64,
    /// Load offset and column index too, where the file has them.
    pub page_index: bool,
    /// Bounds on memory.
    pub limits: Limits,
}

impl Default for FooterOptions {
    /// 64 KiB of tail (most footers with few row groups fit), with the page index.
    fn default() -> Self {
        Self { tail_bytes: 64 << 10, page_index: true, limits: Limits::default() }
    }
}

/// What a file says about itself.
#[derive(Debug)]
pub struct Footer {
    name: Arc<str>,
    file_bytes: u64,
    metadata: Arc<ParquetMetaData>,
    schema: SchemaRef,
}

impl Footer {
    /// A footer that somebody else has read: a file's name, its size, its metadata, and the Arrow
    /// schema that its columns are read as.
    pub fn from_parts(
        name: Arc<str>,
        file_bytes: u64,
        metadata: Arc<ParquetMetaData>,
        schema: SchemaRef,
    ) -> Self {
        Self { name, file_bytes, metadata, schema }
    }

    /// Reads a local or in-memory source's footer on this thread.
    ///
    /// # Errors
    /// `BadInput` when the file has no Parquet footer or a wrong one; `Retryable` when reading
    /// fails.
    pub fn read(source: &Source, options: &FooterOptions) -> Result<Self> {
        let tail = source.read_blocking(tail_range(source, options.tail_bytes))?;
        let footer = match footer_range(source, &tail, &options.limits)? {
            Ok(footer) => footer,
            Err(range) => source.read_blocking(range)?,
        };
        let metadata = decode(source, &footer)?;
        let index = match index_range(source, &metadata).filter(|_| options.page_index) {
            Some(range) => Some((range.start, source.read_blocking(range)?)),
            None => None,
        };
        Self::build(source, metadata, index)
    }

    /// Reads any source's footer.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn load(source: &Source, options: &FooterOptions) -> Result<Self> {
        let tail = source.read(tail_range(source, options.tail_bytes)).await?;
        let footer = match footer_range(source, &tail, &options.limits)? {
            Ok(footer) => footer,
            Err(range) => source.read(range).await?,
        };
        let metadata = decode(source, &footer)?;
        let index = match index_range(source, &metadata).filter(|_| options.page_index) {
            Some(range) => {
                let have = tail_range(source, options.tail_bytes);
                let bytes = if have.start <= range.start && range.end <= have.end {
                    tail.slice(
                        (range.start - have.start) as usize..(range.end - have.start) as usize,
                    )
                } else {
                    source.read(range.clone()).await?
                };
                Some((range.start, bytes))
            }
            None => None,
        };
        Self::build(source, metadata, index)
    }

    fn build(
        source: &Source,
        metadata: ParquetMetaData,
        index: Option<(u64, Bytes)>,
    ) -> Result<Self> {
        let metadata = match index {
            Some((at, bytes)) => with_index(metadata, at, &bytes),
            None => metadata,
        };
        let file = metadata.file_metadata();
        let schema = guarded(source, || {
            parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())
        })?;
        Ok(Self {
            name: source.name().clone(),
            file_bytes: source.size(),
            schema: Arc::new(schema),
            metadata: Arc::new(metadata),
        })
    }

    /// The file's name as it was opened.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The metadata as the parquet crate parsed it: statistics, page index, key-value pairs.
    pub fn metadata(&self) -> &Arc<ParquetMetaData> {
        &self.metadata
    }

    /// The Arrow schema that arrow-rs's reader would give.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The leaf columns.
    pub fn leaves(&self) -> &SchemaDescriptor {
        self.metadata.file_metadata().schema_descr()
    }

    /// The leaf that a top-level column of the Arrow schema is stored in; `None` for nested ones.
    pub fn leaf_of(&self, column: usize) -> Option<usize> {
        let leaves = self.leaves();
        let mut of_root =
            (0..leaves.num_columns()).filter(|l| leaves.get_column_root_idx(*l) == column);
        let leaf = of_root.next()?;
        (of_root.next().is_none() && leaves.column(leaf).path().parts().len() == 1).then_some(leaf)
    }

    /// Rows of a row group.
    ///
    /// # Errors
    /// `BadInput` for a negative number, `Bug` for a row group that does not exist.
    pub fn rows(&self, row_group: usize) -> Result<u64> {
        let place = || self.place(Some(row_group));
        let group = self.metadata.row_groups().get(row_group);
        let group =
            group.ok_or_else(|| Error::new(FaultClass::Bug, "no such row group", place()))?;
        u64::try_from(group.num_rows())
            .map_err(|_| Error::new(FaultClass::BadInput, "a negative number of rows", place()))
    }

    /// Row groups.
    pub fn row_groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    pub(crate) fn place(&self, row_group: Option<usize>) -> Place {
        Place { file: Some(self.name.clone()), row_group, ..Place::default() }
    }
}

fn tail_range(source: &Source, tail_bytes: u64) -> Range<u64> {
    let size = source.size();
    size.saturating_sub(tail_bytes.max(TAIL_BYTES))..size
}

/// The footer, if the tail holds it; else where it lies.
fn footer_range(
    source: &Source,
    tail: &Bytes,
    limits: &Limits,
) -> Result<Result<Bytes, Range<u64>>> {
    let place = || Place { file: Some(source.name().clone()), ..Place::default() };
    let bad = |what: String| Error::new(FaultClass::BadInput, what, place());
    let last = tail.last_chunk::<8>().ok_or_else(|| bad("no Parquet file: too short".into()))?;
    match &last[4..] {
        b"PAR1" => {}
        b"PARE" => {
            let what = "the file is encrypted";
            return Err(Error::new(FaultClass::Unsupported, what, place()));
        }
        _ => return Err(bad("no Parquet file: it does not end in PAR1".into())),
    }
    let len = u64::from(u32::from_le_bytes([last[0], last[1], last[2], last[3]]));
    let end = source.size() - TAIL_BYTES;
    if len > end {
        return Err(bad(format!("footer of {len} bytes in a file of {}", source.size())));
    }
    if len > limits.footer_bytes {
        let what = format!("footer of {len} bytes, above the limit of {}", limits.footer_bytes);
        return Err(Error::new(FaultClass::OutOfMemory, what, place()));
    }
    let start = end - len;
    let tail_start = source.size() - tail.len() as u64;
    if start < tail_start {
        return Ok(Err(start..end));
    }
    Ok(Ok(tail.slice((start - tail_start) as usize..(end - tail_start) as usize)))
}

/// The metadata parser is another crate's, and the bytes are anybody's: should it panic on some,
/// that is an error of the file and not the end of the process.
fn guarded<T>(source: &Source, parse: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    let bad = |what: String| {
        let place = Place { file: Some(source.name().clone()), ..Place::default() };
        Error::new(FaultClass::BadInput, what, place)
    };
    match catch_unwind(AssertUnwindSafe(parse)) {
        Ok(done) => done.map_err(|e| bad(format!("footer: {e}"))),
        Err(_) => Err(bad("footer: malformed (its parser gave up)".into())),
    }
}

fn decode(source: &Source, footer: &Bytes) -> Result<ParquetMetaData> {
    let metadata = guarded(source, || ParquetMetaDataReader::decode_metadata(footer))?;
    Ok(metadata)
}

/// Where the page index of all chunks lies, if it lies in one place as writers put it.
fn index_range(source: &Source, metadata: &ParquetMetaData) -> Option<Range<u64>> {
    let mut range: Option<Range<u64>> = None;
    let columns = metadata.row_groups().iter().flat_map(|g| g.columns());
    for c in columns {
        let parts = [
            (c.offset_index_offset(), c.offset_index_length()),
            (c.column_index_offset(), c.column_index_length()),
        ];
        for (offset, length) in parts {
            let (Some(offset), Some(length)) = (offset, length) else { continue };
            let start = u64::try_from(offset).ok()?;
            let end = start.checked_add(u64::try_from(length).ok()?)?;
            range = Some(match range {
                Some(r) => r.start.min(start)..r.end.max(end),
                None => start..end,
            });
        }
    }
    // One byte more: the parser wants the index to end before what it is given does.
    range
        .map(|r| r.start..r.end.saturating_add(1))
        .filter(|r| r.end < source.size() && r.end - r.start <= 256 << 20)
}

/// The page index only saves work: a file with a wrong one is read without it.
fn with_index(metadata: ParquetMetaData, at: u64, bytes: &Bytes) -> ParquetMetaData {
    let plain = metadata.clone();
    let parse = || {
        let mut reader = ParquetMetaDataReader::new_with_metadata(metadata)
            .with_page_index_policy(PageIndexPolicy::Optional);
        reader.read_page_indexes_sized(bytes, at + bytes.len() as u64)?;
        reader.finish()
    };
    match catch_unwind(AssertUnwindSafe(parse)) {
        Ok(Ok(with)) => with,
        _ => plain,
    }
}
