//! One ordered lane out of several.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::Result;
use datafusion_execution::SendableRecordBatchStream;
use datafusion_physical_expr_common::sort_expr::LexOrdering;
use datafusion_physical_plan::common::spawn_buffered;
use datafusion_physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion_physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use crate::{LaneStream, Morsel, RunContext};

/// Merges lanes that are each ordered by `ordering`.
pub(super) fn merge(
    lanes: Vec<LaneStream>,
    schema: &SchemaRef,
    ordering: &LexOrdering,
    fetch: Option<usize>,
    context: &RunContext,
) -> Result<LaneStream> {
    let several = lanes.len() > 1;
    let streams = lanes
        .into_iter()
        .map(|lane| {
            let stream = batches(lane, schema);
            if several { spawn_buffered(stream, 1) } else { stream }
        })
        .collect();
    let merged = StreamingMergeBuilder::new()
        .with_streams(streams)
        .with_schema(Arc::clone(schema))
        .with_expressions(ordering)
        .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
        .with_batch_size(context.batch_size())
        .with_fetch(fetch)
        .with_reservation(context.reservation("StaffaMerge"))
        .build()?;
    Ok(Box::pin(merged.map(|batch| Ok(Morsel::from_batch(batch?)))))
}

/// A lane as DataFusion's operators take it.
fn batches(lane: LaneStream, schema: &SchemaRef) -> SendableRecordBatchStream {
    let of = Arc::clone(schema);
    let stream = lane.map(move |morsel| morsel?.into_batch(&of));
    Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), stream))
}
