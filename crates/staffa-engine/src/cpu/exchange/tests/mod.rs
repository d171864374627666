//! Exchanges against DataFusion's partitioner, and under every order of reading and dropping.

mod gate;
mod golden;
mod memory;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion_common::Result;
use datafusion_execution::TaskContext;
use datafusion_execution::runtime_env::RuntimeEnv;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::TryStreamExt;

use super::Exchange;
use crate::plan::{Pipeline, Scope, SinkKind, Source};
use crate::{CancelFlag, LaneStream, Morsel, RunContext, StaffaRuntime};

fn context(runtime: Arc<RuntimeEnv>) -> Arc<RunContext> {
    Arc::new(RunContext {
        task: Arc::new(TaskContext::default().with_runtime(runtime)),
        runtime: Arc::new(StaffaRuntime::new(2).unwrap()),
        cancel: CancelFlag::default(),
        morsel_rows: 1024,
        lifter: None,
    })
}

fn keys(schema: &SchemaRef, names: &[&str]) -> Vec<Arc<dyn PhysicalExpr>> {
    names
        .iter()
        .map(|name| {
            let column = Column::new(name, schema.index_of(name).unwrap());
            Arc::new(column) as Arc<dyn PhysicalExpr>
        })
        .collect()
}

fn start(
    lanes: Vec<LaneStream>,
    schema: &SchemaRef,
    names: &[&str],
    partitions: usize,
    context: &Arc<RunContext>,
) -> Exchange {
    let keys = keys(schema, names);
    let pipeline = Pipeline {
        id: 0,
        source: Source::Input(0),
        source_schema: Arc::clone(schema),
        ops: Vec::new(),
        sink: SinkKind::Exchange(keys.clone(), partitions),
        scope: Scope::Shared,
        after: Vec::new(),
        lanes: lanes.len(),
        schema: Arc::clone(schema),
        metrics: ExecutionPlanMetricsSet::new(),
    };
    Exchange::start(lanes, &keys, partitions, &pipeline, context).unwrap()
}

/// A lane that gives these batches, and lets others run after each.
fn lane(batches: Vec<RecordBatch>) -> LaneStream {
    Box::pin(futures::stream::unfold(batches.into_iter(), |mut batches| async move {
        tokio::task::yield_now().await;
        let batch = batches.next()?;
        Some((Ok(Morsel::from_batch(batch)), batches))
    }))
}

/// Keys (of which `hot` of ten are 7), and ids that count up within each lane.
fn rows(lane: u64, batches: usize, size: usize, hot: usize) -> Vec<RecordBatch> {
    let mut id = lane << 32;
    (0..batches)
        .map(|_| {
            let ids: UInt64Array = (id..id + size as u64).collect();
            let keys: Int64Array = (id..id + size as u64)
                .map(|id| Some(if (id % 10) < hot as u64 { 7 } else { id as i64 * 31 }))
                .collect();
            id += size as u64;
            RecordBatch::try_from_iter(vec![
                ("k", Arc::new(keys) as ArrayRef),
                ("id", Arc::new(ids)),
            ])
            .unwrap()
        })
        .collect()
}

fn ids(morsels: &[Morsel]) -> Vec<u64> {
    morsels
        .iter()
        .flat_map(|morsel| {
            let ids = morsel.column(1).unwrap();
            let ids = ids.as_any().downcast_ref::<UInt64Array>().unwrap();
            ids.values().to_vec()
        })
        .collect()
}

async fn collect(stream: LaneStream) -> Result<Vec<Morsel>> {
    stream.try_collect().await
}

/// Ids of one lane come in ascending order.
fn assert_in_order(ids: &[u64]) {
    let mut last = std::collections::HashMap::new();
    for id in ids {
        if let Some(before) = last.insert(id >> 32, *id) {
            assert!(before < *id);
        }
    }
}
