//! The connection that a file's records run on: it answers like DataFusion's own, and remembers
//! what ran.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::common::exec_datafusion_err;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, execute_stream};
use datafusion::prelude::SessionContext;
use datafusion_sqllogictest::{
    DFOutput, DFSqlLogicTestError, convert_batches, convert_schema_to_types, is_spark_path,
};
use futures::{FutureExt, TryStreamExt};
use sqllogictest::{AsyncDB, DBOutput};
use staffa_datafusion::report;

/// A record that has not ended by then counts as hanging.
const LIMIT: Duration = Duration::from_secs(120);

/// What one SQL text did.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    /// The SQL.
    pub(super) sql: String,
    /// Its rows as text, or its error.
    pub(super) result: Result<Vec<Vec<String>>, String>,
    /// Output columns by which the plan declares its rows sorted.
    pub(super) order: Vec<usize>,
    /// Whether a LIMIT without ORDER BY leaves open which rows come.
    pub(super) open_limit: bool,
    /// Staffa nodes in the executed plan.
    pub(super) staffa_nodes: usize,
}

impl Default for Ran {
    fn default() -> Self {
        Self {
            sql: String::new(),
            result: Ok(Vec::new()),
            order: Vec::new(),
            open_limit: false,
            staffa_nodes: 0,
        }
    }
}

/// Where a probe leaves what ran last.
pub(super) type Last = Arc<Mutex<Option<Ran>>>;

/// A connection to one session.
pub(super) struct Probe {
    pub(super) ctx: SessionContext,
    pub(super) file: PathBuf,
    pub(super) last: Last,
}

#[async_trait]
impl AsyncDB for Probe {
    type Error = DFSqlLogicTestError;
    type ColumnType = datafusion_sqllogictest::DFColumnType;

    async fn run(&mut self, sql: &str) -> Result<DFOutput, DFSqlLogicTestError> {
        let mut ran = Ran { sql: sql.to_string(), ..Ran::default() };
        let run = AssertUnwindSafe(self.query(sql, &mut ran)).catch_unwind();
        let output = match tokio::time::timeout(LIMIT, run).await {
            Ok(Ok(output)) => output,
            Ok(Err(_)) => Err(failure("panicked")),
            Err(_) => Err(failure("hangs")),
        };
        ran.result = match &output {
            Ok(DBOutput::Rows { rows, .. }) => Ok(rows.clone()),
            Ok(_) => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(ran);
        output
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "DataFusion"
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

fn failure(what: &str) -> DFSqlLogicTestError {
    exec_datafusion_err!("the query {what}").into()
}

impl Probe {
    async fn query(&self, sql: &str, ran: &mut Ran) -> Result<DFOutput, DFSqlLogicTestError> {
        let frame = self.ctx.sql(sql).await?;
        ran.open_limit = has_open_limit(frame.logical_plan());
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        ran.staffa_nodes = report(&plan).staffa_nodes();
        ran.order = declared_order(&plan);
        let schema = plan.schema();
        let stream = execute_stream(plan, task)?;
        let types = convert_schema_to_types(stream.schema().fields());
        let batches: Vec<_> = stream.try_collect().await?;
        let rows = convert_batches(&schema, batches, is_spark_path(&self.file))?;
        if rows.is_empty() && types.is_empty() {
            Ok(DBOutput::StatementComplete(0))
        } else {
            Ok(DBOutput::Rows { types, rows })
        }
    }
}

/// The leading output columns of the order that `plan` declares, while they are plain columns.
fn declared_order(plan: &Arc<dyn ExecutionPlan>) -> Vec<usize> {
    let Some(order) = plan.output_ordering() else { return Vec::new() };
    order.iter().map_while(|key| key.expr.downcast_ref::<Column>().map(Column::index)).collect()
}

/// Whether `plan` cuts rows off an input that it does not order first.
fn has_open_limit(plan: &LogicalPlan) -> bool {
    let open = match plan {
        LogicalPlan::Limit(limit) => !is_ordered(&limit.input),
        _ => false,
    };
    open || plan.inputs().into_iter().any(has_open_limit)
}

fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Limit(_) => {
            plan.inputs().into_iter().all(is_ordered)
        }
        _ => false,
    }
}
