//! Merging lanes that are skewed, slow, broken or dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion_execution::TaskContext;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_expr_common::sort_expr::{LexOrdering, PhysicalSortExpr};
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::{StreamExt, TryStreamExt};

use super::merge;
use crate::cpu::exchange::Exchange;
use crate::plan::{Pipeline, Scope, SinkKind, Source};
use crate::{CancelFlag, LaneStream, Morsel, RunContext, StaffaRuntime};

fn context() -> Arc<RunContext> {
    Arc::new(RunContext {
        task: Arc::new(TaskContext::default()),
        runtime: Arc::new(StaffaRuntime::new(2).unwrap()),
        cancel: CancelFlag::default(),
        morsel_rows: 1024,
        lifter: None,
    })
}

fn batch(values: impl Iterator<Item = i64>) -> RecordBatch {
    let values: Int64Array = values.map(Some).collect();
    RecordBatch::try_from_iter_with_nullable([("k", Arc::new(values) as ArrayRef, true)]).unwrap()
}

fn key() -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new("k", 0))
}

fn ordering() -> LexOrdering {
    LexOrdering::new([PhysicalSortExpr::new(key(), SortOptions::default())]).unwrap()
}

fn schema() -> SchemaRef {
    batch(0..1).schema()
}

fn lane(batches: Vec<RecordBatch>) -> LaneStream {
    let morsels = batches.into_iter().map(|b| Ok(Morsel::from_batch(b)));
    Box::pin(futures::stream::iter(morsels))
}

async fn values(stream: LaneStream) -> Vec<i64> {
    let morsels: Vec<Morsel> = stream.try_collect().await.unwrap();
    let columns = morsels.iter().map(|morsel| morsel.column(0).unwrap());
    columns
        .flat_map(|column| {
            let column = column.as_any().downcast_ref::<Int64Array>().unwrap();
            column.values().to_vec()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_come_out_in_order() {
    for fetch in [None, Some(0), Some(10)] {
        let lanes = vec![
            lane(vec![batch((0..1000).map(|v| 3 * v)), batch((1000..2000).map(|v| 3 * v))]),
            lane(vec![]),
            lane(vec![batch(0..0), batch((0..500).map(|v| 2 * v))]),
        ];
        let merged = merge(lanes, &schema(), &ordering(), fetch, &context()).unwrap();
        let got = values(merged).await;
        assert_eq!(got.len(), fetch.unwrap_or(2500));
        assert!(got.is_sorted());
    }
    let none = merge(vec![], &schema(), &ordering(), None, &context()).unwrap();
    assert!(values(none).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_panics_is_an_error() {
    for lanes in [1, 3] {
        let bad = futures::stream::once(async { panic!("what a lane") });
        let mut all: Vec<LaneStream> = vec![Box::pin(bad)];
        all.extend((1..lanes).map(|_| lane(vec![batch(0..10)])));
        let merged = merge(all, &schema(), &ordering(), None, &context()).unwrap();
        let result: Result<Vec<Morsel>, _> = merged.try_collect().await;
        let error = result.unwrap_err();
        assert!(error.to_string().contains("what a lane"), "{error}");
    }
}

struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_output_drops_the_lanes() {
    let dropped: Vec<_> = (0..3).map(|_| Arc::new(AtomicBool::new(false))).collect();
    let lanes = dropped
        .iter()
        .enumerate()
        .map(|(at, dropped)| {
            let flag = Flag(Arc::clone(dropped));
            let first = futures::stream::once(async { Ok(Morsel::from_batch(batch(0..100))) });
            // The last lane never gives a second batch.
            let rest: LaneStream = if at == 2 {
                Box::pin(futures::stream::pending())
            } else {
                Box::pin(futures::stream::repeat_with(|| Ok(Morsel::from_batch(batch(200..300)))))
            };
            let lane: LaneStream = Box::pin(first.chain(rest).inspect(move |_| {
                let _flag = &flag;
            }));
            lane
        })
        .collect();
    let mut merged = merge(lanes, &schema(), &ordering(), None, &context()).unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(200), merged.next()).await;
    // Whether a batch came or not: what counts is that nothing is left behind.
    drop(waited);
    drop(merged);
    for _ in 0..1000 {
        if dropped.iter().all(|flag| flag.load(Ordering::SeqCst)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("lanes are left");
}

/// All rows for one of four outputs, or for three of them in turn: the merge takes from the others
/// late or never, and the exchange must not wait for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skewed_outputs_of_an_exchange_do_not_block_a_merge() {
    let context = context();
    for distinct in [1, 3, 1000] {
        let lanes: Vec<LaneStream> = (0..2)
            .map(|_| {
                lane(
                    (0..60)
                        .map(|b| {
                            batch((0..500).map(move |v| (b * 500 + v) % distinct + b * distinct))
                        })
                        .collect(),
                )
            })
            .collect();
        let pipeline = Pipeline {
            id: 0,
            source: Source::Input(0),
            source_schema: schema(),
            ops: Vec::new(),
            sink: SinkKind::Exchange(vec![key()], 4),
            scope: Scope::Shared,
            after: Vec::new(),
            lanes: 2,
            schema: schema(),
            metrics: ExecutionPlanMetricsSet::new(),
        };
        let exchange = Exchange::start(lanes, &[key()], 4, &pipeline, &context).unwrap();
        let outputs = (0..4).map(|output| exchange.open(output)).collect();
        // The outputs are not in order, so neither is the merge; all rows must come all the same.
        let merged = merge(outputs, &schema(), &ordering(), None, &context).unwrap();
        let got = tokio::time::timeout(Duration::from_secs(60), values(merged)).await;
        assert_eq!(got.unwrap().len(), 2 * 60 * 500);
    }
}
