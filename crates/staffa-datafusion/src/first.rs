//! Which rows of a node a top-K sort above keeps: the first ones by which of its columns.
//!
//! DataFusion tells an aggregation below such a sort to keep its best groups only (`TopKAggregation`). It follows the
//! sort's column by name, and through nodes that need all groups (55.2: windows, another aggregation, projections
//! whose names change places), so its word is taken only where the column can be followed by index.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};

/// Of a node's rows, only the first by one column count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct First {
    /// The column, by its index.
    pub(crate) column: usize,
    /// How many rows.
    pub(crate) rows: usize,
    /// The direction.
    pub(crate) options: SortOptions,
}

/// What counts of the rows of `plan`'s inputs, where `first` counts of its own.
pub(crate) fn below(plan: &Arc<dyn ExecutionPlan>, first: Option<First>) -> Option<First> {
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        let [by] = &sort.expr()[..] else { return None };
        let column = by.expr.downcast_ref::<Column>()?.index();
        return Some(First { column, rows: sort.fetch()?, options: by.options });
    }
    let first = first.filter(|_| plan.fetch().is_none())?;
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let column = projection.expr().get(first.column)?.expr.downcast_ref::<Column>()?.index();
        return Some(First { column, ..first });
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        // The halves of one aggregation have the same columns.
        let halves =
            matches!(aggregate.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned);
        return (halves && is_best(aggregate, first)).then_some(first);
    }
    let passes = plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<UnionExec>()
        || plan.is::<InterleaveExec>();
    passes.then_some(first)
}

/// Whether the groups that DataFusion has an aggregation keep are those that `first` is about.
pub(crate) fn is_best(aggregate: &AggregateExec, first: First) -> bool {
    let Some(limit) = aggregate.limit_options() else { return false };
    let functions = aggregate.aggr_expr();
    let nullable = functions.iter().any(|function| {
        let argument = function.expressions();
        let nullable = argument.first().map(|of| of.nullable(&aggregate.input_schema()));
        !matches!(nullable, Some(Ok(false)))
    });
    aggregate.group_expr().is_single()
        && aggregate.group_expr().expr().len() == 1
        && functions.len() <= 1
        && first.column == functions.len()
        && limit.descending() == Some(first.options.descending)
        && limit.limit() >= first.rows
        // A group without a value so far would come first, and later ones would take that from it.
        && !(nullable && first.options.nulls_first)
}
