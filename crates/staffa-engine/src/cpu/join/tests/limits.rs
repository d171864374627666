//! Fan-out in chunks, memory limits, cancelling.

use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, StringArray};
use datafusion_common::{JoinType, NullEquality};
use datafusion_execution::TaskContext;
use datafusion_execution::runtime_env::RuntimeEnvBuilder;

use super::*;

fn constant(name: &str, rows: usize) -> RecordBatch {
    batch(vec![(name, Arc::new(Int64Array::from(vec![5; rows])) as _)])
}

#[tokio::test]
async fn fan_out_comes_in_chunks() {
    let build = constant("b", 50_000);
    let probe = constant("p", 7);
    let of = |join_type| {
        Arc::new(spec(
            &[("b", "p")],
            None,
            join_type,
            NullEquality::NullEqualsNothing,
            &build.schema(),
            &probe.schema(),
        ))
    };
    let (b, p) = ([vec![build.clone()]], [vec![probe.clone()]]);
    let out = ours(&of(JoinType::Inner), &b, &p, &context(1000)).await.unwrap();
    assert!(out.iter().all(|batch| batch.num_rows() <= 1000));
    assert_eq!(out.iter().map(RecordBatch::num_rows).sum::<usize>(), 350_000);
    let out = ours(&of(JoinType::LeftSemi), &b, &p, &context(1000)).await.unwrap();
    assert!(out.iter().all(|batch| batch.num_rows() <= 1000));
    assert_eq!(out.iter().map(RecordBatch::num_rows).sum::<usize>(), 50_000);
    let out = ours(&of(JoinType::RightSemi), &b, &p, &context(1000)).await.unwrap();
    assert_eq!(out.iter().map(RecordBatch::num_rows).sum::<usize>(), 7);
}

#[tokio::test]
async fn a_memory_limit_changes_no_answer_and_all_memory_goes_back() {
    let text: StringArray = (0..20_000).map(|i| Some(format!("a longer text {i}"))).collect();
    let build = batch(vec![
        ("b", Arc::new(Int32Array::from_iter_values(0..20_000)) as _),
        ("t", Arc::new(text) as _),
    ]);
    let probe = batch(vec![("p", Arc::new(Int32Array::from_iter_values(0..100)) as _)]);
    let spec = Arc::new(spec(
        &[("b", "p")],
        None,
        JoinType::Inner,
        NullEquality::NullEqualsNothing,
        &build.schema(),
        &probe.schema(),
    ));
    let run = |bytes: usize| {
        let (spec, build, probe) = (Arc::clone(&spec), slices(&build, 1000), probe.clone());
        async move {
            let runtime =
                RuntimeEnvBuilder::new().with_memory_limit(bytes, 1.0).build_arc().unwrap();
            let pool = Arc::clone(&runtime.memory_pool);
            let task = Arc::new(TaskContext::default().with_runtime(runtime));
            let out = ours(&spec, &[build], &[vec![probe]], &context_of(task, 8192)).await;
            assert_eq!(pool.reserved(), 0);
            out
        }
    };
    let in_memory = rows(&run(10_000_000).await.unwrap());
    assert_eq!(in_memory.len(), 100);
    assert_eq!(rows(&run(100_000).await.unwrap()), in_memory);
}

#[tokio::test]
async fn a_cancelled_region_stops() {
    let build = constant("b", 10);
    let probe = constant("p", 10);
    let spec = Arc::new(spec(
        &[("b", "p")],
        None,
        JoinType::Inner,
        NullEquality::NullEqualsNothing,
        &build.schema(),
        &probe.schema(),
    ));
    let context = context(10);
    context.cancel.cancel();
    let out = ours(&spec, &[vec![build]], &[vec![probe]], &context).await;
    assert!(out.is_err());
}

#[tokio::test]
async fn strings_beyond_the_offsets_join() {
    let texts = |from: i32, to: i32| -> StringArray {
        (from..to).map(|i| (i % 5 != 4).then(|| format!("text {}", i % 40))).collect()
    };
    let build = batch(vec![
        ("b", Arc::new(texts(0, 60)) as _),
        ("t", Arc::new(texts(60, 120)) as _),
        ("i", Arc::new(Int32Array::from_iter_values(0..60)) as _),
    ]);
    let probe = batch(vec![("p", Arc::new(texts(20, 80)) as _)]);
    let context = context(16);
    for join_type in JOIN_TYPES {
        let spec = Arc::new(spec(
            &[("b", "p")],
            None,
            join_type,
            NullEquality::NullEqualsNull,
            &build.schema(),
            &probe.schema(),
        ));
        let (b, p) = ([slices(&build, 7)], [slices(&probe, 9)]);
        let pipeline = pipeline(&spec, Scope::Shared, 1);
        let sink = BuildSink::new(&spec, &pipeline, &context).unwrap().with_offset_limit(50);
        let ours = join_with(sink, &spec, &b, &p, &context).await.unwrap();
        let theirs = theirs(&spec, &b, &p).await.unwrap();
        assert_eq!(rows(&ours), rows(&theirs), "{join_type}");
    }
}
