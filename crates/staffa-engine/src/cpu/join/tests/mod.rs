//! Drives build sinks and probes directly, and DataFusion's joins beside them.

mod against;
mod dynamic;
mod limits;
mod loops;
mod parts;
mod shapes;
mod spill;

use std::future::poll_fn;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::{JoinType, NullEquality, Result};
use datafusion_execution::TaskContext;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::common::collect;
use datafusion_physical_plan::joins::utils::{JoinFilter, build_join_schema};
use datafusion_physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_physical_plan::test::TestMemoryExec;

use super::{BuildSink, Probe};
use crate::context::{CancelFlag, StaffaRuntime};
use crate::engine::{Lane, OpFactory, Sink};
use crate::plan::{JoinKind, JoinSpec, Op, OpKind, Overflow, Pipeline, Scope, SinkKind, Source};
use crate::{LaneOp, Morsel, RunContext};

pub(super) const JOIN_TYPES: [JoinType; 10] = [
    JoinType::Inner,
    JoinType::Left,
    JoinType::Right,
    JoinType::Full,
    JoinType::LeftSemi,
    JoinType::LeftAnti,
    JoinType::LeftMark,
    JoinType::RightSemi,
    JoinType::RightAnti,
    JoinType::RightMark,
];

pub(super) fn context(morsel_rows: usize) -> Arc<RunContext> {
    context_of(Arc::new(TaskContext::default()), morsel_rows)
}

pub(super) fn context_of(task: Arc<TaskContext>, morsel_rows: usize) -> Arc<RunContext> {
    Arc::new(RunContext {
        task,
        runtime: Arc::new(StaffaRuntime::new(2).unwrap()),
        cancel: CancelFlag::default(),
        morsel_rows,
        lifter: None,
    })
}

/// Pairs of columns of the two sides by name.
pub(super) fn on(
    keys: &[(&str, &str)],
    build: &Schema,
    probe: &Schema,
) -> Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)> {
    keys.iter()
        .map(|(left, right)| {
            (
                Arc::new(Column::new_with_schema(left, build).unwrap()) as _,
                Arc::new(Column::new_with_schema(right, probe).unwrap()) as _,
            )
        })
        .collect()
}

/// A join of all columns.
pub(super) fn spec(
    keys: &[(&str, &str)],
    filter: Option<JoinFilter>,
    join_type: JoinType,
    null_equality: NullEquality,
    build: &SchemaRef,
    probe: &SchemaRef,
) -> JoinSpec {
    let (schema, output) = build_join_schema(build, probe, &join_type);
    JoinSpec {
        kind: if keys.is_empty() { JoinKind::Loop } else { JoinKind::Hash },
        on: on(keys, build, probe),
        filter,
        join_type,
        null_equality,
        null_aware: false,
        partitioned: false,
        build_schema: Arc::clone(build),
        probe_schema: Arc::clone(probe),
        output,
        schema: Arc::new(schema),
        fetch: None,
        dynamic_filter: None,
        sideways: Vec::new(),
        for_device: false,
    }
}

pub(super) fn pipeline(spec: &Arc<JoinSpec>, scope: Scope, lanes: usize) -> Pipeline {
    Pipeline {
        id: 0,
        source: Source::Input(0),
        source_schema: Arc::clone(&spec.build_schema),
        ops: Vec::new(),
        sink: SinkKind::Build(Arc::clone(spec), Overflow::Spills),
        scope,
        after: Vec::new(),
        lanes,
        schema: Arc::clone(&spec.build_schema),
        metrics: ExecutionPlanMetricsSet::new(),
    }
}

pub(super) fn probe_of(spec: &Arc<JoinSpec>, context: &Arc<RunContext>) -> Result<Probe> {
    let op = Op {
        kind: OpKind::Probe(Arc::clone(spec), 0, Scope::Shared),
        input: Arc::clone(&spec.probe_schema),
        schema: Arc::clone(&spec.schema),
        metrics: ExecutionPlanMetricsSet::new(),
    };
    Probe::new(spec, &op, context, None)
}

async fn drain(
    lane: &mut Box<dyn LaneOp>,
    schema: &SchemaRef,
    out: &mut Vec<RecordBatch>,
) -> Result<()> {
    while let Some(morsel) = poll_fn(|cx| lane.poll_next(cx)).await? {
        out.push(morsel.into_batch(schema)?);
    }
    Ok(())
}

/// Joins: a vector of batches per build lane and per probe lane.
pub(super) async fn ours(
    spec: &Arc<JoinSpec>,
    build: &[Vec<RecordBatch>],
    probe: &[Vec<RecordBatch>],
    context: &Arc<RunContext>,
) -> Result<Vec<RecordBatch>> {
    let sink = BuildSink::new(spec, &pipeline(spec, Scope::Shared, build.len()), context)?;
    join_with(sink, spec, build, probe, context).await
}

/// As [`ours`], with a sink of the caller's.
pub(super) async fn join_with(
    sink: BuildSink,
    spec: &Arc<JoinSpec>,
    build: &[Vec<RecordBatch>],
    probe: &[Vec<RecordBatch>],
    context: &Arc<RunContext>,
) -> Result<Vec<RecordBatch>> {
    let mut locals = Vec::new();
    for (lane, batches) in build.iter().enumerate() {
        let mut local = sink.local(lane)?;
        for batch in batches {
            local.push(Morsel::from_batch(batch.clone())).await?;
        }
        locals.push(local);
    }
    let state = sink.seal(locals).await?;
    let factory = probe_of(spec, context)?;
    let mut out = Vec::new();
    let mut lanes = Vec::new();
    for index in 0..probe.len() {
        let lane = Lane { index, sharers: probe.len() };
        lanes.push(factory.lane(lane, Some(&state))?);
    }
    for (lane, batches) in lanes.iter_mut().zip(probe) {
        for batch in batches {
            if lane.done() {
                break;
            }
            if batch.num_rows() > 0 {
                lane.push(Morsel::from_batch(batch.clone()))?;
            }
            drain(lane, &spec.schema, &mut out).await?;
        }
        lane.end()?;
        drain(lane, &spec.schema, &mut out).await?;
    }
    Ok(out)
}

/// The same by DataFusion.
pub(super) async fn theirs(
    spec: &JoinSpec,
    build: &[Vec<RecordBatch>],
    probe: &[Vec<RecordBatch>],
) -> Result<Vec<RecordBatch>> {
    let build: Vec<RecordBatch> = build.concat();
    let probe: Vec<RecordBatch> = probe.concat();
    let left = TestMemoryExec::try_new_exec(&[build], Arc::clone(&spec.build_schema), None)?;
    let right = TestMemoryExec::try_new_exec(&[probe], Arc::clone(&spec.probe_schema), None)?;
    let plan: Arc<dyn ExecutionPlan> = match spec.kind {
        JoinKind::Hash => Arc::new(HashJoinExec::try_new(
            left,
            right,
            spec.on.clone(),
            spec.filter.clone(),
            &spec.join_type,
            None,
            PartitionMode::CollectLeft,
            spec.null_equality,
            spec.null_aware,
        )?),
        JoinKind::Loop => Arc::new(NestedLoopJoinExec::try_new(
            left,
            right,
            spec.filter.clone(),
            &spec.join_type,
            None,
        )?),
    };
    collect(plan.execute(0, Arc::new(TaskContext::default()))?).await
}

/// The rows as text, sorted.
pub(super) fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = in_order(batches);
    rows.sort_unstable();
    rows
}

/// The rows as text, in order.
pub(super) fn in_order(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("~");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|c| c.value(row).to_string()).collect();
            rows.push(cells.join("|"));
        }
    }
    rows
}

/// A small generator of pseudo-random numbers.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

pub(super) fn batch(columns: Vec<(&str, arrow::array::ArrayRef)>) -> RecordBatch {
    let columns: Vec<_> = columns.into_iter().map(|(name, array)| (name, array, true)).collect();
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// Cuts a batch into slices of at most `rows` rows.
pub(super) fn slices(batch: &RecordBatch, rows: usize) -> Vec<RecordBatch> {
    (0..batch.num_rows())
        .step_by(rows)
        .map(|at| batch.slice(at, rows.min(batch.num_rows() - at)))
        .collect()
}
