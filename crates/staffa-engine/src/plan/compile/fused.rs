//! The two halves of an aggregation as one, where nobody sees what passes between them.

use std::sync::Arc;

use crate::plan::node::{AggregateSpec, AggregateStage, Node, NodeOp};

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
    }
}
