//! Groups on disk: a file per coarse partition and lane, merged one partition at a time.

use std::any::Any;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion_common::Result;
use datafusion_execution::SpillFile;
use datafusion_physical_plan::SpillManager;
use datafusion_physical_plan::metrics::SpillMetrics;
use futures::{StreamExt, TryStreamExt};

use super::grouped::Layout;
use super::partition::Run;
use super::plan::{Plan, batch};
use super::table::Table;
use crate::cpu::batches::Batches;
use crate::engine::Sealed;
use crate::{LaneStream, RunContext};

/// Open files over all lanes together: well below the common limit of 1,024.
const OPEN_FILES: usize = 512;

type File = Option<Arc<dyn SpillFile>>;

/// Appends a batch to a file, or with none ends it and gives it back. (A closure, because the type
/// of a file that is being written cannot be named outside of DataFusion.)
type Appender = Box<dyn FnMut(Option<&RecordBatch>) -> Result<File> + Send>;

/// The files that one lane writes.
pub(super) struct SpillWriter {
    manager: SpillManager,
    /// Partitions of a run that are told apart, and how many of them share a file.
    partitions: usize,
    per_file: usize,
    files: Vec<Option<Appender>>,
    used: bool,
}

impl SpillWriter {
    pub(super) fn new(plan: &Plan, layout: &Layout, context: &RunContext) -> Self {
        let manager = SpillManager::new(
            context.task.runtime_env(),
            SpillMetrics::new(&layout.metrics, 0),
            Arc::clone(&plan.state_schema),
        )
        .with_compression_type(context.task.session_config().spill_compression());
        let lanes = layout.lanes.next_power_of_two();
        let files = (OPEN_FILES / lanes).clamp(8, layout.partitions);
        Self {
            manager,
            partitions: layout.partitions,
            per_file: layout.partitions / files,
            files: (0..files).map(|_| None).collect(),
            used: false,
        }
    }

    /// Whether anything was written.
    pub(super) fn used(&self) -> bool {
        self.used
    }

    /// Appends a run of states to the files.
    pub(super) fn write(&mut self, run: &Run) -> Result<()> {
        for (at, file) in self.files.iter_mut().enumerate() {
            let partitions = at * self.per_file..(at + 1) * self.per_file;
            let Some((columns, rows)) = run.slice(partitions, self.partitions)? else {
                continue;
            };
            let append = match file {
                Some(append) => append,
                None => file.insert(appender(&self.manager)?),
            };
            append(Some(&batch(self.manager.schema(), columns, rows)?))?;
            self.used = true;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<File>> {
        self.files
            .iter_mut()
            .map(|file| match file {
                Some(append) => append(None),
                None => Ok(None),
            })
            .collect()
    }
}

fn appender(manager: &SpillManager) -> Result<Appender> {
    let mut file = manager.create_in_progress_file("StaffaAggregate")?;
    Ok(Box::new(move |batch| match batch {
        Some(batch) => file.append_batch(batch).map(|_| None),
        None => file.finish(),
    }))
}

/// Lanes' groups on disk. A partition is merged when it is read, so that one at a time is in memory.
pub(super) struct SpilledGroups {
    plan: Arc<Plan>,
    context: Arc<RunContext>,
    manager: SpillManager,
    /// By coarse partition, then by lane.
    files: Vec<Vec<Arc<dyn SpillFile>>>,
}

impl SpilledGroups {
    /// What the lanes wrote, in lane order.
    pub(super) fn sealed(
        plan: &Arc<Plan>,
        context: &Arc<RunContext>,
        writers: Vec<SpillWriter>,
    ) -> Result<Arc<dyn Sealed>> {
        let mut files: Vec<Vec<Arc<dyn SpillFile>>> = Vec::new();
        let mut manager = None;
        for mut writer in writers {
            files.resize_with(writer.files.len(), Vec::new);
            for (lanes, file) in files.iter_mut().zip(writer.finish()?) {
                lanes.extend(file);
            }
            manager = Some(writer.manager);
        }
        let Some(manager) = manager else {
            return Ok(Arc::new(Batches::new([], 1)));
        };
        Ok(Arc::new(Self { plan: Arc::clone(plan), context: Arc::clone(context), manager, files }))
    }

    async fn merge(&self, partition: usize) -> Result<Arc<dyn Sealed>> {
        let mut table = Table::new(&self.plan)?;
        let reservation = self.context.reservation("StaffaAggregateMerge");
        for file in &self.files[partition] {
            let mut batches =
                self.manager.read_spill_as_stream_unbuffered(Arc::clone(file), None)?;
            while let Some(batch) = batches.next().await {
                self.context.cancel.check()?;
                table.merge(batch?.columns())?;
                reservation.try_resize(table.size())?;
            }
        }
        let rows = table.len();
        let batch = self.plan.output(table.output()?, rows)?;
        Ok(Arc::new(Batches::new([batch], self.context.batch_size())))
    }
}

impl Sealed for SpilledGroups {
    fn open(self: Arc<Self>, lane: usize, lanes: usize) -> LaneStream {
        let partitions = (lane..self.files.len()).step_by(lanes.max(1));
        let merged = futures::stream::iter(partitions).then(move |partition| {
            let groups = Arc::clone(&self);
            async move {
                let merged = groups.merge(partition).await?;
                Result::<LaneStream>::Ok(merged.open(0, 1))
            }
        });
        Box::pin(merged.try_flatten())
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
