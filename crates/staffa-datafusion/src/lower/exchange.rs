//! Exchanges: repartition, and bringing partitions together.

use std::sync::Arc;

use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use staffa_common::{Reason, ReasonCode};
use staffa_engine::plan::{NodeOp, RepartitionSpec};

use super::{Lowered, Setting};

pub(super) fn lower(plan: &Arc<dyn ExecutionPlan>, _: Setting) -> Option<Lowered> {
    if let Some(coalesce) = plan.downcast_ref::<CoalescePartitionsExec>() {
        return Some(Ok(NodeOp::Coalesce(coalesce.fetch())));
    }
    let repartition = plan.downcast_ref::<RepartitionExec>()?;
    Some(lowered(repartition))
}

fn lowered(repartition: &RepartitionExec) -> Lowered {
    let inputs = repartition.input().output_partitioning().partition_count();
    if repartition.preserve_order() && inputs > 1 {
        return Err(Reason::new(ReasonCode::OrderUsed, "keeps the order of several inputs"));
    }
    let (hash, partitions) = match repartition.partitioning() {
        Partitioning::Hash(keys, partitions) => (Some(keys.clone()), *partitions),
        Partitioning::RoundRobinBatch(partitions) => (None, *partitions),
        other => return Err(Reason::new(ReasonCode::Partitioning, other.to_string())),
    };
    Ok(NodeOp::Repartition(Arc::new(RepartitionSpec { hash, partitions })))
}
