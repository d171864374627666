//! Operators that take rows one by one: filter, projection, limit, union, batch coalescing.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use staffa_engine::plan::{FilterSpec, LimitSpec, NodeOp, ProjectSpec};

use super::{Lowered, Setting};

pub(super) fn lower(plan: &Arc<dyn ExecutionPlan>, _: Setting) -> Option<Lowered> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return Some(Ok(NodeOp::Filter(Arc::new(FilterSpec {
            predicate: Arc::clone(filter.predicate()),
            projection: filter.projection().as_ref().map(|columns| columns.to_vec()),
            fetch: filter.fetch(),
        }))));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let exprs = projection.expr().iter().map(|e| Arc::clone(&e.expr)).collect();
        return Some(Ok(NodeOp::Project(Arc::new(ProjectSpec { exprs }))));
    }
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        return Some(Ok(limit_op(limit.skip(), limit.fetch(), true)));
    }
    if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
        return Some(Ok(limit_op(0, Some(limit.fetch()), false)));
    }
    if plan.is::<UnionExec>() {
        return Some(Ok(NodeOp::Union));
    }
    if plan.is::<InterleaveExec>() {
        return Some(Ok(NodeOp::Interleave));
    }
    if plan.is::<CooperativeExec>() {
        return Some(Ok(NodeOp::Pass));
    }
    coalesce_batches(plan)
}

fn limit_op(skip: usize, fetch: Option<usize>, global: bool) -> NodeOp {
    NodeOp::Limit(Arc::new(LimitSpec { skip, fetch, global }))
}

#[expect(deprecated, reason = "older rules still make the node")]
fn coalesce_batches(plan: &Arc<dyn ExecutionPlan>) -> Option<Lowered> {
    use datafusion::physical_plan::coalesce_batches::CoalesceBatchesExec;
    let coalesce = plan.downcast_ref::<CoalesceBatchesExec>()?;
    Some(Ok(match coalesce.fetch() {
        fetch @ Some(_) => limit_op(0, fetch, false),
        None => NodeOp::Pass,
    }))
}
