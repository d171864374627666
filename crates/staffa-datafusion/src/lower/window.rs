//! Window functions.

use std::sync::Arc;

use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};
use staffa_common::{Reason, ReasonCode};
use staffa_engine::cpu::window::{runs, waits_for_the_end};
use staffa_engine::plan::{NodeOp, WindowSpec};

use super::{Lowered, Setting};
use crate::rule::reads_all;

pub(super) fn lower(plan: &Arc<dyn ExecutionPlan>, setting: Setting) -> Option<Lowered> {
    if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        return Some(lowered(window.window_expr(), false));
    }
    let window = plan.downcast_ref::<BoundedWindowAggExec>()?;
    if window.input_order_mode != InputOrderMode::Sorted {
        let why = "the rows of a partition do not stand together";
        return Some(Err(Reason::new(ReasonCode::WindowOption, why)));
    }
    if window.state_observer().is_some() {
        let why = "an observer is to be given DataFusion's states";
        return Some(Err(Reason::new(ReasonCode::WindowOption, why)));
    }
    let lowered = lowered(window.window_expr(), true);
    if let Ok(NodeOp::Window(spec)) = &lowered
        && setting.limited
        && streams(window.input())
        && waits_for_the_end(spec, &window.input().schema()).unwrap_or(true)
    {
        let why = "a limit above may stop it early, and its twin would read all rows first";
        return Some(Err(Reason::new(ReasonCode::NotFaster, why)));
    }
    Some(lowered)
}

/// Whether the first rows come out before the last ones are read, or merged: below a limit, a sort of all rows is
/// DataFusion's.
fn streams(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<SortExec>().is_some_and(|sort| sort.fetch().is_none())
        || (!reads_all(plan) && plan.children().into_iter().all(streams))
}

fn lowered(exprs: &[Arc<dyn WindowExpr>], bounded: bool) -> Lowered {
    let Some(first) = exprs.first() else {
        return Err(Reason::new(ReasonCode::WindowOption, "no function"));
    };
    for expr in exprs {
        if let Err(why) = runs(expr, bounded) {
            return Err(Reason::new(ReasonCode::WindowOption, format!("{}: {why}", expr.name())));
        }
    }
    // DataFusion's operator, too, has the partitions of the first.
    let partition_by = first.partition_by().to_vec();
    Ok(NodeOp::Window(Arc::new(WindowSpec { exprs: exprs.to_vec(), partition_by })))
}
