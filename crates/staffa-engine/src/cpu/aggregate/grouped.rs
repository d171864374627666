//! One lane of an aggregation by keys.

use std::any::Any;
use std::sync::Arc;

use arrow::array::ArrayRef;
use async_trait::async_trait;
use datafusion_common::{DataFusionError, Result};
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;

use super::apart::{Order, ends, stretches};
use super::finest::{Finest, Taken};
use super::partition::Run;
use super::passed::{self, Passed};
use super::plan::{Evaluated, Plan};
use super::spill::SpillWriter;
use super::table::Table;
use super::top::Top;
use super::whole::Whole;
use crate::engine::SinkLocal;
use crate::plan::Pipeline;
use crate::{Morsel, RunContext};

/// Groups that a lane's table holds at first: keys and a few states of so many fit a core's cache.
pub(super) const GROUPS: usize = 64 * 1024;
/// Rows per group from which a full table may grow instead of being emptied: it reduces its input
/// so well that cache misses cost less than merging its groups again and again.
const REDUCES_WELL: usize = 16;
/// A full table also grows where no more than so many times its groups are expected in all: then
/// the cache misses cost less than merging every row. (TPC-H Q13, 150 K keys in random order, ran
/// 25 % longer than DataFusion past the table; Q20, 540 K keys, a quarter longer or more in a grown table.)
const EXPECTED: usize = 4;
/// The same where more groups have come than were to be expected.
const SKEWED_REDUCES: usize = 4;
/// A table never grows beyond so many times [`GROUPS`].
const GROWTH: usize = 16;
/// A table that filled up with a new key in every second row (in three of four where some keys come often) is passed by
/// for as many rows as it holds groups, times this. Then it is tried again.
const BYPASS: usize = 16;
/// States from which they make a run of their own.
const FEW_STATES: usize = 8 * 1024;
/// Rows in a lane's runs from which new runs have [`MANY_PARTITIONS`]: so many keys in 64 partitions would not fit a
/// core's cache where they meet.
const MANY_ROWS: usize = 256 * 1024;
const MANY_PARTITIONS: usize = 512;
/// Rows between two looks at the memory held.
const ACCOUNT_EVERY: usize = 8 * 1024;

/// How the lanes of an aggregation split their groups.
pub(super) struct Layout {
    /// Radix partitions of a lane's first runs; a power of two. Others have no fewer.
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
    ///
    /// A single lane whose states do not merge exactly stays in one table, as it does in
    /// DataFusion: the answer then has the same bits.
    pub(super) fn new(plan: &Plan, threads: usize, pipeline: &Pipeline) -> Self {
        let overflows = pipeline.lanes > 1 || plan.merges_exactly();
        Self {
            partitions: (4 * threads).next_power_of_two().clamp(64, 1024),
            lanes: pipeline.lanes,
            groups: match plan.spec.limit {
                _ if !overflows => usize::MAX,
                // Whatever is wanted of a plain DISTINCT stays together to be counted.
                Some(limit) => limit.max(GROUPS),
                None => GROUPS,
            },
            metrics: pipeline.metrics.clone(),
        }
    }
}

/// One lane's groups.
pub(super) struct GroupedLocal {
    plan: Arc<Plan>,
    context: Arc<RunContext>,
    /// Radix partitions of the next run.
    partitions: usize,
    /// Rows in runs so far.
    kept: usize,
    /// The table as it is, with the groups not in a run yet.
    pub(super) table: Table,
    /// Groups by all keys, which are on their way to the grouping sets' in the table.
    finest: Option<Finest>,
    /// How good a group has to be.
    top: Option<Top>,
    /// States that came as a set of groups, which may be all there is.
    pub(super) whole: Whole,
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
    /// Groups that were expected in all when the table was full, since it was last empty.
    expected: Option<usize>,
    /// Whether there were more of them before.
    skewed: bool,
    /// Rows since the table was last empty.
    rows: usize,
    unaccounted_rows: usize,
    converts: bool,
    /// Whether rows that pass by are no states.
    raw: bool,
    /// Whether slices of runs can be joined, so that small ones do no harm.
    joins: bool,
    /// Rows still to pass by the table.
    bypass_rows: usize,
    passed: Passed,
    order: Order,
}

impl GroupedLocal {
    pub(super) fn new(
        plan: &Arc<Plan>,
        layout: &Layout,
        context: &Arc<RunContext>,
    ) -> Result<Self> {
        let runtime = context.task.runtime_env();
        let spills = runtime.disk_manager.tmp_files_enabled();
        // As DataFusion does, where the answer's bits depend on it.
        let in_order = layout.lanes == 1 && !plan.merges_exactly();
        let finest = match plan.spec.limit {
            None if !in_order => Finest::new(plan)?,
            _ => None,
        };
        Ok(Self {
            table: Table::new(plan)?,
            finest,
            top: Top::new(plan, &layout.metrics)?,
            whole: Whole::default(),
            runs: Vec::new(),
            spilled: SpillWriter::new(plan, layout, context),
            reservation: MemoryConsumer::new("StaffaAggregate")
                .with_can_spill(spills)
                .register(&runtime.memory_pool),
            plan: Arc::clone(plan),
            context: Arc::clone(context),
            partitions: layout.partitions,
            kept: 0,
            spills,
            bound: layout.groups,
            full: layout.groups,
            expected: None,
            skewed: false,
            rows: 0,
            unaccounted_rows: 0,
            converts: plan.converts(),
            raw: plan.keeps_raw(),
            joins: plan.state_schema.fields().iter().all(|field| passed::joins(field.data_type())),
            bypass_rows: 0,
            passed: Passed::default(),
            order: Order::default(),
        })
    }

    fn add(&mut self, morsel: &Morsel) -> Result<()> {
        if morsel.states().is_some() {
            let states = self.plan.states(morsel)?;
            if let Some(set) = morsel.set() {
                self.whole.push(set, states);
                return Ok(());
            }
            return self.add_states(states, morsel.rows(), morsel.rows());
        }
        if let Some(finest) = &mut self.finest {
            return match finest.add(morsel)? {
                true => self.settle_finest(),
                false => Ok(()),
            };
        }
        let better = match &mut self.top {
            Some(top) => top.passing(&self.plan, morsel)?,
            None => None,
        };
        let morsel = better.as_ref().unwrap_or(morsel);
        if morsel.rows() == 0 {
            return Ok(());
        }
        let input = self.plan.evaluate(morsel)?;
        if self.bypass_rows > 0 {
            return self.pass(&input, morsel.rows());
        }
        self.table.add(&input)?;
        if let Some(top) = &mut self.top {
            top.tighten(&self.plan, &mut self.table)?;
        }
        let full = self.table.len() >= self.full;
        let in_order = match self.plan.ranged() {
            Some(ranged) if full || self.rows == 0 => self.order.see(&input, ranged, full)?,
            _ => false,
        };
        self.added(morsel.rows(), in_order)
    }

    /// Takes `groups` states that somebody else made of `rows` rows, as a device does.
    fn add_states(&mut self, states: Vec<ArrayRef>, groups: usize, rows: usize) -> Result<()> {
        if self.bypass_rows > 0 && self.raw && groups >= FEW_STATES {
            self.bypass_rows = self.bypass_rows.saturating_sub(groups);
            self.keep(&states, false)?;
            return self.flush_if_passed();
        }
        if self.bypass_rows > 0 && !self.raw {
            self.bypass_rows = self.bypass_rows.saturating_sub(groups);
            self.passed.push(states, groups);
            return self.flush_if_passed();
        }
        self.table.merge(&states)?;
        self.added(rows, false)
    }

    /// Brings what was put off to the other groups.
    pub(super) fn settle(&mut self) -> Result<()> {
        let whole = std::mem::take(&mut self.whole);
        let few = whole.rows() <= GROUPS;
        for states in whole.into_states() {
            let groups = states.first().map_or(0, |column| column.len());
            match few {
                true => self.add_states(states, groups, groups)?,
                false => self.keep(&states, false)?,
            }
        }
        self.settle_finest()
    }

    /// Brings the groups by all keys to those of the grouping sets.
    fn settle_finest(&mut self) -> Result<()> {
        let Some(finest) = self.finest.as_mut().filter(|finest| !finest.is_empty()) else {
            return Ok(());
        };
        let Taken { states, rows, worth } = finest.take()?;
        if !worth {
            self.finest = None;
        }
        let groups = states.first().map_or(0, |column| column.len());
        let plan = Arc::clone(&self.plan);
        for of_set in plan.of_finest(&states) {
            self.add_states(of_set?, groups, rows / plan.set_count())?;
        }
        Ok(())
    }

    /// Empties or enlarges the table where it is full, after so many more rows. Where keys come `in_order`, its groups
    /// are complete but for the last ones.
    fn added(&mut self, rows: usize, in_order: bool) -> Result<()> {
        self.rows += rows;
        let groups = self.table.len();
        if groups < self.full {
            return Ok(());
        }
        let expected = expected_groups(self.rows, groups);
        // More than were expected in all: keys that come once are among others that come often, and go on coming.
        self.skewed |= self.expected.replace(expected).is_some_and(|before| groups > before);
        let grows = self.rows / REDUCES_WELL >= groups
            || (expected <= EXPECTED * self.bound
                && (!self.skewed || self.rows / SKEWED_REDUCES >= groups));
        // Groups that are counted stay where they are.
        if in_order && self.plan.spec.limit.is_none() {
            return self.flush();
        }
        if grows && self.full / GROWTH < self.bound {
            self.full *= 2;
            return Ok(());
        }
        // Where some keys come often, these would all lie in one partition of the runs.
        let new = if self.skewed { groups / 3 * 4 } else { groups * 2 };
        if self.converts && new > self.rows {
            self.bypass_rows = BYPASS * self.bound;
        }
        self.flush()
    }

    /// Keeps rows without a look at the table.
    fn pass(&mut self, input: &Evaluated, rows: usize) -> Result<()> {
        let converted = match self.raw {
            true => self.plan.raw(input)?,
            false => match self.table.convert(input) {
                // A user's function may have no such conversion.
                Err(error) if matches!(error.find_root(), DataFusionError::NotImplemented(_)) => {
                    (self.converts, self.bypass_rows, self.rows) = (false, 0, rows);
                    self.flush_passed()?;
                    return self.table.add(input);
                }
                converted => converted?,
            },
        };
        self.bypass_rows = self.bypass_rows.saturating_sub(rows);
        for states in converted {
            self.passed.push(states, rows);
        }
        self.flush_if_passed()
    }

    /// Empties what passed the table by, if that is enough or the last of it.
    fn flush_if_passed(&mut self) -> Result<()> {
        if self.bypass_rows == 0 || self.passed.fill(self.partitions, GROUPS) {
            self.flush()?;
        }
        Ok(())
    }

    /// Empties the table, or what passed it by, into a run.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.full = self.bound;
        self.expected = None;
        self.rows = 0;
        self.flush_passed()?;
        if self.table.len() == 0 {
            return Ok(());
        }
        let states = self.table.states()?;
        self.keep(&states, true)
    }

    /// Empties what passed the table by into a run.
    pub(super) fn flush_passed(&mut self) -> Result<()> {
        let pieces = self.passed.take();
        let (width, partitions) = (self.plan.key_width(), self.partitions);
        // What is too large for one array is no joined run.
        let joined = pieces.first().filter(|piece| passed::join(piece));
        let joined = joined.and_then(|_| Run::new(&pieces, width, partitions).ok());
        let runs = match joined {
            Some(run) => vec![run],
            None => {
                let pieces = pieces.chunks(1);
                pieces.map(|piece| Run::new(piece, width, partitions)).collect::<Result<_>>()?
            }
        };
        for mut run in runs {
            run.raw = self.raw;
            self.push(run);
        }
        Ok(())
    }

    /// Keeps states as a run; no key is there twice if `unique`.
    fn keep(&mut self, states: &[ArrayRef], unique: bool) -> Result<()> {
        let ranged = self.plan.ranged().filter(|_| unique);
        let bounds = match ranged {
            Some(ranged) if !self.order.lost => stretches(&states[ranged])?,
            _ => vec![(0, states.first().map_or(0, |column| column.len()))],
        };
        for (start, end) in bounds {
            let part: Vec<ArrayRef> =
                states.iter().map(|column| column.slice(start, end - start)).collect();
            let mut run =
                Run::new(std::slice::from_ref(&part), self.plan.key_width(), self.partitions)?;
            if let Some(ranged) = ranged {
                run.ends = ends(&part[ranged])?;
                run.unique = true;
                self.order.keeps(run.ends, &self.runs);
            }
            self.push(run);
        }
        Ok(())
    }

    fn push(&mut self, run: Run) {
        self.kept += run.rows();
        if self.kept >= MANY_ROWS && self.joins {
            self.partitions = self.partitions.max(MANY_PARTITIONS);
        }
        self.runs.push(run);
    }

    /// Writes everything to disk.
    pub(super) fn spill(&mut self) -> Result<()> {
        self.settle()?;
        self.flush()?;
        // States are wider than rows: one run after the other.
        for mut run in std::mem::take(&mut self.runs) {
            if run.raw {
                self.table.add(&self.plan.of_raw(&run.columns()?)?)?;
                run = Run::new(&[self.table.states()?], self.plan.key_width(), run.partitions())?;
            }
            self.spilled.write(&run)?;
        }
        self.table = Table::new(&self.plan)?;
        // What an empty table takes is too little to fail for.
        self.reservation.resize(self.size());
        Ok(())
    }

    fn size(&self) -> usize {
        let runs: usize = self.runs.iter().map(Run::size).sum();
        let finest = self.finest.as_ref().map_or(0, Finest::size);
        self.table.size() + finest + runs + self.whole.bytes() + self.passed.bytes
    }

    /// Whether nothing is here but what came as a set of groups.
    pub(super) fn is_bare(&self) -> bool {
        let finest = self.finest.as_ref().is_none_or(Finest::is_empty);
        let nothing = self.table.len() == 0 && self.runs.is_empty() && self.passed.is_empty();
        nothing && finest && !self.spilled.used()
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
            && self.plan.spec.limit.is_some_and(|limit| self.table.len() >= limit)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// The number of groups in all, had the rows so far drawn their keys at random: `groups` of
/// `distinct` keys are met after `distinct * x` rows, where `groups / rows = (1 - e^-x) / x`.
pub(super) fn expected_groups(rows: usize, groups: usize) -> usize {
    let met = groups as f64 / rows.max(1) as f64;
    let (mut low, mut high) = (1e-6, 64.0);
    for _ in 0..40 {
        let x: f64 = (low + high) / 2.0;
        // Falls as x grows.
        if (1.0 - (-x).exp()) / x > met { low = x } else { high = x }
    }
    (rows as f64 / low) as usize
}
