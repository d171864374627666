//! Grouping sets by way of all their keys.

use super::super::plan::Plan;
use super::*;

/// The sets over a function whose states merge.
fn of_sets(sets: &PhysicalGroupBy) -> AggregateSpec {
    let mut spec = spec(sets.clone(), AggregateStage::Single);
    spec.aggregates.truncate(1);
    spec.filters.truncate(1);
    let fields = spec.schema.fields().iter().take(spec.schema.fields().len() - 1).cloned();
    spec.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    spec
}

#[test]
fn all_keys_come_first_only_where_states_merge() {
    let plan = |spec: AggregateSpec| Plan::new(&Arc::new(spec)).unwrap();
    let finest = plan(of_sets(&sets())).finest().unwrap();
    assert_eq!(finest.key_width(), 2);
    assert_eq!(finest.set_count(), 1);
    assert!(plan(spec(sets(), AggregateStage::Single)).finest().is_none(), "one state a group");
    assert!(plan(of_sets(&by(&["k", "s"]))).finest().is_none(), "no sets");
}

/// Fewer groups than fit, more than fit that come often, and keys that hardly come twice.
#[tokio::test]
async fn groups_of_each_set_are_those_of_its_rows() {
    let spec = of_sets(&sets());
    for (rows, keys) in
        [(1, 1), (20_000, 10), (300_000, 20_000), (400_000, 60_000), (90_000, 1 << 40)]
    {
        for lanes in [1, 2] {
            let input = input(rows, keys, lanes);
            let groups = expected(&input);
            let total = groups.values().flatten().copied().reduce(|a, b| a + b);
            let mut seen = Groups::new();
            let mut by_first = Groups::new();
            let mut totals = Vec::new();
            for batch in run(&spec, &input).await {
                let ids = batch.column(2).as_primitive::<arrow::datatypes::UInt8Type>();
                let keys = batch.column(0).as_primitive::<Int64Type>();
                let sums = batch.column(3).as_primitive::<Int64Type>();
                for ((id, key), sum) in ids.iter().zip(keys).zip(sums) {
                    let twice = match id {
                        Some(0) => seen.insert(key, sum),
                        Some(1) => by_first.insert(key, sum),
                        _ => {
                            totals.push(sum);
                            None
                        }
                    };
                    assert!(twice.is_none(), "{key:?} came twice");
                }
            }
            assert!(seen == groups, "{rows} rows, {keys} keys, {lanes} lanes");
            assert!(by_first == groups, "{rows} rows, {keys} keys, {lanes} lanes");
            assert_eq!(totals, [total, total]);
        }
    }
}

#[tokio::test]
async fn groups_that_do_not_fit_into_memory_are_those_of_each_set() {
    let spec = of_sets(&sets());
    let input = input(200_000, 60_000, 2);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(6 << 20)))
        .build_arc()
        .unwrap();
    let context = context(TaskContext::default().with_runtime(runtime));
    let got = run_in(&context, &spec, &input).await.unwrap();
    let rows: usize = got.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 2 * expected(&input).len() + 2);
    let sum = |batch: &RecordBatch| -> i64 {
        batch.column(3).as_primitive::<Int64Type>().iter().flatten().sum()
    };
    let total: i64 = expected(&input).values().flatten().sum();
    assert_eq!(got.iter().map(sum).sum::<i64>(), 4 * total);
}
