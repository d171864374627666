//! Files of partitions: written batch by batch, then read.

use std::io::ErrorKind;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion_common::{DataFusionError, Result, resources_datafusion_err};
use datafusion_execution::{SendableRecordBatchStream, SpillFile};
use datafusion_physical_plan::SpillManager;
use datafusion_physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::split::batch_bytes;
use crate::RunContext;

/// Appends a batch to a file, or with none ends it and gives it back. (A closure, because the type
/// of a file that is being written cannot be named outside of DataFusion.)
type Appender = Box<dyn FnMut(Option<&RecordBatch>) -> Result<Option<Arc<dyn SpillFile>>> + Send>;

/// Makes and reads a join's files, and counts them in its node's metrics.
pub(in super::super) fn manager(
    context: &RunContext,
    metrics: &ExecutionPlanMetricsSet,
    schema: &SchemaRef,
) -> SpillManager {
    let metrics = SpillMetrics::new(metrics, 0);
    SpillManager::new(context.task.runtime_env(), metrics, Arc::clone(schema))
        .with_compression_type(context.task.session_config().spill_compression())
}

/// The files that one lane writes, at most one per partition.
pub(super) struct Files {
    manager: SpillManager,
    writing: Vec<Writing>,
}

#[derive(Default)]
struct Writing {
    append: Option<Appender>,
    rows: usize,
    bytes: usize,
}

/// Rows of a partition on disk.
#[derive(Default)]
pub(super) struct Stored {
    /// Where they are, in order.
    pub(super) files: Vec<Arc<dyn SpillFile>>,
    /// How many they are.
    pub(super) rows: usize,
    /// Bytes that they take in memory.
    pub(super) bytes: usize,
}

impl Files {
    pub(super) fn new(manager: SpillManager, partitions: usize) -> Self {
        Self { manager, writing: (0..partitions).map(|_| Writing::default()).collect() }
    }

    /// Appends rows to a partition's file.
    pub(super) fn write(&mut self, partition: usize, batch: &RecordBatch) -> Result<()> {
        let file = &mut self.writing[partition];
        let append = match &mut file.append {
            Some(append) => append,
            None => {
                let mut made = self.manager.create_in_progress_file("StaffaJoin")?;
                file.append.insert(Box::new(move |batch| match batch {
                    Some(batch) => made.append_batch(batch).map(|_| None),
                    None => made.finish(),
                }))
            }
        };
        append(Some(batch)).map_err(full)?;
        file.rows += batch.num_rows();
        file.bytes += batch_bytes(batch);
        Ok(())
    }

    /// Rows of a partition written so far, and their bytes.
    pub(super) fn written(&self, partition: usize) -> (usize, usize) {
        (self.writing[partition].rows, self.writing[partition].bytes)
    }

    /// Ends all files: what each partition has on disk.
    pub(super) fn finish(self) -> Result<Vec<Stored>> {
        let finish = |file: Writing| {
            let files = match file.append {
                Some(mut append) => append(None).map_err(full)?.into_iter().collect(),
                None => Vec::new(),
            };
            Ok(Stored { files, rows: file.rows, bytes: file.bytes })
        };
        self.writing.into_iter().map(finish).collect()
    }
}

/// A disk without room is out of resources, as memory without room is. DataFusion's own limit on temporary
/// files comes as an I/O error of no particular kind.
fn full(error: DataFusionError) -> DataFusionError {
    match error.find_root() {
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ArrowError::IoError(text, io) if is_full(io.kind()) => {
                resources_datafusion_err!("a join cannot spill its rows: {text}")
            }
            _ => error,
        },
        _ => error,
    }
}

fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::Other)
}

impl Stored {
    /// Adds what another lane has of the same partition.
    pub(super) fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
        self.rows += other.rows;
        self.bytes += other.bytes;
    }

    /// Its batches, as they were written.
    pub(super) fn read(&self, manager: &SpillManager) -> Result<SendableRecordBatchStream> {
        let streams = self
            .files
            .iter()
            .map(|file| manager.read_spill_as_stream_unbuffered(Arc::clone(file), None))
            .collect::<Result<Vec<_>>>()?;
        let schema = Arc::clone(manager.schema());
        let batches = futures::stream::iter(streams).flatten();
        let stream = batches.boxed();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}
