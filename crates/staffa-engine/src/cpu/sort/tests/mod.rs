//! Sorts against DataFusion's, on random rows of every type.

pub(in crate::cpu) mod data;
mod filter;
mod order;
mod packed;
mod spill;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::{SortOptions, concat_batches};
use arrow::datatypes::SchemaRef;
use datafusion_common::Result;
use datafusion_execution::TaskContext;
use datafusion_execution::runtime_env::RuntimeEnv;
use datafusion_physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion_physical_expr_common::sort_expr::{LexOrdering, PhysicalSortExpr};
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_physical_plan::sorts::sort::sort_batch;
use futures::{StreamExt, TryStreamExt};

use super::SortSink;
use crate::engine::{Sealed, Sink};
use crate::plan::{Pipeline, Scope, SinkKind, SortSpec, Source};
use crate::{CancelFlag, Morsel, RunContext, StaffaRuntime};

pub(super) fn context(runtime: Arc<RuntimeEnv>) -> Arc<RunContext> {
    Arc::new(RunContext {
        task: Arc::new(TaskContext::default().with_runtime(runtime)),
        runtime: Arc::new(StaffaRuntime::new(2).unwrap()),
        cancel: CancelFlag::default(),
        morsel_rows: 1024,
        lifter: None,
    })
}

pub(super) fn pipeline(schema: &SchemaRef, lanes: usize, scope: Scope) -> Pipeline {
    Pipeline {
        id: 0,
        source: Source::Input(0),
        source_schema: Arc::clone(schema),
        ops: Vec::new(),
        sink: SinkKind::Stream,
        scope,
        after: Vec::new(),
        lanes,
        schema: Arc::clone(schema),
        metrics: ExecutionPlanMetricsSet::new(),
    }
}

pub(super) fn ordering(schema: &SchemaRef, keys: &[(&str, SortOptions)]) -> LexOrdering {
    LexOrdering::new(keys.iter().map(|(name, options)| PhysicalSortExpr {
        expr: Arc::new(Column::new(name, schema.index_of(name).unwrap())),
        options: *options,
    }))
    .unwrap()
}

pub(super) fn spec(ordering: &LexOrdering, fetch: Option<usize>) -> SortSpec {
    SortSpec {
        ordering: ordering.clone(),
        fetch,
        told: None,
        preserve_partitioning: false,
        dynamic_filter: None,
        device: None,
    }
}

/// Pushes the lanes one after the other and seals.
pub(super) async fn seal(
    spec: SortSpec,
    lanes: &[Vec<RecordBatch>],
    schema: &SchemaRef,
    context: &Arc<RunContext>,
) -> Result<Arc<dyn Sealed>> {
    let pipeline = pipeline(schema, lanes.len(), Scope::Shared);
    let sink = SortSink::new(&Arc::new(spec), &pipeline, context)?;
    let mut locals = Vec::new();
    for (lane, batches) in lanes.iter().enumerate() {
        let mut local = sink.local(lane)?;
        for batch in batches {
            if local.done() {
                break;
            }
            local.push(Morsel::from_batch(batch.clone())).await?;
        }
        locals.push(local);
    }
    sink.seal(locals).await
}

pub(super) async fn read(state: Arc<dyn Sealed>, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    state.open(0, 1).map(|morsel| morsel?.into_batch(schema)).try_collect().await
}

/// The rows in the order of `ordering`, ties by the `id` column, which counts arrivals.
pub(super) fn expected(
    lanes: &[Vec<RecordBatch>],
    schema: &SchemaRef,
    ordering: &LexOrdering,
    fetch: Option<usize>,
) -> RecordBatch {
    let all = concat_batches(schema, lanes.iter().flatten()).unwrap();
    let mut keys = ordering.to_vec();
    keys.push(PhysicalSortExpr {
        expr: Arc::new(Column::new("id", schema.index_of("id").unwrap())),
        options: SortOptions::default(),
    });
    let sorted = sort_batch(&all, &LexOrdering::new(keys).unwrap(), None).unwrap();
    let rows = fetch.unwrap_or(usize::MAX).min(sorted.num_rows());
    sorted.slice(0, rows)
}

/// Asserts that a sort gives exactly what DataFusion's does, ties in the order of arrival.
pub(super) async fn check(
    lanes: &[Vec<RecordBatch>],
    schema: &SchemaRef,
    keys: &[(&str, SortOptions)],
    fetch: Option<usize>,
    context: &Arc<RunContext>,
) {
    let ordering = ordering(schema, keys);
    let state = seal(spec(&ordering, fetch), lanes, schema, context).await.unwrap();
    let got = read(state, schema).await.unwrap();
    assert!(got.iter().all(|batch| batch.num_rows() <= context.batch_size()));
    let got = concat_batches(schema, &got).unwrap();
    let wanted = expected(lanes, schema, &ordering, fetch);
    assert_eq!(got.num_rows(), wanted.num_rows(), "{keys:?} {fetch:?}");
    if got != wanted {
        let ids = |batch: &RecordBatch| -> Vec<u64> {
            let ids: &ArrayRef = batch.column_by_name("id").unwrap();
            let ids = ids.as_any().downcast_ref::<UInt64Array>().unwrap();
            ids.values().to_vec()
        };
        let (got, wanted) = (ids(&got), ids(&wanted));
        let at = got.iter().zip(&wanted).position(|(a, b)| a != b);
        panic!("{keys:?} {fetch:?}: rows differ from {at:?} on");
    }
}

/// A filter for a top-K over these columns.
pub(super) fn dynamic_filter(ordering: &LexOrdering) -> Arc<DynamicFilterPhysicalExpr> {
    Arc::new(DynamicFilterPhysicalExpr::new(
        ordering.iter().map(|key| Arc::clone(&key.expr)).collect(),
        datafusion_physical_expr::expressions::lit(true),
    ))
}
