//! Outputs of some columns or none, in any order, and keys that are no columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};
use datafusion_common::{JoinSide, JoinType, NullEquality, ScalarValue};
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{BinaryExpr, lit};

use super::*;

fn sides() -> (RecordBatch, RecordBatch) {
    let ints = |values: Vec<Option<i32>>| -> ArrayRef { Arc::new(Int32Array::from(values)) };
    let build = batch(vec![
        ("b", ints(vec![Some(1), Some(2), None, Some(2), Some(7)])),
        ("bt", Arc::new(StringArray::from(vec!["p", "q", "r", "s", "t"]))),
    ]);
    let probe = batch(vec![
        ("pt", Arc::new(StringArray::from(vec!["u", "v", "w", "x"]))),
        ("p", ints(vec![Some(2), Some(3), None, Some(1)])),
    ]);
    (build, probe)
}

pub(super) fn select(spec: &JoinSpec, columns: &[usize]) -> JoinSpec {
    JoinSpec {
        kind: spec.kind,
        on: spec.on.clone(),
        filter: spec.filter.clone(),
        join_type: spec.join_type,
        null_equality: spec.null_equality,
        null_aware: spec.null_aware,
        partitioned: spec.partitioned,
        build_schema: Arc::clone(&spec.build_schema),
        probe_schema: Arc::clone(&spec.probe_schema),
        output: columns.iter().map(|&i| spec.output[i].clone()).collect(),
        schema: Arc::new(spec.schema.project(columns).unwrap()),
        fetch: None,
        dynamic_filter: None,
        sideways: Vec::new(),
        for_device: false,
    }
}

#[tokio::test]
async fn outputs_of_some_columns() {
    let (build, probe) = sides();
    let (b, p) = ([slices(&build, 2)], [slices(&probe, 3)]);
    for keys in [&[("b", "p")][..], &[]] {
        for join_type in JOIN_TYPES {
            let all = spec(
                keys,
                None,
                join_type,
                NullEquality::NullEqualsNothing,
                &build.schema(),
                &probe.schema(),
            );
            let theirs = theirs(&all, &b, &p).await.unwrap();
            let width = all.output.len();
            let reversed: Vec<usize> = (0..width).rev().collect();
            for columns in [vec![], vec![width - 1], vec![0], reversed, vec![0, 0]] {
                let some = Arc::new(select(&all, &columns));
                let ours = ours(&some, &b, &p, &context(4)).await.unwrap();
                let theirs: Vec<RecordBatch> =
                    theirs.iter().map(|batch| batch.project(&columns).unwrap()).collect();
                assert_eq!(rows(&ours), rows(&theirs), "{join_type} {keys:?} {columns:?}");
            }
        }
    }
}

#[tokio::test]
async fn keys_that_are_expressions() {
    let (build, probe) = sides();
    let (b, p) = ([slices(&build, 2)], [slices(&probe, 3)]);
    for join_type in JOIN_TYPES {
        let mut spec = spec(
            &[("b", "p"), ("bt", "pt")],
            None,
            join_type,
            NullEquality::NullEqualsNull,
            &build.schema(),
            &probe.schema(),
        );
        let one = lit(ScalarValue::Int32(Some(1)));
        let (left, right) = spec.on[0].clone();
        let more = Arc::new(BinaryExpr::new(left, Operator::Plus, one));
        let text = lit("same");
        spec.on = vec![(more, right), (Arc::clone(&text), text)];
        let spec = Arc::new(spec);
        let ours = ours(&spec, &b, &p, &context(4)).await.unwrap();
        let theirs = theirs(&spec, &b, &p).await.unwrap();
        assert_eq!(rows(&ours), rows(&theirs), "{join_type}");
        if join_type == JoinType::Inner {
            assert_eq!(rows(&ours).len(), 4);
        }
    }
}

/// Too far apart to be addresses: keys of all 64 bits, and those of a range that the probe side goes beyond.
#[tokio::test]
async fn unique_keys_far_apart() {
    let spread = |i: i64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64);
    let all_bits = (0..3000).map(spread).chain([i64::MIN, i64::MAX, -1]).collect::<Vec<_>>();
    let within = (0..3000).map(|i| 1_000_000 + i * i * 7919).collect::<Vec<_>>();
    for keys in [all_bits, within] {
        let beyond = [i64::MIN, -1, 0, 999_999, 1_000_001, i64::MAX];
        let asked: Vec<i64> =
            keys.iter().rev().chain(&beyond).chain(&keys[..700]).copied().collect();
        let numbers = |rows: usize| -> ArrayRef { Arc::new(Int32Array::from_iter(0..rows as i32)) };
        let ints = |keys: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(keys.to_vec())) };
        let build = batch(vec![("b", ints(&keys)), ("bn", numbers(keys.len()))]);
        let probe = batch(vec![("p", ints(&asked)), ("pn", numbers(asked.len()))]);
        let (b, p) = ([slices(&build, 1000)], [slices(&probe, 600)]);
        for join_type in JOIN_TYPES {
            let spec = Arc::new(spec(
                &[("b", "p")],
                None,
                join_type,
                NullEquality::NullEqualsNothing,
                &build.schema(),
                &probe.schema(),
            ));
            let ours = ours(&spec, &b, &p, &context(4)).await.unwrap();
            let theirs = theirs(&spec, &b, &p).await.unwrap();
            assert_eq!(rows(&ours), rows(&theirs), "{join_type}");
            if join_type == JoinType::Inner {
                assert!(rows(&ours).len() >= keys.len() + 700);
            }
        }
    }
}

#[test]
fn only_what_is_read_is_kept() {
    let (build, probe) = sides();
    let all = spec(
        &[("b", "p")],
        None,
        JoinType::Inner,
        NullEquality::NullEqualsNothing,
        &build.schema(),
        &probe.schema(),
    );
    assert_eq!(super::super::emit::kept_columns(&all), [0, 1]);
    let right: Vec<usize> = (0..4).filter(|&i| all.output[i].side == JoinSide::Right).collect();
    assert!(super::super::emit::kept_columns(&select(&all, &right)).is_empty());
}
