//! Lowering: which DataFusion nodes have a twin, and what each does. One file per operator family.

mod aggregate;
mod exchange;
mod join;
mod rows;
mod sort;
mod window;

use std::any::Any;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::physical_plan::execution_plan::Boundedness;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion_physical_expr_common::physical_expr::is_volatile;
use staffa_common::{Reason, ReasonCode};
use staffa_engine::plan::NodeOp;

use crate::first::First;
use crate::scan;

/// What lowering knows about a node's surroundings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Somebody above uses the order that the node declares.
    pub(crate) order_used: bool,
    /// Whether dynamic filters of nodes above a limit may reach the node: they must not choose which rows
    /// the limit counts.
    pub(crate) cut: bool,
    /// Whether somebody above may stop before the node's rows end, with nothing in between that reads them all.
    pub(crate) limited: bool,
    /// Which of the node's rows alone a sort above keeps.
    pub(crate) first: Option<First>,
}

/// What a node's twin does, or why it has none.
pub(crate) type Lowered = Result<NodeOp, Reason>;

/// Lowers nodes of one family; `None` when the node is of another.
type Lowering = fn(&Arc<dyn ExecutionPlan>, Setting) -> Option<Lowered>;

/// Every family, in the order they are asked.
const LOWERINGS: &[Lowering] = &[
    scan::lower,
    rows::lower,
    join::lower,
    aggregate::lower,
    sort::lower,
    exchange::lower,
    window::lower,
];

/// The twin of `plan`, or the reason why there is none.
pub(crate) fn lower(plan: &Arc<dyn ExecutionPlan>, setting: Setting) -> Lowered {
    if plan.is::<ScalarSubqueryExec>() {
        return Err(Reason::new(ReasonCode::ScalarSubqueryWrapper, "waits for scalar subqueries"));
    }
    let lowered = LOWERINGS.iter().find_map(|lowering| lowering(plan, setting));
    let lowered = match lowered {
        Some(lowered) => lowered?,
        None if plan.children().is_empty() => {
            return Err(Reason::new(ReasonCode::Source, "source"));
        }
        None => return Err(Reason::new(ReasonCode::NoTwin, "no twin of this operator")),
    };
    if matches!(plan.boundedness(), Boundedness::Unbounded { .. })
        || plan.children().iter().any(|c| matches!(c.boundedness(), Boundedness::Unbounded { .. }))
    {
        return Err(Reason::new(ReasonCode::Unbounded, "unbounded input"));
    }
    match volatile(plan) {
        Some(expr) => Err(Reason::new(ReasonCode::Volatile, expr)),
        None => Ok(lowered),
    }
}

/// The first volatile expression of a node.
fn volatile(plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    let mut found = None;
    // The closure never errs.
    let _ = plan.apply_expressions(&mut |expr: &Arc<dyn PhysicalExpr>| {
        if is_volatile(expr) {
            found = Some(expr.to_string());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// Whether an expression with this id stands somewhere in `plan`.
pub(crate) fn reads_expression(plan: &Arc<dyn ExecutionPlan>, id: u64) -> bool {
    let mut found = false;
    // The closures never err.
    let _ = plan.apply(|node| {
        let _ = node.apply_expressions(&mut |root| {
            root.apply(|expr| {
                if expr.expression_id() == Some(id) {
                    found = true;
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        });
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// The dynamic filter that a node fills as it runs, if it has one.
pub(crate) fn dynamic_filter(plan: &dyn ExecutionPlan) -> Option<Arc<DynamicFilterPhysicalExpr>> {
    plan.dynamic_expressions_produced().into_iter().find_map(|expr| {
        let expr: Arc<dyn Any + Send + Sync> = expr;
        expr.downcast::<DynamicFilterPhysicalExpr>().ok()
    })
}
