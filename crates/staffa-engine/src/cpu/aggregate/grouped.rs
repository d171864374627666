//! One lane of an aggregation by keys.

use std::any::Any;
use std::sync::Arc;

use arrow::array::ArrayRef;
use async_trait::async_trait;
use datafusion_common::{DataFusionError, Result};
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;

use super::partition::Run;
use super::plan::Plan;
use super::spill::SpillWriter;
use super::table::Table;
use crate::engine::SinkLocal;
use crate::plan::Pipeline;
use crate::{Morsel, RunContext};

/// Groups that a lane's table holds at first: keys and a few states of so many fit a core's cache.
const GROUPS: usize = 64 * 1024;
/// Rows per group from which a full table may grow instead of being emptied: it reduces its input
/// so well that cache misses cost less than merging its groups again and again.
const REDUCES_WELL: usize = 16;
/// A table never grows beyond so many times [`GROUPS`].
const GROWTH: usize = 16;
/// Rows between two looks at the memory held.
const ACCOUNT_EVERY: usize = 8 * 1024;

/// How the lanes of an aggregation split their groups.
pub(super) struct Layout {
    /// Radix partitions of a run; a power of two.
    pub(super) partitions: usize,
    /// Lanes of the pipeline.
    pub(super) lanes: usize,
    /// Groups that a table holds before it overflows.
    pub(super) groups: usize,
    /// Metrics of the aggregation's node.
    pub(super) metrics: ExecutionPlanMetricsSet,
}

impl Layout {
    /// Enough partitions that threads seldom wait for the last one, and that a partition of a
    /// large result fits the cache.
    pub(super) fn new(threads: usize, pipeline: &Pipeline) -> Self {
        Self {
            partitions: (4 * threads).next_power_of_two().clamp(64, 1024),
            lanes: pipeline.lanes,
            groups: GROUPS,
            metrics: pipeline.metrics.clone(),
        }
    }
}

/// One lane's groups.
pub(super) struct GroupedLocal {
    plan: Arc<Plan>,
    context: Arc<RunContext>,
    partitions: usize,
    /// The table as it is, with the groups not in a run yet.
    pub(super) table: Table,
    /// What overflowed, oldest first.
    pub(super) runs: Vec<Run>,
    /// What overflowed memory, older than `runs`.
    pub(super) spilled: SpillWriter,
    /// Accounts for table and runs.
    pub(super) reservation: MemoryReservation,
    spills: bool,
    /// Groups that the table may hold.
    bound: usize,
    full: usize,
    /// Rows since the table was last empty.
    rows: usize,
    unaccounted_rows: usize,
}

impl GroupedLocal {
    pub(super) fn new(
        plan: &Arc<Plan>,
        layout: &Layout,
        context: &Arc<RunContext>,
    ) -> Result<Self> {
        let runtime = context.task.runtime_env();
        let spills = runtime.disk_manager.tmp_files_enabled();
        Ok(Self {
            table: Table::new(plan)?,
            runs: Vec::new(),
            spilled: SpillWriter::new(plan, layout, context),
            reservation: MemoryConsumer::new("StaffaAggregate")
                .with_can_spill(spills)
                .register(&runtime.memory_pool),
            plan: Arc::clone(plan),
            context: Arc::clone(context),
            partitions: layout.partitions,
            spills,
            bound: layout.groups,
            full: layout.groups,
            rows: 0,
            unaccounted_rows: 0,
        })
    }

    fn add(&mut self, morsel: &Morsel) -> Result<()> {
        self.table.add(&self.plan.evaluate(morsel)?)?;
        self.rows += morsel.rows();
        if self.table.len() < self.full {
            return Ok(());
        }
        if self.rows / REDUCES_WELL >= self.table.len() && self.full < GROWTH * self.bound {
            self.full *= 2;
            return Ok(());
        }
        self.flush()
    }

    /// Empties the table into a run.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.full = self.bound;
        self.rows = 0;
        if self.table.len() == 0 {
            return Ok(());
        }
        let states = self.table.states()?;
        self.keep(&states)
    }

    /// Keeps states as a run.
    fn keep(&mut self, states: &[ArrayRef]) -> Result<()> {
        let run = Run::new(states, self.plan.key_width(), self.partitions)?;
        self.runs.push(run);
        Ok(())
    }

    /// Writes everything to disk.
    pub(super) fn spill(&mut self) -> Result<()> {
        self.flush()?;
        self.spilled.write(&std::mem::take(&mut self.runs))?;
        self.table = Table::new(&self.plan)?;
        self.reservation.try_resize(self.size())
    }

    fn size(&self) -> usize {
        let runs: usize = self.runs.iter().map(Run::size).sum();
        self.table.size() + runs
    }

    fn account(&mut self) -> Result<()> {
        match self.reservation.try_resize(self.size()) {
            Err(error) if self.spills && exhausted(&error) => self.spill(),
            other => other,
        }
    }
}

/// Whether an error says that memory ran out.
pub(super) fn exhausted(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

#[async_trait]
impl SinkLocal for GroupedLocal {
    async fn push(&mut self, morsel: Morsel) -> Result<()> {
        self.context.cancel.check()?;
        if morsel.rows() == 0 {
            return Ok(());
        }
        self.add(&morsel)?;
        self.unaccounted_rows += morsel.rows();
        if self.unaccounted_rows >= ACCOUNT_EVERY {
            self.unaccounted_rows = 0;
            self.account()?;
        }
        Ok(())
    }

    fn done(&self) -> bool {
        // With functions every row of a group counts, however many groups are wanted.
        self.plan.spec.aggregates.is_empty()
            && self
                .plan
                .spec
                .limit
                .is_some_and(|limit| self.table.len() >= limit)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
