//! Writes the tables as Snappy Parquet, in parallel, one row group in memory per thread.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::tables::Table;
use crate::machine::cores;

/// Rows in a row group, and in a file until a table has [`MAX_FILES`]: about 60 MB of lineitem.
const ROW_GROUP_ROWS: u64 = 1_000_000;

/// Files per table at most; larger tables get more row groups per file.
const MAX_FILES: u64 = 64;

/// How far the writing is, in rows of all tables (the total is an estimate).
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Rows written.
    pub rows_done: u64,
    /// Rows to write.
    pub rows_total: u64,
}

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
    let (next, done, stop) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let first_error = Mutex::new(None);
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let count = |rows: u64| {
                let rows_done = done.fetch_add(rows, Ordering::Relaxed) + rows;
                progress(Progress { rows_done, rows_total });
                !stop.load(Ordering::Relaxed)
            };
            if let Err(error) = write_file(job, scale, &count) {
                stop.store(true, Ordering::Relaxed);
                if let Ok(mut slot) = first_error.lock() {
                    slot.get_or_insert(error);
                }
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..cores().min(jobs.len()) {
            scope.spawn(work);
        }
    });
    match first_error.into_inner() {
        Ok(None) => Ok(()),
        Ok(Some(error)) => Err(error),
        Err(_) => Err(DataFusionError::Execution("a data writer panicked".to_string())),
    }
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
