//! Sorted runs on disk, and the state that merges them.

use std::any::Any;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion_common::Result;
use datafusion_execution::{SendableRecordBatchStream, SpillFile};
use datafusion_physical_plan::metrics::BaselineMetrics;
use datafusion_physical_plan::sorts::streaming_merge::{SortedSpillFile, StreamingMergeBuilder};
use futures::StreamExt;

use super::Shared;
use super::device::sort;
use super::gather::Gather;
use crate::engine::Sealed;
use crate::{LaneStream, Morsel};

/// A sorted run.
pub(super) struct Run {
    file: Arc<dyn SpillFile>,
    /// Bytes of its largest batch in memory.
    largest_bytes: usize,
}

/// Sorts `batches` and writes them, a batch of the session's size at a time.
///
/// # Errors
/// What the sort expressions or the disk raise.
pub(super) fn write_run(shared: &Shared, batches: Vec<RecordBatch>) -> Result<Option<Run>> {
    let cancel = &shared.context.cancel;
    let order = sort(shared, &batches, |places| Ok(places.to_vec()))?;
    let gather = Gather::new(&shared.schema, batches.iter());
    let mut file = shared.spill.create_in_progress_file("StaffaSort")?;
    let mut largest_bytes = 0;
    let mut chunks = Vec::new();
    for places in &order {
        for chunk in places.chunks(shared.context.batch_size().max(1)) {
            cancel.check()?;
            gather.take(chunk, &mut chunks)?;
            for batch in chunks.drain(..) {
                largest_bytes = largest_bytes.max(file.append_batch(&batch)?);
            }
        }
    }
    Ok(file.finish()?.map(|file| Run { file, largest_bytes }))
}

/// Sorted runs that are merged as they are read.
pub(super) struct Runs {
    shared: Arc<Shared>,
    runs: Vec<Run>,
    metrics: BaselineMetrics,
}

impl Runs {
    pub(super) fn new(shared: Arc<Shared>, runs: Vec<Run>, metrics: BaselineMetrics) -> Self {
        Self { shared, runs, metrics }
    }

    /// The files outlive a merge that read them, so each reader merges anew.
    fn merge(&self) -> Result<SendableRecordBatchStream> {
        let files = self
            .runs
            .iter()
            .map(|run| SortedSpillFile {
                file: Arc::clone(&run.file),
                max_record_batch_memory: run.largest_bytes,
            })
            .collect();
        StreamingMergeBuilder::new()
            .with_sorted_spill_files(files)
            .with_spill_manager(self.shared.spill.clone())
            .with_schema(Arc::clone(&self.shared.schema))
            .with_expressions(&self.shared.ordering)
            .with_metrics(self.metrics.clone())
            .with_batch_size(self.shared.context.batch_size())
            .with_fetch(self.shared.fetch)
            .with_reservation(self.shared.context.reservation("StaffaSortMerge"))
            // Rows of equal keys come in the order of the runs.
            .with_round_robin_tie_breaker(false)
            .build()
    }
}

impl Sealed for Runs {
    fn open(self: Arc<Self>, lane: usize, _lanes: usize) -> LaneStream {
        if lane > 0 || self.runs.is_empty() {
            return Box::pin(futures::stream::empty());
        }
        match self.merge() {
            // The runs must not go before the stream does.
            Ok(stream) => Box::pin(stream.map(move |batch| {
                let _alive = &self;
                Ok(Morsel::from_batch(batch?))
            })),
            Err(error) => Box::pin(futures::stream::once(futures::future::ready(Err(error)))),
        }
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
