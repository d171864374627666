//! Writes `hits` as Snappy Parquet, file by file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int16Array, Int32Array, Int64Array, RecordBatch, StringBuilder, UInt16Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::columns::{COLUMNS, Values};
use super::hit::{Hit, Hits};
use super::site::{Site, sites, split};
use crate::parallel::{self, Progress};

/// Rows of a file, as in ClickBench's partitioned files.
const FILE_ROWS: u64 = 1_000_000;

/// Rows of a row group: three or four to a file, as there.
const ROW_GROUP_ROWS: usize = 300_000;

/// Rows made at once.
const BATCH_ROWS: usize = 4_096;

struct Job {
    part: u64,
    rows: u64,
    path: PathBuf,
}

/// Writes `rows` rows into `folder`, as `hits/part-00000.parquet` and so on.
pub(super) fn write(folder: &Path, rows: u64, progress: &(dyn Fn(Progress) + Sync)) -> Result<()> {
    let folder = folder.join("hits");
    std::fs::create_dir_all(&folder)?;
    let jobs: Vec<Job> = (0..rows.div_ceil(FILE_ROWS))
        .map(|part| Job {
            part,
            rows: FILE_ROWS.min(rows - part * FILE_ROWS),
            path: folder.join(format!("part-{part:05}.parquet")),
        })
        .collect();
    let sites = sites(rows);
    parallel::write_files(&jobs, rows, progress, |job, count| write_file(job, &sites, rows, count))
}

fn write_file(
    job: &Job,
    sites: &[Site],
    table_rows: u64,
    count: &dyn Fn(u64) -> bool,
) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    // As tpch: the reader chooses the string type.
    let options =
        ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let schema = schema();
    let file = File::create(&job.path)?;
    let mut writer = ArrowWriter::try_new_with_options(file, Arc::clone(&schema), options)?;
    let counts = split(sites, job.rows, job.part);
    let mut hits = sites
        .iter()
        .zip(counts)
        .flat_map(|(site, rows)| Hits::new(sites, *site, rows, table_rows, job.part));
    loop {
        let rows: Vec<Hit> = hits.by_ref().take(BATCH_ROWS).collect();
        if rows.is_empty() {
            break;
        }
        let columns = COLUMNS.iter().map(|(_, values)| column(*values, &rows)).collect();
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
        if !count(rows.len() as u64) {
            return Ok(());
        }
    }
    writer.close()?;
    Ok(())
}

/// The table's schema: no column has NULLs.
fn schema() -> SchemaRef {
    let fields: Vec<Field> = COLUMNS
        .iter()
        .map(|(name, values)| {
            let data_type = match values {
                Values::Small(_) => DataType::Int16,
                Values::Int(_) => DataType::Int32,
                Values::Long(_) => DataType::Int64,
                Values::Day(_) => DataType::UInt16,
                Values::Text(_) => DataType::Utf8,
            };
            Field::new(*name, data_type, false)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn column(values: Values, hits: &[Hit]) -> ArrayRef {
    match values {
        Values::Small(value) => Arc::new(Int16Array::from_iter_values(hits.iter().map(value))),
        Values::Int(value) => Arc::new(Int32Array::from_iter_values(hits.iter().map(value))),
        Values::Long(value) => Arc::new(Int64Array::from_iter_values(hits.iter().map(value))),
        Values::Day(value) => Arc::new(UInt16Array::from_iter_values(hits.iter().map(value))),
        Values::Text(write) => {
            let mut builder = StringBuilder::new();
            let mut text = String::new();
            for hit in hits {
                text.clear();
                write(hit, &mut text);
                builder.append_value(&text);
            }
            Arc::new(builder.finish())
        }
    }
}
