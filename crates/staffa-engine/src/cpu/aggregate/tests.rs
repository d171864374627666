//! The sink against straightforward code.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_execution::TaskContext;
use datafusion_execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion_execution::memory_pool::GreedyMemoryPool;
use datafusion_execution::runtime_env::RuntimeEnvBuilder;
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::{BinaryExpr, col, lit};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::aggregates::PhysicalGroupBy;
use futures::StreamExt;

mod clustered;
mod deal;
mod finest;
mod raw;
mod states;

use super::AggregateSink;
use crate::engine::Sink;
use crate::plan::{AggregateSpec, AggregateStage, Pipeline, Scope, SinkKind, Source};
use crate::{Morsel, RunContext, StaffaRuntime};

/// A sum of Int64, with states for groups or (`slow`) only for one group at a time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Total {
    slow: bool,
    signature: Signature,
}

#[derive(Debug)]
struct One(Option<i64>);

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Int64Type>().iter().flatten() {
            self.0 = Some(self.0.unwrap_or(0).wrapping_add(value));
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(self.0))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

impl AggregateUDFImpl for Total {
    fn name(&self) -> &'static str {
        "total"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One(None)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        !self.slow
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(PrimitiveGroupsAccumulator::<Int64Type, _>::new(
            &DataType::Int64,
            |total: &mut i64, value| *total = total.wrapping_add(value),
        )))
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
    ]))
}

fn total(slow: bool) -> Arc<AggregateFunctionExpr> {
    let signature = Signature::any(1, Volatility::Immutable);
    let function = Arc::new(AggregateUDF::new_from_impl(Total { slow, signature }));
    let arguments = vec![col("v", &schema()).unwrap()];
    let builder = AggregateExprBuilder::new(function, arguments);
    Arc::new(builder.schema(schema()).alias("total").build().unwrap())
}

fn by(keys: &[&str]) -> PhysicalGroupBy {
    let key = |name: &&str| (col(name, &schema()).unwrap(), (*name).to_string());
    PhysicalGroupBy::new_single(keys.iter().map(key).collect())
}

/// An aggregation of `schema()` by `group_by`, with the slow and the fast sum.
fn spec(group_by: PhysicalGroupBy, stage: AggregateStage) -> AggregateSpec {
    let aggregates = vec![total(false), total(true)];
    let mut fields: Vec<Arc<Field>> = Vec::new();
    fields.extend(group_by.group_schema(&schema()).unwrap().fields().iter().cloned());
    for function in &aggregates {
        if stage.writes_states() {
            fields.extend(function.state_fields().unwrap());
        } else {
            fields.push(function.field());
        }
    }
    AggregateSpec {
        stage,
        group_by: Arc::new(group_by),
        filters: vec![None; aggregates.len()],
        aggregates,
        input_schema: schema(),
        schema: Arc::new(Schema::new(fields)),
        limit: None,
        top: None,
        dynamic_filter: None,
    }
}

/// The second half of `partial`.
fn last(partial: &AggregateSpec) -> AggregateSpec {
    let single = spec((*partial.group_by).clone(), AggregateStage::Single);
    AggregateSpec {
        stage: AggregateStage::Final,
        group_by: Arc::new(partial.group_by.as_final()),
        input_schema: Arc::clone(&partial.schema),
        ..single
    }
}

fn context(task: TaskContext) -> Arc<RunContext> {
    Arc::new(RunContext {
        task: Arc::new(task),
        runtime: Arc::new(StaffaRuntime::new(2).unwrap()),
        cancel: crate::CancelFlag::default(),
        morsel_rows: 8192,
        lifter: None,
    })
}

/// A pipeline of so many lanes that ends in the aggregation.
fn pipeline(spec: &Arc<AggregateSpec>, lanes: usize) -> Pipeline {
    Pipeline {
        id: 0,
        source: Source::Input(0),
        source_schema: Arc::clone(&spec.input_schema),
        ops: Vec::new(),
        sink: SinkKind::Aggregate(Arc::clone(spec)),
        scope: Scope::Shared,
        after: Vec::new(),
        lanes,
        schema: Arc::clone(&spec.input_schema),
        metrics: datafusion_physical_plan::metrics::ExecutionPlanMetricsSet::new(),
    }
}

async fn run_in(
    context: &Arc<RunContext>,
    spec: &AggregateSpec,
    lanes: &[Vec<RecordBatch>],
) -> Result<Vec<RecordBatch>> {
    let spec = Arc::new(spec.clone());
    let pipeline = pipeline(&spec, lanes.len());
    let sink = AggregateSink::new(&spec, &pipeline, context)?;
    let mut locals = Vec::new();
    for (lane, batches) in lanes.iter().enumerate() {
        let mut local = sink.local(lane)?;
        for batch in batches {
            if !local.done() {
                local.push(Morsel::from_batch(batch.clone())).await?;
            }
        }
        locals.push(local);
    }
    let sealed = sink.seal(locals).await?;
    let mut batches = Vec::new();
    for lane in 0..2 {
        let mut morsels = Arc::clone(&sealed).open(lane, 2);
        while let Some(morsel) = morsels.next().await {
            batches.push(morsel?.into_batch(&spec.schema)?);
        }
    }
    Ok(batches)
}

async fn run(spec: &AggregateSpec, lanes: &[Vec<RecordBatch>]) -> Vec<RecordBatch> {
    let context = context(TaskContext::default());
    run_in(&context, spec, lanes).await.unwrap()
}

fn batch(k: Vec<Option<i64>>, v: Vec<Option<i64>>) -> RecordBatch {
    let s: StringArray = k.iter().map(|k| k.map(|k| format!("key {k}"))).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(k)), Arc::new(s), Arc::new(Int64Array::from(v))];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// `rows` rows of about `groups` keys over `lanes` lanes, some keys and values NULL.
fn input(rows: usize, groups: u64, lanes: usize) -> Vec<Vec<RecordBatch>> {
    let mut state = 42_u64;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        (state >> 33) % below
    };
    let mut dealt = vec![Vec::new(); lanes];
    for (turn, start) in (0..rows).step_by(5000).enumerate() {
        let length = 5000.min(rows - start);
        let k = (0..length).map(|_| (next(10) > 0).then(|| next(groups) as i64));
        let k = k.collect();
        let v = (0..length).map(|_| (next(4) > 0).then(|| next(1000) as i64));
        dealt[turn % lanes].push(batch(k, v.collect()));
    }
    dealt
}

type Groups = BTreeMap<Option<i64>, Option<i64>>;

fn expected(lanes: &[Vec<RecordBatch>]) -> Groups {
    let mut groups = Groups::new();
    for batch in lanes.iter().flatten() {
        let k = batch.column(0).as_primitive::<Int64Type>();
        let v = batch.column(2).as_primitive::<Int64Type>();
        for (k, v) in k.iter().zip(v) {
            let total = groups.entry(k).or_insert(None);
            if let Some(v) = v {
                *total = Some(total.unwrap_or(0) + v);
            }
        }
    }
    groups
}

/// The groups of batches with the key `k` first and both sums last.
fn found(batches: &[RecordBatch]) -> Groups {
    let mut groups = Groups::new();
    for batch in batches {
        let column = |at: usize| batch.column(at).as_primitive::<Int64Type>().clone();
        let width = batch.num_columns();
        let (k, fast, slow) = (column(0), column(width - 2), column(width - 1));
        assert_eq!(fast, slow);
        for (k, v) in k.iter().zip(&fast) {
            assert!(groups.insert(k, v).is_none(), "a group came twice");
        }
    }
    groups
}

#[tokio::test]
async fn groups_by_one_and_two_keys() {
    for (rows, groups, lanes) in [(0, 1, 1), (1, 1, 1), (20_000, 7, 1), (20_000, 300, 3)] {
        let input = input(rows, groups, lanes);
        for keys in [&["k"][..], &["k", "s"]] {
            let got = run(&spec(by(keys), AggregateStage::Single), &input).await;
            assert_eq!(found(&got), expected(&input));
        }
    }
}

#[tokio::test]
async fn tables_overflow_and_pass_unique_keys_by() {
    for lanes in [1, 3] {
        let input = input(300_000, 100_000_000, lanes);
        let got = run(&spec(by(&["k"]), AggregateStage::Single), &input).await;
        assert_eq!(found(&got), expected(&input));
    }
}

#[tokio::test]
async fn halves_make_a_whole() {
    for groups in [5, 90_000] {
        let input = input(200_000, groups, 2);
        let partial = spec(by(&["k", "s"]), AggregateStage::Partial);
        let mut states = Vec::new();
        for lane in &input {
            states.push(run(&partial, std::slice::from_ref(lane)).await);
        }
        let got = run(&last(&partial), &states).await;
        assert_eq!(found(&got), expected(&input));
        let reduce = AggregateSpec {
            stage: AggregateStage::Reduce,
            group_by: Arc::new(partial.group_by.as_final()),
            input_schema: Arc::clone(&partial.schema),
            ..partial.clone()
        };
        let reduced = run(&reduce, &states).await;
        let got = run(&last(&partial), &[reduced]).await;
        assert_eq!(found(&got), expected(&input));
    }
}

#[tokio::test]
async fn one_lane_keeps_the_order_of_first_sight() {
    let keys = [3, -1, i64::MAX, 0, i64::MIN, 2].map(Some);
    let rows = keys.iter().chain(&[None]).chain(&keys).copied().collect();
    let input = vec![vec![batch(rows, vec![Some(1); 13])]];
    let got = run(&spec(by(&["k"]), AggregateStage::Single), &input).await;
    let order: Vec<_> = got[0].column(0).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(order[..6], keys);
    assert_eq!(order[6], None);
}

#[tokio::test]
async fn without_keys_there_is_one_row() {
    for stage in [AggregateStage::Single, AggregateStage::Partial] {
        let got = run(&spec(by(&[]), stage), &[Vec::new(), Vec::new()]).await;
        assert_eq!(got.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
        assert!(got[0].column(0).is_null(0));
    }
    let input = input(12_000, 5, 2);
    let got = run(&spec(by(&[]), AggregateStage::Single), &input).await;
    let total: i64 = expected(&input).values().flatten().sum();
    assert_eq!(got[0].column(0).as_primitive::<Int64Type>().value(0), total);
}

fn sets() -> PhysicalGroupBy {
    let null = |data_type: DataType, name: &str| {
        let null = ScalarValue::try_from(&data_type).unwrap();
        (lit(null), name.to_string())
    };
    PhysicalGroupBy::new(
        by(&["k", "s"]).expr().to_vec(),
        vec![null(DataType::Int64, "k"), null(DataType::Utf8, "s")],
        vec![vec![false, false], vec![false, true], vec![true, true], vec![true, true]],
        true,
    )
}

#[tokio::test]
async fn grouping_sets() {
    let input = input(6_000, 50, 2);
    let groups = expected(&input);
    let got = run(&spec(sets(), AggregateStage::Single), &input).await;
    let rows: usize = got.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 2 * groups.len() + 2);
    let total: i64 = groups.values().flatten().sum();
    for batch in &got {
        let ids = batch.column(2).as_primitive::<arrow::datatypes::UInt8Type>();
        let totals = batch.column(3).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            match ids.value(row) {
                0 => {}
                1 => assert!(batch.column(1).is_null(row)),
                // The two empty sets: all keys absent, and the ordinal above them.
                3 | 7 => assert_eq!(totals.value(row), total),
                other => assert_eq!(other, 0, "no such set"),
            }
        }
    }
}

#[tokio::test]
async fn empty_grouping_sets_without_rows() {
    let got = run(&spec(sets(), AggregateStage::Single), &[Vec::new(), Vec::new()]).await;
    assert_eq!(got.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    assert!(got[0].column(3).is_null(0) && got[0].column(4).is_null(0));
}

#[tokio::test]
async fn filters_choose_rows_per_function() {
    let input = input(9_000, 20, 2);
    let positive: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(
        col("v", &schema()).unwrap(),
        datafusion_expr::Operator::GtEq,
        lit(500_i64),
    ));
    for keys in [&["k"][..], &[]] {
        let mut spec = spec(by(keys), AggregateStage::Single);
        spec.filters = vec![Some(Arc::clone(&positive)), Some(Arc::clone(&positive))];
        let got = run(&spec, &input).await;
        let columns = got.iter().map(|b| b.column(keys.len()).as_primitive::<Int64Type>());
        let sum: i64 = columns.flat_map(|c| c.iter().flatten().collect::<Vec<_>>()).sum();
        let all = input.iter().flatten();
        let values = all.flat_map(|b| b.column(2).as_primitive::<Int64Type>().iter().flatten());
        assert_eq!(sum, values.filter(|v| *v >= 500).sum::<i64>());
    }
}

#[tokio::test]
async fn a_distinct_with_a_limit_stops_early() {
    let input = input(50_000, 1_000, 1);
    let mut spec = spec(by(&["k"]), AggregateStage::Single);
    spec.limit = Some(10);
    // With functions every row counts.
    assert_eq!(found(&run(&spec, &input).await), expected(&input));
    spec.aggregates.clear();
    spec.filters.clear();
    spec.schema = Arc::new(spec.schema.project(&[0]).unwrap());
    let rows: usize = run(&spec, &input).await.iter().map(RecordBatch::num_rows).sum();
    assert!((10..1_001).contains(&rows) && rows < expected(&input).len());
}

fn limited(bytes: usize, disk: DiskManagerMode) -> TaskContext {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(bytes)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk))
        .build_arc()
        .unwrap();
    TaskContext::default().with_runtime(runtime)
}

#[tokio::test]
async fn memory_limits_spill() {
    let input = input(250_000, 100_000, 2);
    let context = context(limited(6 << 20, DiskManagerMode::OsTmpDirectory));
    let spec = spec(by(&["s", "k"]), AggregateStage::Single);
    let got = run_in(&context, &spec, &input).await.unwrap();
    let keys_last: Vec<RecordBatch> =
        got.iter().map(|b| b.project(&[1, 0, 2, 3]).unwrap()).collect();
    assert_eq!(found(&keys_last), expected(&input));
    drop((got, keys_last));
    assert_eq!(context.task.runtime_env().memory_pool.reserved(), 0);
}

#[tokio::test]
async fn memory_limits_without_a_disk_are_errors() {
    let input = input(250_000, 100_000, 2);
    let context = context(limited(1 << 20, DiskManagerMode::Disabled));
    let spec = spec(by(&["k"]), AggregateStage::Single);
    let error = run_in(&context, &spec, &input).await.unwrap_err();
    assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{error}");
}
