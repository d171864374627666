//! Sort and top-K.
//!
//! Lanes collect rows ([`lane`]): all of them, or the first K ([`top`]). The seal sorts normalised
//! keys in parallel ([`parallel`], [`keys`], [`entry`]), or has a device do it ([`device`]), and gathers
//! the rows once, in order. When memory ends, a lane sorts what it has and writes it to disk as a run ([`run`]); then all rows
//! go through runs, which are merged while they are read.

mod bound;
mod device;
mod entry;
pub(in crate::cpu) mod gather;
mod keys;
mod lane;
mod packed;
mod parallel;
mod run;
pub(in crate::cpu) mod size;
#[cfg(test)]
pub(in crate::cpu) mod tests;
mod top;
mod values;

use std::any::Any;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion_common::Result;
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion_physical_expr::expressions::lit;
use datafusion_physical_expr_common::sort_expr::LexOrdering;
use datafusion_physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, SpillMetrics};
use datafusion_physical_plan::spill::SpillManager;
use parking_lot::Mutex;

use self::bound::SharedBound;
use self::gather::Gather;
use self::keys::SortKeys;
use self::lane::SortLocal;
use self::run::Runs;
use self::size::{Footprint, batch_bytes};
use self::top::TopContext;
use super::batches::Batches;
use crate::bound::BoundExpr;
use crate::cuda::sort::OrderRows;
use crate::engine::{Sealed, Sink, SinkLocal};
use crate::plan::{Pipeline, Scope, SortSpec};
use crate::{LaneStream, RunContext};

/// Beyond this K a top-K is a sort of everything that throws the rest away at the end.
const TOP_ROWS: usize = 1 << 24;

/// What the parts of a sort share.
struct Shared {
    context: Arc<RunContext>,
    schema: SchemaRef,
    ordering: LexOrdering,
    fetch: Option<usize>,
    keys: SortKeys,
    footprint: Footprint,
    spill: SpillManager,
    /// What sorts in the place of the CPU, if it can.
    device: Option<Arc<dyn OrderRows>>,
    metrics: ExecutionPlanMetricsSet,
}

impl Shared {
    /// A reservation of somebody who can spill.
    fn reservation(&self, name: &str) -> MemoryReservation {
        MemoryConsumer::new(name).with_can_spill(true).register(self.context.task.memory_pool())
    }

    fn may_spill(&self) -> bool {
        let environment = self.context.task.runtime_env();
        environment.disk_manager.tmp_files_enabled()
    }
}

/// Sorts the rows of all lanes together, or keeps the first of them.
pub struct SortSink {
    shared: Arc<Shared>,
    /// Set for a top-K.
    top: Option<TopSink>,
}

/// How the states of a top-K know of each other's bounds.
struct TopSink {
    k: usize,
    bound: Arc<SharedBound>,
    /// False when each state is a top-K of its own.
    together: bool,
}

impl SortSink {
    /// A sort of what reaches the end of `pipeline`.
    ///
    /// # Errors
    /// Sort keys that do not bind or have no order; DataFusion's, when the filter cannot be updated.
    pub fn new(
        spec: &Arc<SortSpec>,
        pipeline: &Pipeline,
        context: &Arc<RunContext>,
    ) -> Result<Self> {
        let keys = SortKeys::new(&spec.ordering, &pipeline.schema)?;
        let options = context.task.session_config().options();
        let spill = SpillManager::new(
            context.task.runtime_env(),
            SpillMetrics::new(&pipeline.metrics, 0),
            Arc::clone(&pipeline.schema),
        )
        .with_compression_type(options.execution.spill_compression);
        let states = match pipeline.scope {
            Scope::Shared => 1,
            Scope::PerLane => pipeline.lanes,
        };
        let filter = spec.dynamic_filter.as_ref();
        if let Some(filter) = filter {
            // A plan that runs once more starts anew.
            filter.update(lit(true))?;
        }
        let told = spec.told.as_ref().unwrap_or(&spec.ordering);
        let top = spec.fetch.map(|k| TopSink {
            k,
            bound: Arc::new(SharedBound::new(told, filter, states)),
            // Partitions with one filter between them are cut down together in DataFusion too.
            together: states == 1 || filter.is_some(),
        });
        Ok(Self {
            shared: Arc::new(Shared {
                context: Arc::clone(context),
                schema: Arc::clone(&pipeline.schema),
                ordering: spec.ordering.clone(),
                fetch: spec.fetch,
                footprint: Footprint::new(&keys),
                keys,
                spill,
                device: spec.device.clone(),
                metrics: pipeline.metrics.clone(),
            }),
            top,
        })
    }

    fn top_context(&self) -> Option<Arc<TopContext>> {
        let top = self.top.as_ref().filter(|top| top.k <= TOP_ROWS)?;
        let bound = if top.together {
            Arc::clone(&top.bound)
        } else {
            Arc::new(SharedBound::new(&self.shared.ordering, None, 1))
        };
        Some(Arc::new(TopContext { shared: Arc::clone(&self.shared), bound, k: top.k }))
    }

    async fn sorted(&self, locals: Vec<SortLocal>) -> Result<Arc<dyn Sealed>> {
        let metrics = BaselineMetrics::new(&self.shared.metrics, 0);
        let mut locals = locals;
        for local in &mut locals {
            local.end().await?;
        }
        let spill = locals.iter().any(SortLocal::has_spilled);
        let mut batches = Vec::new();
        let mut reservations = Vec::new();
        let mut runs = Vec::new();
        for local in locals {
            let collected = local.finish(spill).await?;
            batches.extend(collected.batches);
            runs.extend(collected.runs);
            reservations.push(collected.reservation);
        }
        if spill {
            let shared = Arc::clone(&self.shared);
            return Ok(Arc::new(Runs::new(shared, runs, metrics)));
        }
        let shared = Arc::clone(&self.shared);
        let elapsed = metrics.elapsed_compute().clone();
        let batches = self
            .shared
            .context
            .runtime
            .compute(move || {
                let _timer = elapsed.timer();
                sort_in_memory(&shared, &batches)
            })
            .await?;
        metrics.record_output(batches.iter().map(RecordBatch::num_rows).sum());
        shrink(&mut reservations, batches.iter().map(batch_bytes).sum());
        Ok(Arc::new(SortedBatches {
            batches: Arc::new(Batches::new(batches, self.shared.context.batch_size())),
            _memory: Mutex::new(reservations),
        }))
    }
}

fn sort_in_memory(shared: &Shared, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let gather = Gather::new(&shared.schema, batches.iter());
    let sorted = device::sort(shared, batches, |places| {
        let mut out = Vec::with_capacity(1);
        gather.take(places, &mut out)?;
        Ok(out)
    })?;
    Ok(sorted.into_iter().flatten().collect())
}

/// Gives back what the sorted rows do not need.
fn shrink(reservations: &mut Vec<MemoryReservation>, mut bytes: usize) {
    for reservation in reservations.iter() {
        let keep = reservation.size().min(bytes);
        reservation.shrink(reservation.size() - keep);
        bytes -= keep;
    }
    if let Some(first) = reservations.first() {
        // They exist already, so there is no point in asking.
        first.grow(bytes);
    }
    reservations.retain(|reservation| reservation.size() > 0);
}

#[async_trait]
impl Sink for SortSink {
    fn local(&self, _: usize) -> Result<Box<dyn SinkLocal>> {
        Ok(Box::new(SortLocal::new(&self.shared, self.top_context())))
    }

    async fn seal(&self, locals: Vec<Box<dyn SinkLocal>>) -> Result<Arc<dyn Sealed>> {
        let _close = self.top.as_ref().map(|top| Close(&top.bound));
        self.sorted(crate::run::own::<SortLocal>(locals)?).await
    }
}

/// Closes a state of a top-K, however its seal ends.
struct Close<'a>(&'a SharedBound);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Sorted rows in memory.
struct SortedBatches {
    batches: Arc<Batches>,
    /// Freed with the rows. Behind a lock only to be shared between threads.
    _memory: Mutex<Vec<MemoryReservation>>,
}

impl Sealed for SortedBatches {
    fn open(self: Arc<Self>, lane: usize, lanes: usize) -> LaneStream {
        use futures::StreamExt;
        let stream = Arc::clone(&self.batches).open(lane, lanes);
        Box::pin(stream.inspect(move |_| {
            let _alive = &self;
        }))
    }

    fn open_groups(
        self: Arc<Self>,
        keys: &[BoundExpr],
        lane: usize,
        lanes: usize,
    ) -> Result<LaneStream> {
        use futures::StreamExt;
        let stream = Arc::clone(&self.batches).open_groups(keys, lane, lanes)?;
        Ok(Box::pin(stream.inspect(move |_| {
            let _alive = &self;
        })))
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
