//! Rows that pass the table by as they are.

use arrow::compute::concat_batches;
use datafusion_execution::memory_pool::MemoryPool;
use datafusion_functions_aggregate::count::count_udaf;
use datafusion_functions_aggregate::sum::sum_udaf;

use super::*;
use crate::cpu::aggregate::plan::Plan;

/// COUNT(1), COUNT(v), SUM(v) where v >= 500, and SUM(v).
fn counts(keys: &[&str]) -> AggregateSpec {
    let function = |udf: Arc<AggregateUDF>, argument: Arc<dyn PhysicalExpr>, name: &str| {
        let builder = AggregateExprBuilder::new(udf, vec![argument]).schema(schema()).alias(name);
        Arc::new(builder.build().unwrap())
    };
    let v = || col("v", &schema()).unwrap();
    let aggregates = vec![
        function(count_udaf(), lit(1_i64), "rows"),
        function(count_udaf(), v(), "values"),
        function(sum_udaf(), v(), "large"),
        function(sum_udaf(), v(), "sum"),
    ];
    let at_least: Arc<dyn PhysicalExpr> =
        Arc::new(BinaryExpr::new(v(), datafusion_expr::Operator::GtEq, lit(500_i64)));
    let plain = spec(by(keys), AggregateStage::Single);
    let keys = plain.group_by.group_schema(&schema()).unwrap();
    let fields = keys.fields().iter().cloned();
    let schema = Schema::new(
        fields.chain(aggregates.iter().map(|function| function.field())).collect::<Vec<_>>(),
    );
    AggregateSpec {
        filters: vec![None, None, Some(at_least), None],
        aggregates,
        schema: Arc::new(schema),
        ..plain
    }
}

type Counts = BTreeMap<Option<i64>, (i64, i64, Option<i64>, Option<i64>)>;

fn counted(lanes: &[Vec<RecordBatch>]) -> Counts {
    let mut groups = Counts::new();
    for batch in lanes.iter().flatten() {
        let v = batch.column(2).as_primitive::<Int64Type>();
        for (k, v) in batch.column(0).as_primitive::<Int64Type>().iter().zip(v) {
            let (rows, values, large, sum) = groups.entry(k).or_default();
            *rows += 1;
            let Some(v) = v else { continue };
            *values += 1;
            *sum = Some(sum.unwrap_or(0) + v);
            if v >= 500 {
                *large = Some(large.unwrap_or(0) + v);
            }
        }
    }
    groups
}

fn got(batches: &[RecordBatch], key: usize, keys: usize) -> Counts {
    let schema = batches[0].schema();
    let all = concat_batches(&schema, batches).unwrap();
    let column = |at: usize| all.column(at).as_primitive::<Int64Type>();
    let groups = (0..all.num_rows()).map(|row| {
        let value = |at: usize| column(at).is_valid(row).then(|| column(at).value(row));
        let count = |at: usize| value(at).unwrap();
        (value(key), (count(keys), count(keys + 1), value(keys + 2), value(keys + 3)))
    });
    let groups: Vec<_> = groups.collect();
    let rows = groups.len();
    let groups: Counts = groups.into_iter().collect();
    assert_eq!(groups.len(), rows, "a group came twice");
    groups
}

/// Nearly unique keys; keys that come twice or so; and enough rows for runs of many partitions.
#[tokio::test]
async fn functions_of_rows_that_passed_by_are_those_of_all_rows() {
    for (rows, groups, lanes) in
        [(300_000, 1 << 40, 1), (300_000, 250_000, 3), (700_000, 1 << 40, 2)]
    {
        let input = input(rows, groups, lanes);
        let expected = counted(&input);
        for (keys, key) in [(&["k"][..], 0), (&["s", "k"], 1)] {
            let spec = counts(keys);
            assert!(Plan::new(&Arc::new(spec.clone())).unwrap().keeps_raw());
            assert!(got(&run(&spec, &input).await, key, keys.len()) == expected, "{rows} {keys:?}");
        }
    }
}

/// A key in nearly every second row, among keys that come once.
#[tokio::test]
async fn a_key_that_comes_often_is_one_group() {
    let lane = |lane: i64| {
        let batches = (0..60).map(move |turn| {
            let k =
                (0..5000_i64).map(|row| (row % 9 > 3).then_some(((turn * 5000 + row) << 8) | lane));
            batch(k.collect(), (0..5000).map(Some).collect())
        });
        batches.collect::<Vec<_>>()
    };
    let input = vec![lane(0), lane(1)];
    let spec = counts(&["s", "k"]);
    assert!(got(&run(&spec, &input).await, 1, 2) == counted(&input));
}

#[tokio::test]
async fn rows_that_passed_by_spill() {
    let input = input(400_000, 1 << 40, 2);
    let context = context(limited(12 << 20, DiskManagerMode::OsTmpDirectory));
    let spec = counts(&["s", "k"]);
    let batches = run_in(&context, &spec, &input).await.unwrap();
    assert!(got(&batches, 1, 2) == counted(&input));
    drop(batches);
    let pool: &Arc<dyn MemoryPool> = &context.task.runtime_env().memory_pool;
    assert_eq!(pool.reserved(), 0);
}

/// COUNT of a string needs a number for a state; the string would be kept.
#[test]
fn wide_arguments_are_not_kept() {
    let mut spec = counts(&["k"]);
    let builder = AggregateExprBuilder::new(count_udaf(), vec![col("s", &schema()).unwrap()])
        .schema(schema());
    spec.aggregates[1] = Arc::new(builder.alias("values").build().unwrap());
    assert!(!Plan::new(&Arc::new(spec.clone())).unwrap().keeps_raw());
    // States are what it is asked for.
    let partial = AggregateSpec { stage: AggregateStage::Partial, ..counts(&["k"]) };
    assert!(!Plan::new(&Arc::new(partial)).unwrap().keeps_raw());
}
