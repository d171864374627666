//! The two halves of an aggregation as one, where nobody sees what passes between them.

use std::sync::Arc;

use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;

use crate::plan::node::{AggregateSpec, AggregateStage, Node, NodeOp, RepartitionSpec};

/// The partial half below a final one, through exchanges that nobody else sees, and its node.
pub(super) fn partial(node: &Node) -> Option<(&AggregateSpec, &Node)> {
    match &node.op {
        NodeOp::Repartition(_) | NodeOp::Coalesce(None) | NodeOp::Pass => {
            partial(&node.children[0])
        }
        NodeOp::Merge(_, None) => partial(&node.children[0]),
        NodeOp::Aggregate(spec)
            if spec.stage == AggregateStage::Partial && spec.limit.is_none() =>
        {
            Some((spec, node))
        }
        _ => None,
    }
}

/// The exchange below a final half that deals out its keys over its partitions, and the columns that those are in its
/// output: the same rows come to the same partitions if the exchange stands above.
pub(super) fn exchange<'a>(node: &'a Node, last: &AggregateSpec) -> Option<(&'a Node, Vec<usize>)> {
    let below = &node.children[0];
    match &below.op {
        NodeOp::Pass => exchange_of(&below.children[0], node, last),
        _ => exchange_of(below, node, last),
    }
}

fn exchange_of<'a>(
    below: &'a Node,
    node: &Node,
    last: &AggregateSpec,
) -> Option<(&'a Node, Vec<usize>)> {
    let NodeOp::Repartition(spec) = &below.op else { return None };
    partial(&below.children[0])?;
    Some((below, dealt_by(spec, node.partitions, last)?))
}

/// The columns of a final half's output over which an exchange may stand above it, in place of the one right below it
/// over its keys: none where the same rows would not come to the same of its `partitions`.
pub fn dealt_by(
    exchange: &RepartitionSpec,
    partitions: usize,
    last: &AggregateSpec,
) -> Option<Vec<usize>> {
    let keys = exchange.hash.as_ref().filter(|_| exchange.partitions == partitions)?;
    let at = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().map(Column::index);
    // A final half takes its keys from where the partial one put them.
    let mut in_place = last.group_by.expr().iter().enumerate();
    if last.limit.is_some() || !in_place.all(|(key, (expr, _))| at(expr) == Some(key)) {
        return None;
    }
    let width = last.group_by.expr().len();
    let same = |&key: &usize| {
        let (before, after) = (last.input_schema.field(key), last.schema.field(key));
        before.data_type() == after.data_type()
    };
    keys.iter().map(|key| at(key).filter(|key| *key < width && same(key))).collect()
}

/// One aggregation from rows to values, in place of its two halves.
pub(super) fn fuse(partial: &AggregateSpec, last: &AggregateSpec) -> AggregateSpec {
    AggregateSpec {
        stage: AggregateStage::Single,
        group_by: Arc::clone(&partial.group_by),
        aggregates: partial.aggregates.clone(),
        filters: partial.filters.clone(),
        input_schema: Arc::clone(&partial.input_schema),
        schema: Arc::clone(&last.schema),
        limit: last.limit,
        top: last.top,
        dynamic_filter: partial.dynamic_filter.clone(),
    }
}
