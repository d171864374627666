//! One query, from SQL to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;

use crate::compare::{Answer, Order, order_of};

/// A query that has run.
#[derive(Debug)]
pub struct Run {
    /// Schema and rows.
    pub answer: Answer,
    /// The order that the query asks for.
    pub order: Order,
    /// The plan that ran, with its metrics.
    pub plan: Arc<dyn ExecutionPlan>,
    /// From the SQL text to the last row: parsing, planning and execution.
    pub elapsed: Duration,
}

/// Runs one statement in `ctx` and keeps its whole answer in memory.
///
/// # Errors
/// Whatever planning or execution raises.
pub async fn run_query(ctx: &SessionContext, sql: &str) -> Result<Run> {
    let start = Instant::now();
    let logical = ctx.state().create_logical_plan(sql).await?;
    run_plan(ctx, logical, start).await
}

/// Runs a statement that is a logical plan already; time counts from `start`.
///
/// # Errors
/// Whatever planning or execution raises.
pub async fn run_plan(ctx: &SessionContext, logical: LogicalPlan, start: Instant) -> Result<Run> {
    let (state, logical) = ctx.execute_logical_plan(logical).await?.into_parts();
    let plan = state.create_physical_plan(&logical).await?;
    let batches = collect(Arc::clone(&plan), ctx.task_ctx()).await?;
    let elapsed = start.elapsed();
    let answer = Answer { schema: plan.schema(), batches };
    Ok(Run { answer, order: order_of(&logical), plan, elapsed })
}
