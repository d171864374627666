//! Exchange: distributes the rows of all lanes over outputs by the hash of their keys.
//!
//! ```text
//! lane 0 ──▶ producer: hash, pick ──┐   ┌─▶ queue 0 ──▶ output 0
//! lane 1 ──▶ producer: hash, pick ──┼───┼─▶ queue 1 ──▶ output 1
//! lane 2 ──▶ producer: hash, pick ──┘   └─▶ queue 2 ──▶ output 2
//! ```
//!
//! Rows go where DataFusion's `RepartitionExec` sends them, bit for bit ([`partition`]).
//! Producers wait only while every output that somebody may still read has rows ([`queue`]), so
//! that no output can starve another; what one output does not read in time is held, within the
//! memory pool's limits, and beyond them written to disk. A dropped output discards its rows.

mod output;
mod partition;
mod produce;
mod queue;
mod scatter;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion_common::{Result, internal_err};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use self::output::Output;
use self::partition::Partitioner;
use self::produce::Producer;
use self::queue::Queues;
use crate::plan::Pipeline;
use crate::{LaneStream, RunContext};

/// The producers' tasks. Dropping the set stops them at once.
type Tasks = Arc<Mutex<JoinSet<()>>>;

/// A running exchange. Its producers stop when it, or all of its outputs, are dropped.
pub struct Exchange {
    queues: Arc<Queues>,
    tasks: Tasks,
    metrics: ExecutionPlanMetricsSet,
}

impl Exchange {
    /// Starts to read `lanes`, whose morsels have the schema at the end of `from`, one task each.
    ///
    /// # Errors
    /// Keys that do not bind.
    pub(crate) fn start(
        lanes: Vec<LaneStream>,
        keys: &[Arc<dyn PhysicalExpr>],
        partitions: usize,
        from: &Pipeline,
        context: &Arc<RunContext>,
    ) -> Result<Self> {
        if partitions == 0 {
            return internal_err!("an exchange needs an output");
        }
        let queues = Arc::new(Queues::new(lanes.len(), partitions, from, context));
        let mut tasks = JoinSet::new();
        for (index, lane) in lanes.into_iter().enumerate() {
            let partitioner = Partitioner::new(keys, partitions, &from.schema, context)?;
            let producer = Producer::new(index, partitioner, Arc::clone(&queues));
            tasks.spawn(producer.run(lane));
        }
        Ok(Self { queues, tasks: Arc::new(Mutex::new(tasks)), metrics: from.metrics.clone() })
    }

    /// An output, which can be read once.
    pub(crate) fn open(&self, lane: usize) -> LaneStream {
        let metrics = BaselineMetrics::new(&self.metrics, lane);
        let queues = Arc::clone(&self.queues);
        match Output::new(lane, queues, Arc::clone(&self.tasks), metrics) {
            Ok(output) => Box::pin(output),
            Err(error) => Box::pin(futures::stream::once(futures::future::ready(Err(error)))),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.tasks.lock().abort_all();
    }
}
