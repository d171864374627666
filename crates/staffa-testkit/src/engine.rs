//! The engines that tests compare: stock DataFusion, and Staffa on one of its devices.
//!
//! Suites and contract tests take an [`Engine`], so another one is plugged in by one constructor.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{FutureExt, TryStreamExt};
use staffa_datafusion::{Device, PlanReport, StaffaConfig, original, register, report};

use crate::oracle::Answer;

/// A way to make sessions.
#[derive(Debug, Clone)]
pub struct Engine {
    staffa: Option<StaffaConfig>,
}

impl Engine {
    /// DataFusion without Staffa: the oracle.
    pub fn stock() -> Self {
        Self { staffa: None }
    }

    /// Staffa's CPU engine, for plans of any size.
    pub fn cpu() -> Self {
        Self {
            staffa: Some(StaffaConfig {
                min_rows: 0,
                device: Device::Cpu,
                ..StaffaConfig::default()
            }),
        }
    }

    /// Staffa's CUDA engine, for plans of any size; what it has no form for runs on the CPU engine.
    pub fn gpu() -> Self {
        Self {
            staffa: Some(StaffaConfig {
                min_rows: 0,
                device: Device::Gpu,
                ..StaffaConfig::default()
            }),
        }
    }

    /// Its name in messages.
    pub fn name(&self) -> &'static str {
        match &self.staffa {
            None => "stock",
            Some(_) if self.uses_a_device() => "gpu",
            Some(_) => "cpu",
        }
    }

    /// Whether scans, and what runs with them, are meant for a device.
    pub fn uses_a_device(&self) -> bool {
        self.staffa.as_ref().is_some_and(|config| config.device == Device::Gpu)
    }

    /// The same engine with morsels of `rows` rows; nothing changes for stock DataFusion.
    #[must_use]
    pub fn with_morsel_rows(mut self, rows: usize) -> Self {
        if let Some(config) = &mut self.staffa {
            config.morsel_rows = rows;
        }
        self
    }

    /// Whether its plans must show Staffa nodes.
    pub fn accelerates(&self) -> bool {
        self.staffa.is_some()
    }

    /// A session of this engine.
    pub fn session(&self, config: SessionConfig) -> SessionContext {
        let builder = SessionStateBuilder::new().with_config(config).with_default_features();
        let builder = match &self.staffa {
            Some(staffa) => register(builder, staffa.clone()),
            None => builder,
        };
        SessionContext::new_with_state(builder.build())
    }
}

/// A planned query, ready to run once.
pub struct Planned {
    /// The physical plan.
    pub plan: Arc<dyn ExecutionPlan>,
    /// What its streams run under.
    pub task: Arc<TaskContext>,
}

impl Planned {
    /// Plans `sql` in `ctx`.
    ///
    /// # Errors
    /// SQL that DataFusion refuses.
    pub async fn new(ctx: &SessionContext, sql: &str) -> Result<Self> {
        let frame = ctx.sql(sql).await?;
        let task = Arc::new(frame.task_ctx());
        Ok(Self { plan: frame.create_physical_plan().await?, task })
    }

    /// Plans `sql` and runs it whole; a panic on the way is an error like any other.
    ///
    /// # Errors
    /// What planning or the query errs with, or the message of its panic.
    pub async fn answer_of(ctx: &SessionContext, sql: &str) -> Result<Answer> {
        caught(async { Self::new(ctx, sql).await?.answer().await }).await
    }

    /// The very same plan on DataFusion's own nodes.
    ///
    /// # Errors
    /// DataFusion's, where a node refuses its inputs.
    pub fn without_staffa(&self) -> Result<Self> {
        Ok(Self { plan: original(&self.plan)?, task: Arc::clone(&self.task) })
    }

    /// Runs the plan whole; a panic on the way is an error like any other.
    ///
    /// # Errors
    /// What the query errs with, or the message of its panic.
    pub async fn caught_answer(&self) -> Result<Answer> {
        caught(self.answer()).await
    }

    /// Where each node of the plan runs.
    pub fn report(&self) -> PlanReport {
        report(&self.plan)
    }

    /// Runs the plan as a client would: one stream, read to its end.
    ///
    /// # Errors
    /// What the query errs with.
    pub async fn answer(&self) -> Result<Answer> {
        let stream = execute_stream(self.plan.clone(), self.task.clone())?;
        let batches: Vec<RecordBatch> = stream.try_collect().await?;
        Ok(Answer { schema: self.plan.schema(), batches })
    }
}

async fn caught(run: impl Future<Output = Result<Answer>>) -> Result<Answer> {
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(result) => result,
        Err(_) => Err(exec_datafusion_err!("panicked")),
    }
}
