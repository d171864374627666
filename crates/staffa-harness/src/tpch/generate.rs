//! Writes the tables as Snappy Parquet, in parallel, one row group in memory per thread.

use std::fs::File;
use std::path::{Path, PathBuf};

use datafusion::common::Result;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::tables::Table;
use crate::parallel::{self, Progress};

/// Rows in a row group, and in a file until a table has [`MAX_FILES`]: about 60 MB of lineitem.
const ROW_GROUP_ROWS: u64 = 1_000_000;

/// Files per table at most; larger tables get more row groups per file.
const MAX_FILES: u64 = 64;

/// One file to write.
struct Job {
    table: Table,
    part: i32,
    parts: i32,
    path: PathBuf,
}

/// Writes all tables of `scale` into `folder`, as `<table>/part-00000.parquet` and so on.
pub(super) fn write_tables(
    folder: &Path,
    scale: f64,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<()> {
    let jobs = jobs(folder, scale)?;
    let rows_total = Table::ALL.iter().map(|table| table.rows(scale)).sum();
    parallel::write_files(&jobs, rows_total, progress, |job, count| write_file(job, scale, count))
}

/// Largest tables first, so that no thread starts a long file at the end.
fn jobs(folder: &Path, scale: f64) -> Result<Vec<Job>> {
    let mut jobs = vec![];
    for table in Table::ALL {
        let table_folder = folder.join(table.name());
        std::fs::create_dir_all(&table_folder)?;
        let parts = table.rows(scale).div_ceil(ROW_GROUP_ROWS).clamp(1, MAX_FILES) as i32;
        jobs.extend((1..=parts).map(|part| Job {
            table,
            part,
            parts,
            path: table_folder.join(format!("part-{:05}.parquet", part - 1)),
        }));
    }
    Ok(jobs)
}

/// Writes one file; `count` gets the rows of each batch and says whether to go on.
fn write_file(job: &Job, scale: f64, count: &dyn Fn(u64) -> bool) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS as usize))
        .build();
    // Without Arrow's own schema in the footer the file looks as any tool would have made it:
    // the reader chooses the string type.
    let options =
        ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let file = File::create(&job.path)?;
    let mut writer = ArrowWriter::try_new_with_options(file, job.table.schema(), options)?;
    for batch in job.table.batches(scale, job.part, job.parts) {
        let batch = batch?;
        writer.write(&batch)?;
        if !count(batch.num_rows() as u64) {
            return Ok(());
        }
    }
    writer.close()?;
    Ok(())
}
