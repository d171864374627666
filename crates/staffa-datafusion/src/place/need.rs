//! Who counts on the partitions of rows: as `plan/compile.rs` of the engine goes down a region.

use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use staffa_engine::plan::NodeOp;

use super::halves;
use crate::node::StaffaExec;

/// Whether input `at` of `node` must keep its partitions, where the node's own are counted on or not. An exchange
/// below that nobody sees disappears.
pub(super) fn partitions(node: &StaffaExec, at: usize, partitions: bool) -> bool {
    let several = count(node) > 1;
    match node.op() {
        NodeOp::Join(spec) if at == 0 => partitions && spec.partitioned && several,
        NodeOp::Join(_) => {
            let child = node.children_of().get(at);
            partitions && child.is_some_and(|child| parts(child.as_ref()) == count(node))
        }
        NodeOp::Aggregate(spec) => partitions && several && !halves::deals(node, spec),
        NodeOp::Sort(spec) => partitions && spec.preserve_partitioning && several,
        NodeOp::Repartition(_) | NodeOp::Coalesce(_) | NodeOp::Merge(..) => false,
        NodeOp::Limit(spec) => partitions || spec.global,
        NodeOp::Filter(_) | NodeOp::Project(_) | NodeOp::Pass => partitions,
        NodeOp::Window(_) => true,
        NodeOp::Union | NodeOp::Interleave | NodeOp::Input(_) | NodeOp::Scan(_) => partitions,
    }
}

/// Partitions that a node gives.
pub(super) fn count(node: &StaffaExec) -> usize {
    parts(node.original().as_ref())
}

fn parts(plan: &dyn ExecutionPlan) -> usize {
    plan.output_partitioning().partition_count()
}
