//! The last rung of the ladder: a region that runs out of memory, or meets a Parquet format that our
//! decoder refuses, before it has put out a row is run as DataFusion planned it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::lit;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use staffa_common::FaultClass;
use staffa_engine::run::Region;

use crate::lower::dynamic_filter;

/// How often a region was run as DataFusion planned it.
const RESTARTS: &str = "datafusion_restarts";
/// The rows that came out of that.
const ROWS: &str = "datafusion_rows";

/// What the partitions of a run have agreed on.
enum Choice {
    /// No partition has put out anything.
    Open,
    /// Some partition has: all go on with Staffa.
    Staffa,
    /// All go on with DataFusion's plan.
    Original(Arc<dyn ExecutionPlan>),
}

/// The one choice of a run, made by whichever partition comes first.
pub(crate) struct Decision {
    original: Arc<dyn ExecutionPlan>,
    choice: Mutex<Choice>,
    /// Those of the region's root: EXPLAIN ANALYZE tells by them that the nodes below have nothing to do with the
    /// rows that came out.
    metrics: ExecutionPlanMetricsSet,
}

impl Decision {
    pub(crate) fn new(original: Arc<dyn ExecutionPlan>, metrics: &ExecutionPlanMetricsSet) -> Self {
        Self { original, choice: Mutex::new(Choice::Open), metrics: metrics.clone() }
    }

    /// A partition wants to put out a batch, or to end. `None` lets it.
    fn before_output(&self) -> Option<Arc<dyn ExecutionPlan>> {
        let mut choice = self.choice.lock();
        match &*choice {
            Choice::Original(plan) => Some(Arc::clone(plan)),
            Choice::Staffa => None,
            Choice::Open => {
                *choice = Choice::Staffa;
                None
            }
        }
    }

    /// DataFusion's plan, if that was chosen.
    fn original(&self) -> Option<Arc<dyn ExecutionPlan>> {
        match &*self.choice.lock() {
            Choice::Original(plan) => Some(Arc::clone(plan)),
            Choice::Open | Choice::Staffa => None,
        }
    }

    /// A partition of `region` has run out of memory.
    fn fall_back(&self, region: Option<&Arc<Region>>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let mut choice = self.choice.lock();
        match &*choice {
            Choice::Original(plan) => Ok(Some(Arc::clone(plan))),
            Choice::Staffa => Ok(None),
            Choice::Open => {
                // From here on nobody narrows the filters that DataFusion's scans have, too.
                if let Some(region) = region {
                    region.stop();
                }
                widen(&self.original)?;
                let plan = reset_plan_states(Arc::clone(&self.original))?;
                MetricBuilder::new(&self.metrics).global_counter(RESTARTS).add(1);
                *choice = Choice::Original(Arc::clone(&plan));
                Ok(Some(plan))
            }
        }
    }
}

/// Has the filters that nodes fill while they run let everything through: those of this run's rows rule out what a
/// run from the beginning needs (`reset_plan_states` leaves them as they are).
fn widen(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    if let Some(filter) = dynamic_filter(plan.as_ref()) {
        filter.update(lit(true))?;
    }
    plan.children().into_iter().try_for_each(widen)
}

/// Whether DataFusion's own plan may still do it: it may spill where we do not yet, and its reader
/// knows formats that ours refuses.
fn recoverable(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => true,
        DataFusionError::External(error) => error
            .downcast_ref::<staffa_parquet::Error>()
            .is_some_and(|error| error.class() == FaultClass::Unsupported),
        _ => false,
    }
}

struct Output {
    decision: Arc<Decision>,
    region: Option<Arc<Region>>,
    stream: BoxStream<'static, Result<RecordBatch>>,
    partition: usize,
    context: Arc<TaskContext>,
    settled: bool,
    ended: bool,
}

impl Output {
    /// Gives the region up and reads the partition from DataFusion's plan.
    fn switch(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        self.settled = true;
        if let Some(region) = self.region.take() {
            region.stop();
        }
        self.stream = futures::stream::empty().boxed();
        let rows = MetricBuilder::new(&self.decision.metrics).counter(ROWS, self.partition);
        let stream = plan.execute(self.partition, Arc::clone(&self.context))?;
        let counted = stream.inspect(move |batch| {
            if let Ok(batch) = batch {
                rows.add(batch.num_rows());
            }
        });
        self.stream = counted.boxed();
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let item = self.stream.next().await.transpose();
            if self.settled {
                return item;
            }
            let original = match &item {
                Err(error) if recoverable(error) => {
                    self.decision.fall_back(self.region.as_ref())?
                }
                // Another partition's fall back has stopped the region under this one.
                Err(_) => self.decision.original(),
                Ok(_) => self.decision.before_output(),
            };
            match original {
                Some(plan) => self.switch(&plan)?,
                None => {
                    self.settled = true;
                    return item;
                }
            }
        }
    }
}

/// Partition `partition` of `region`, or of the original plan if the run falls back to it.
pub(crate) fn with_fallback(
    region: Arc<Region>,
    decision: Arc<Decision>,
    partition: usize,
    context: Arc<TaskContext>,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    let stream = region.output(partition).boxed();
    let output = Output {
        decision,
        region: Some(region),
        stream,
        partition,
        context,
        settled: false,
        ended: false,
    };
    futures::stream::unfold(output, |mut output| async move {
        if output.ended {
            return None;
        }
        let item = output.next().await.transpose();
        output.ended = !matches!(item, Some(Ok(_)));
        item.map(|item| (item, output))
    })
}
