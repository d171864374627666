//! The filter that the probe side's source gets.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::{JoinType, NullEquality};
use datafusion_physical_expr::expressions::{DynamicFilterPhysicalExpr, lit};

use super::*;
use crate::cpu::join::row_test;
use crate::engine::Sealed;

fn with_filter(
    build: &SchemaRef,
    probe: &SchemaRef,
    null_equality: NullEquality,
) -> (Arc<JoinSpec>, Arc<DynamicFilterPhysicalExpr>) {
    let mut spec = spec(&[("b", "p")], None, JoinType::Inner, null_equality, build, probe);
    let children = spec.on.iter().map(|(_, probe)| Arc::clone(probe)).collect();
    let filter = Arc::new(DynamicFilterPhysicalExpr::new(children, lit(true)));
    spec.dynamic_filter = Some(Arc::clone(&filter));
    (Arc::new(spec), filter)
}

fn ints(values: Vec<Option<i32>>) -> RecordBatch {
    batch(vec![("b", Arc::new(Int32Array::from(values)) as _)])
}

fn probe_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("p", DataType::Int32, true)]))
}

async fn seal(sink: &BuildSink, lane: usize, batch: RecordBatch) -> Arc<dyn Sealed> {
    let mut local = sink.local(lane).unwrap();
    local.push(Morsel::from_batch(batch)).await.unwrap();
    sink.seal(vec![local]).await.unwrap()
}

async fn filter_of(values: Vec<Option<i32>>, null_equality: NullEquality) -> String {
    let build = ints(values);
    let (spec, filter) = with_filter(&build.schema(), &probe_schema(), null_equality);
    let context = context(100);
    let sink = BuildSink::new(&spec, &pipeline(&spec, Scope::Shared, 1), &context).unwrap();
    seal(&sink, 0, build).await;
    filter.wait_complete().await;
    filter.current().unwrap().to_string()
}

#[tokio::test]
async fn few_values_are_listed() {
    let filter = filter_of(vec![Some(3), Some(9), None, Some(3)], NullEquality::NullEqualsNothing);
    let filter = filter.await;
    assert!(filter.contains("p@0 >= 3 AND p@0 <= 9"), "{filter}");
    assert!(filter.contains("IN"), "{filter}");
    assert!(!filter.contains("IS NULL"), "{filter}");
    let filter = filter_of(vec![Some(3), None], NullEquality::NullEqualsNull).await;
    assert!(filter.contains("IS NULL OR"), "{filter}");
}

#[tokio::test]
async fn many_values_are_bounded() {
    let filter = filter_of((0..1000).map(Some).collect(), NullEquality::NullEqualsNothing).await;
    assert_eq!(filter, "p@0 >= 0 AND p@0 <= 999 AND may_match(p@0)");
}

#[tokio::test]
async fn nothing_matches_an_empty_build_side() {
    let filter = filter_of(vec![], NullEquality::NullEqualsNothing).await;
    assert_eq!(filter, "false");
}

#[tokio::test]
async fn partitions_speak_together() {
    let build = ints(vec![Some(1), Some(2)]);
    let (spec, filter) =
        with_filter(&build.schema(), &probe_schema(), NullEquality::NullEqualsNothing);
    let context = context(100);
    let sink = BuildSink::new(&spec, &pipeline(&spec, Scope::PerLane, 3), &context).unwrap();
    seal(&sink, 2, build).await;
    seal(&sink, 0, ints(vec![Some(40)])).await;
    assert_eq!(filter.current().unwrap().to_string(), "true");
    seal(&sink, 1, ints(vec![])).await;
    filter.wait_complete().await;
    let made = filter.current().unwrap().to_string();
    assert!(made.contains("p@0 >= 1 AND p@0 <= 40"), "{made}");
}

#[tokio::test]
async fn an_unfinished_build_leaves_the_filter_but_completes_it() {
    let build = ints(vec![Some(1)]);
    let (spec, filter) =
        with_filter(&build.schema(), &probe_schema(), NullEquality::NullEqualsNothing);
    let context = context(100);
    let sink = BuildSink::new(&spec, &pipeline(&spec, Scope::PerLane, 2), &context).unwrap();
    seal(&sink, 0, build).await;
    drop(sink);
    filter.wait_complete().await;
    assert_eq!(filter.current().unwrap().to_string(), "true");
}

#[tokio::test]
async fn bounds_let_zeros_of_either_sign_pass() {
    let build = batch(vec![("b", Arc::new(Float64Array::from(vec![0.0; 200])) as _)]);
    let probe = Arc::new(Schema::new(vec![Field::new("p", DataType::Float64, true)]));
    let (spec, filter) = with_filter(&build.schema(), &probe, NullEquality::NullEqualsNothing);
    let context = context(100);
    let sink = BuildSink::new(&spec, &pipeline(&spec, Scope::Shared, 1), &context).unwrap();
    seal(&sink, 0, build).await;
    assert_eq!(filter.current().unwrap().to_string(), "p@0 >= -0 AND p@0 <= 0 AND may_match(p@0)");
}

/// The table itself is a part of the filter while the join runs, and lets every row pass afterwards.
#[tokio::test]
async fn rows_are_tested_by_the_table_while_it_lives() {
    let build = ints((0..1000).map(|i| Some(i * 3)).chain([None]).collect());
    let (spec, filter) =
        with_filter(&build.schema(), &probe_schema(), NullEquality::NullEqualsNothing);
    let context = context(100);
    let sink = BuildSink::new(&spec, &pipeline(&spec, Scope::Shared, 1), &context).unwrap();
    let state = seal(&sink, 0, build).await;
    let test = row_test(&filter.current().unwrap());
    assert_eq!(test.to_string(), "may_match(p@0)");
    let probe = Int32Array::from(vec![Some(0), Some(1), None, Some(2997), Some(3000), Some(-3)]);
    let probe = RecordBatch::try_new(probe_schema(), vec![Arc::new(probe)]).unwrap();
    let passed = || {
        let mask = test.evaluate(&probe).unwrap().into_array(6).unwrap();
        mask.as_boolean().iter().map(Option::unwrap).collect::<Vec<_>>()
    };
    assert_eq!(passed(), [true, false, false, true, false, false]);
    drop(state);
    assert_eq!(passed(), [true; 6]);
    // Whoever prunes files by it sees nothing.
    assert_eq!(test.snapshot().unwrap().unwrap().to_string(), "true");
}
