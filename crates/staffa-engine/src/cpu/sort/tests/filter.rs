//! The filter that a top-K gives to its source.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{SortOptions, concat_batches};
use datafusion_execution::runtime_env::RuntimeEnv;
use datafusion_physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion_physical_plan::sorts::sort::sort_batch;

use super::data::batches;
use super::{context, dynamic_filter, ordering, pipeline, read, seal, spec};
use crate::Morsel;
use crate::cpu::sort::SortSink;
use crate::engine::Sink;
use crate::plan::Scope;

/// What the filter lets through holds the same first rows (by key) as everything does.
#[tokio::test]
async fn the_filter_keeps_the_first_rows() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let lanes = [batches(&[400, 400], 8, 0), batches(&[500], 9, 800)];
    let schema = lanes[0][0].schema();
    for lanes in [&lanes[..1], &lanes[..]] {
        let all = concat_batches(&schema, lanes.iter().flatten()).unwrap();
        for first in ["Int64", "Utf8", "Float64", "Decimal128(38, 2)", "Boolean"] {
            for (descending, nulls_first) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                for k in [1, 5, 200, 790] {
                    let options = SortOptions { descending, nulls_first };
                    let ordering = ordering(&schema, &[(first, options), ("Int16", options)]);
                    let filter = dynamic_filter(&ordering);
                    let mut spec = spec(&ordering, Some(k));
                    spec.dynamic_filter = Some(Arc::clone(&filter));
                    let state = seal(spec, lanes, &schema, &context).await.unwrap();
                    let got = read(state, &schema).await.unwrap();
                    let got = concat_batches(&schema, &got).unwrap();
                    let wanted = sort_batch(&all, &ordering, Some(k)).unwrap();
                    for key in [first, "Int16"] {
                        let (got, wanted) = (got.column_by_name(key), wanted.column_by_name(key));
                        assert_eq!(got, wanted, "{first} {options:?} {k}");
                    }
                    let passing = mask(&filter, &all).true_count();
                    let kept = mask(&filter, &wanted);
                    // Of the first K only the last may be stopped, with those that equal it.
                    let before = kept.true_count();
                    assert!(kept.iter().take(before).all(|passes| passes == Some(true)));
                    for key in [first, "Int16"] {
                        let stopped = wanted.column_by_name(key).unwrap();
                        let stopped = stopped.slice(before, wanted.num_rows() - before);
                        for row in 1..stopped.len() {
                            assert_eq!(
                                stopped.slice(row, 1).as_ref(),
                                stopped.slice(0, 1).as_ref()
                            );
                        }
                    }
                    if lanes.len() == 1 {
                        assert_eq!(passing, before);
                        assert!(passing < k);
                    }
                    filter.wait_complete().await;
                }
            }
        }
    }
}

fn mask(filter: &DynamicFilterPhysicalExpr, batch: &RecordBatch) -> BooleanArray {
    let current = filter.current().unwrap();
    let mask = current.evaluate(batch).unwrap();
    let mask = mask.into_array(batch.num_rows()).unwrap();
    let mask = mask.as_boolean().iter();
    mask.map(|passes| Some(passes == Some(true))).collect()
}

#[tokio::test]
async fn lanes_of_their_own_complete_the_filter_together() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let lanes = [batches(&[50], 8, 0), batches(&[50], 9, 50)];
    let schema = lanes[0][0].schema();
    let ordering = ordering(&schema, &[("Int64", SortOptions::default())]);
    let filter = dynamic_filter(&ordering);
    let mut spec = spec(&ordering, Some(3));
    spec.dynamic_filter = Some(Arc::clone(&filter));
    let pipeline = pipeline(&schema, 2, Scope::PerLane);
    let sink = SortSink::new(&Arc::new(spec), &pipeline, &context).unwrap();
    let mut states = Vec::new();
    for (lane, batches) in lanes.iter().enumerate() {
        let mut local = sink.local(lane).unwrap();
        for batch in batches {
            local.push(Morsel::from_batch(batch.clone())).await.unwrap();
        }
        let mut done = Box::pin(filter.wait_complete());
        assert!(futures::poll!(&mut done).is_pending());
        states.push(sink.seal(vec![local]).await.unwrap());
    }
    filter.wait_complete().await;
}

#[tokio::test]
async fn a_dropped_sink_completes_the_filter() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let schema = batches(&[1], 8, 0)[0].schema();
    let ordering = ordering(&schema, &[("Int64", SortOptions::default())]);
    let filter = dynamic_filter(&ordering);
    let mut spec = spec(&ordering, Some(3));
    spec.dynamic_filter = Some(Arc::clone(&filter));
    let pipeline = pipeline(&schema, 1, Scope::Shared);
    drop(SortSink::new(&Arc::new(spec), &pipeline, &context).unwrap());
    filter.wait_complete().await;
}
