//! Aggregation.

use std::any::Any;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::count::Count;
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::functions_aggregate::stddev::{Stddev, StddevPop};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::functions_aggregate::variance::{VariancePopulation, VarianceSample};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, InputOrderMode};
use staffa_common::{Reason, ReasonCode};
use staffa_engine::plan::{AggregateSpec, AggregateStage, NodeOp, TopGroups};

use super::{Lowered, Setting, dynamic_filter};
use crate::first::is_best;

pub(super) fn lower(plan: &Arc<dyn ExecutionPlan>, setting: Setting) -> Option<Lowered> {
    let aggregate = plan.downcast_ref::<AggregateExec>()?;
    Some(lowered(aggregate, plan, setting))
}

/// Whether a function's value is known not to depend on the order of a group's rows (but for the last
/// bits of float sums). DataFusion's own answer to this assumes that COUNT and AVG do.
fn takes_any_order(function: &AggregateFunctionExpr) -> bool {
    let function: &dyn Any = function.fun().inner().as_ref();
    function.is::<Sum>()
        || function.is::<Count>()
        || function.is::<Avg>()
        || function.is::<Min>()
        || function.is::<Max>()
        || function.is::<Stddev>()
        || function.is::<StddevPop>()
        || function.is::<VarianceSample>()
        || function.is::<VariancePopulation>()
}

fn lowered(aggregate: &AggregateExec, plan: &Arc<dyn ExecutionPlan>, setting: Setting) -> Lowered {
    let functions = aggregate.aggr_expr();
    if let Some(ordered) = functions.iter().find(|f| !f.order_bys().is_empty()) {
        return Err(Reason::new(ReasonCode::OrderedAggregate, ordered.name()));
    }
    // Without an ORDER BY in a function, what is required is an order that keys have anyway (often by
    // constants alone, as the branches of a union have), which spares DataFusion some hashing.
    let ordered = plan.required_input_ordering().iter().any(Option::is_some);
    if let Some(function) = functions.iter().find(|f| ordered && !takes_any_order(f)) {
        let what = format!("{} may depend on the input's order", function.name());
        return Err(Reason::new(ReasonCode::OrderedAggregate, what));
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
    let top = setting.first.filter(|first| is_best(aggregate, *first));
    let top = top.map(|first| TopGroups { limit: first.rows, greatest: first.options.descending });
    Ok(NodeOp::Aggregate(Arc::new(AggregateSpec {
        stage,
        group_by: Arc::new(aggregate.group_expr().clone()),
        aggregates: functions.to_vec(),
        filters: aggregate.filter_expr().to_vec(),
        input_schema: aggregate.input().schema(),
        schema: plan.schema(),
        limit,
        top,
        dynamic_filter: dynamic_filter(plan.as_ref()).filter(|_| functions.iter().all(has_bound)),
    })))
}

/// Whether rows beyond a function's value so far cannot change it: MIN or MAX of a column, of a type whose statistics
/// and comparisons have the functions' order. Floats do not: statistics leave NaNs out.
///
/// DataFusion fills its filter as soon as one function is so, and drops rows that others need.
fn has_bound(function: &Arc<AggregateFunctionExpr>) -> bool {
    let of: &dyn Any = function.fun().inner().as_ref();
    let [argument] = &function.expressions()[..] else { return false };
    (of.is::<Min>() || of.is::<Max>())
        && argument.is::<Column>()
        && is_ordered(function.field().data_type())
}

fn is_ordered(of: &DataType) -> bool {
    of.is_integer()
        || of.is_decimal()
        || matches!(
            of,
            DataType::Date32
                | DataType::Date64
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(..)
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
        )
}
