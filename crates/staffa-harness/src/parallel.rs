//! Writes a workload's files, one per thread at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};

use crate::machine::cores;

/// How far the writing is, in rows of all tables (the total is an estimate).
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Rows written.
    pub rows_done: u64,
    /// Rows to write.
    pub rows_total: u64,
}

/// Runs `write` for every job, in order, on as many threads as there are cores. `write` reports the
/// rows of each batch and is told whether to go on: it is not when another job has failed.
///
/// # Errors
/// The first error of any job.
pub(crate) fn write_files<Job: Sync>(
    jobs: &[Job],
    rows_total: u64,
    progress: &(dyn Fn(Progress) + Sync),
    write: impl Fn(&Job, &dyn Fn(u64) -> bool) -> Result<()> + Sync,
) -> Result<()> {
    let (next, done, stop) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let first_error = Mutex::new(None);
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let count = |rows: u64| {
                let rows_done = done.fetch_add(rows, Ordering::Relaxed) + rows;
                progress(Progress { rows_done, rows_total });
                !stop.load(Ordering::Relaxed)
            };
            if let Err(error) = write(job, &count) {
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
