//! Aggregation.

use std::sync::Arc;

use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, InputOrderMode};
use staffa_common::{Reason, ReasonCode};
use staffa_engine::plan::{AggregateSpec, AggregateStage, NodeOp};

use super::{Lowered, Setting};

pub(super) fn lower(plan: &Arc<dyn ExecutionPlan>, setting: Setting) -> Option<Lowered> {
    let aggregate = plan.downcast_ref::<AggregateExec>()?;
    Some(lowered(aggregate, plan, setting))
}

fn lowered(aggregate: &AggregateExec, plan: &Arc<dyn ExecutionPlan>, setting: Setting) -> Lowered {
    let functions = aggregate.aggr_expr();
    if let Some(ordered) = functions.iter().find(|f| !f.order_bys().is_empty()) {
        return Err(Reason::new(ReasonCode::OrderedAggregate, ordered.name()));
    }
    if plan.required_input_ordering().iter().any(Option::is_some) {
        return Err(Reason::new(ReasonCode::OrderedAggregate, "needs ordered input"));
    }
    let declares_order = !matches!(aggregate.input_order_mode(), InputOrderMode::Linear)
        || plan.output_ordering().is_some();
    if declares_order && setting.order_used {
        return Err(Reason::new(ReasonCode::OrderUsed, "the groups' order is used above"));
    }
    let stage = match aggregate.mode() {
        AggregateMode::Partial => AggregateStage::Partial,
        AggregateMode::PartialReduce => AggregateStage::Reduce,
        AggregateMode::Final | AggregateMode::FinalPartitioned => AggregateStage::Final,
        AggregateMode::Single | AggregateMode::SinglePartitioned => AggregateStage::Single,
    };
    let limit = aggregate
        .limit_options()
        .filter(|_| aggregate.is_unordered_unfiltered_group_by_distinct())
        .map(|options| options.limit());
    Ok(NodeOp::Aggregate(Arc::new(AggregateSpec {
        stage,
        group_by: Arc::new(aggregate.group_expr().clone()),
        aggregates: functions.to_vec(),
        filters: aggregate.filter_expr().to_vec(),
        input_schema: aggregate.input().schema(),
        schema: plan.schema(),
        limit,
    })))
}
