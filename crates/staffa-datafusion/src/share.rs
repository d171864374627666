//! Finds what a scalar subquery and the query around it both compute.
//!
//! `ScalarSubqueryExec` runs its subqueries first and then its input, each as regions of their own. Where an
//! aggregation stands in both (a common table expression, say), the subquery's region leaves its groups for
//! the other one.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use staffa_engine::plan::{AggregateStage, Node, NodeOp, Same, Shared, Slot};

use crate::node::StaffaExec;

/// Connects the aggregations of `plan` that need to run once only.
pub(crate) fn share(plan: &Arc<dyn ExecutionPlan>) {
    let children = plan.children();
    if plan.is::<ScalarSubqueryExec>()
        && let Some((input, subqueries)) = children.split_first()
    {
        let mut makers = VecDeque::new();
        subqueries.iter().for_each(|subquery| offer(subquery, &mut makers));
        if !makers.is_empty() {
            ask(input, &mut makers);
        }
    }
    children.into_iter().for_each(share);
}

/// An aggregation, and what it does.
type Maker<'a> = (&'a StaffaExec, Node);

/// Every aggregation of a subquery.
fn offer<'a>(plan: &'a Arc<dyn ExecutionPlan>, makers: &mut VecDeque<Maker<'a>>) {
    makers.extend(aggregation(plan));
    plan.children().into_iter().for_each(|child| offer(child, makers));
}

/// Gives each aggregation the first of `makers` that does the same.
fn ask(plan: &Arc<dyn ExecutionPlan>, makers: &mut VecDeque<Maker<'_>>) {
    if let Some((reader, tree)) = aggregation(plan) {
        let found = makers.iter().position(|(_, made)| Same::nodes(made, &tree));
        if let Some((maker, _)) = found.and_then(|at| makers.remove(at)) {
            let slot = Arc::new(Slot::default());
            maker.set_shared(Shared::Makes(Arc::clone(&slot)));
            reader.set_shared(Shared::Reads(slot));
            return;
        }
    }
    plan.children().into_iter().for_each(|child| ask(child, makers));
}

/// An aggregation that depends on nothing outside of its own region.
fn aggregation(plan: &Arc<dyn ExecutionPlan>) -> Option<Maker<'_>> {
    let node = StaffaExec::of(plan.as_ref())?;
    let NodeOp::Aggregate(spec) = node.op() else {
        return None;
    };
    if !matches!(spec.stage, AggregateStage::Final | AggregateStage::Single) || waits(plan) {
        return None;
    }
    let mut inputs = Vec::new();
    let tree = node.tree(&mut inputs);
    inputs.is_empty().then_some((node, tree))
}

/// Whether something in `plan` reads a scalar subquery's value, which is there only once the query around it
/// runs.
fn waits(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut found = false;
    let mut look = |expr: &Arc<dyn PhysicalExpr>| {
        found |= expr.exists(|expr| Ok(expr.is::<ScalarSubqueryExpr>()))?;
        Ok(TreeNodeRecursion::Continue)
    };
    // An expression that cannot be looked through counts as one that waits.
    plan.apply_expressions(&mut look).is_err() || found || plan.children().into_iter().any(waits)
}
