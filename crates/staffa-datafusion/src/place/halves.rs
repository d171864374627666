//! The two halves of an aggregation: where the compiler makes them one, they run in one place
//! (`plan/compile/aggregate.rs` of the engine).

use staffa_engine::plan::{AggregateSpec, AggregateStage, NodeOp, dealt_by};

use super::below;
use super::need::count;
use crate::node::StaffaExec;

/// The node of the half that reads rows, where `last`, which reads its states, becomes one with it. `partitions`:
/// somebody above counts on the partitions of `last`.
pub(super) fn first<'a>(
    last: &'a StaffaExec,
    spec: &AggregateSpec,
    partitions: bool,
) -> Option<&'a StaffaExec> {
    let seen = partitions && count(last) > 1;
    if spec.stage != AggregateStage::Final || spec.limit.is_some() || (seen && !deals(last, spec)) {
        return None;
    }
    partial(below(last)?)
}

/// Whether an exchange may stand above a final half instead of below.
pub(super) fn deals(last: &StaffaExec, spec: &AggregateSpec) -> bool {
    let exchange = below(last).and_then(|node| match node.op() {
        NodeOp::Pass => below(node),
        _ => Some(node),
    });
    let Some(exchange) = exchange else { return false };
    let NodeOp::Repartition(dealt) = exchange.op() else { return false };
    spec.stage == AggregateStage::Final
        && below(exchange).and_then(partial).is_some()
        && dealt_by(dealt, count(last), spec).is_some()
}

/// The half that reads rows, through exchanges that nobody else sees.
fn partial(node: &StaffaExec) -> Option<&StaffaExec> {
    match node.op() {
        NodeOp::Repartition(_) | NodeOp::Coalesce(None) | NodeOp::Pass | NodeOp::Merge(_, None) => {
            partial(below(node)?)
        }
        NodeOp::Aggregate(spec) => {
            let whole = spec.stage == AggregateStage::Partial && spec.limit.is_none();
            whole.then_some(node)
        }
        _ => None,
    }
}
