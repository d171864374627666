//! How many morsels a device would make of a scan, as far as that is known before a file is opened.
//!
//! A morsel costs its launches and waits whatever its size, so many small row groups make a device slow. What
//! row groups there are stands in the footers, which DataFusion has read and keeps where it gathered
//! statistics; else the files' rows and sizes say how many there are at least.

use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfig, ParquetSource};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};

use super::bytes;
use super::ranges::MORSEL_ROWS;

/// Files whose footers are looked at; the others are taken to be like them.
const SAMPLE: usize = 8;
/// Rows of a row group, where nobody has looked: most writers' default.
const GUESSED_GROUP_ROWS: f64 = 1024.0 * 1024.0;

/// Morsels of a scan of so many rows.
pub(super) fn morsels(config: &FileScanConfig, source: &ParquetSource, rows: f64) -> f64 {
    let files: Vec<&PartitionedFile> =
        config.file_groups.iter().flat_map(|group| group.files()).collect();
    let every = files.len().div_ceil(SAMPLE).max(1);
    let (mut known_rows, mut known) = (0.0, 0.0);
    for file in files.iter().step_by(every) {
        if let Some(footer) = footer(source, file) {
            for group in footer.row_groups().iter().filter(|group| reads(file, group)) {
                let rows = u64::try_from(group.num_rows()).unwrap_or(0);
                known_rows += rows as f64;
                known += rows.div_ceil(MORSEL_ROWS) as f64;
            }
        }
    }
    if known_rows > 0.0 {
        return (rows * known / known_rows).max(1.0);
    }
    let all_bytes = files.iter().map(|file| bytes(file) as f64).sum::<f64>().max(1.0);
    let of_file = |file: &&PartitionedFile| {
        let size = file.object_meta.size.max(1) as f64;
        let part = bytes(file) as f64 / size;
        let counted =
            file.statistics.as_ref().and_then(|known| known.num_rows.get_value().copied());
        let rows = counted.map_or(rows * size / all_bytes, |rows| rows as f64);
        // Of a file that is read in parts, each has its share of the row groups.
        (rows / GUESSED_GROUP_ROWS).ceil().max(1.0) * part
    };
    files.iter().map(of_file).sum::<f64>().max(1.0)
}

/// A file's footer, if it is at hand: nothing is waited for.
fn footer(
    source: &ParquetSource,
    file: &PartitionedFile,
) -> Option<std::sync::Arc<ParquetMetaData>> {
    // Without statistics nobody has read it.
    file.statistics.as_ref()?;
    let readers = source.parquet_file_reader_factory()?;
    let metrics = ExecutionPlanMetricsSet::new();
    let hint = file.metadata_size_hint;
    let mut reader = readers.create_reader(0, file.clone(), hint, &metrics).ok()?;
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Skip);
    let footer = reader.get_metadata(Some(&options)).now_or_never()?;
    footer.ok()
}

/// Whether a row group belongs to the byte range of the file that is read, as DataFusion decides it.
fn reads(file: &PartitionedFile, group: &RowGroupMetaData) -> bool {
    let Some(range) = &file.range else { return true };
    let Some(column) = group.columns().first() else { return false };
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    (range.start..range.end).contains(&start)
}
