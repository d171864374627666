//! Single operators over tables in memory, on plain DataFusion and on Staffa's CPU engine, planning included.
//!
//! Tables are made by a seeded generator when a case is reached and dropped after it.

mod group_by;
mod join;
mod partition;
mod sort;
mod tables;

use std::sync::Arc;

use datafusion::common::{Result, exec_err};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use staffa::report;

use crate::{Engine, SessionOptions};

use tables::Tables;

/// Something that both engines do.
pub struct Case {
    /// `<operator>/<particulars>`.
    pub name: String,
    /// Rows that go in, for the throughput.
    pub rows: usize,
    tables: Box<dyn Fn() -> Result<Tables> + Send>,
    work: Work,
}

/// What is done with the tables.
enum Work {
    Sql(String),
    /// Rows of table `t` are dealt out by the hash of its column `k`.
    Partition(usize),
}

/// Rows of the larger table, unless something else is asked for.
pub const ROWS: usize = 10_000_000;

/// All cases: joins, group-bys, exchanges and sorts, with so many rows in the larger table.
pub fn cases(rows: usize) -> Vec<Case> {
    let cases =
        [join::cases(rows), group_by::cases(rows), partition::cases(rows), sort::cases(rows)];
    cases.into_iter().flatten().collect()
}

/// A case whose tables are made.
pub struct Ready {
    stock: SessionContext,
    staffa: SessionContext,
    work: Work,
}

impl Case {
    fn sql(
        name: String,
        rows: usize,
        sql: impl Into<String>,
        tables: impl Fn() -> Result<Tables> + Send + 'static,
    ) -> Self {
        Self { name, rows, tables: Box::new(tables), work: Work::Sql(sql.into()) }
    }

    /// Makes the tables, and runs the case once on either engine.
    ///
    /// # Errors
    /// DataFusion's. An execution error where Staffa runs nothing of it, or another number of rows comes out:
    /// times would mean nothing.
    pub async fn ready(self, options: &SessionOptions) -> Result<Ready> {
        let tables = (self.tables)()?;
        let (stock, staffa) = (Engine::DataFusion.session(options)?, Engine::Cpu.session(options)?);
        for session in [&stock, &staffa] {
            tables.register(session)?;
        }
        let ready = Ready { stock, staffa, work: self.work };
        if report(&ready.plan(&ready.staffa).await?).staffa_nodes() == 0 {
            return exec_err!("{}: nothing runs on Staffa", self.name);
        }
        let (stock, staffa) = (ready.datafusion().await?, ready.staffa().await?);
        if stock != staffa {
            return exec_err!("{}: {stock} rows on DataFusion, {staffa} on Staffa", self.name);
        }
        Ok(ready)
    }
}

impl Ready {
    /// Runs it on DataFusion: the number of rows that came out.
    ///
    /// # Errors
    /// DataFusion's.
    pub async fn datafusion(&self) -> Result<usize> {
        self.run(&self.stock).await
    }

    /// Runs it on Staffa: the number of rows that came out.
    ///
    /// # Errors
    /// DataFusion's.
    pub async fn staffa(&self) -> Result<usize> {
        self.run(&self.staffa).await
    }

    async fn plan(&self, session: &SessionContext) -> Result<Arc<dyn ExecutionPlan>> {
        match &self.work {
            Work::Sql(sql) => session.sql(sql).await?.create_physical_plan().await,
            Work::Partition(partitions) => partition::plan(session, *partitions).await,
        }
    }

    async fn run(&self, session: &SessionContext) -> Result<usize> {
        let batches = collect(self.plan(session).await?, session.task_ctx()).await?;
        Ok(batches.iter().map(|batch| batch.num_rows()).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [`Case::ready`] makes sure that Staffa ran, and that as many rows come out.
    #[tokio::test]
    async fn every_case_runs_on_both_engines() -> Result<()> {
        for case in cases(20_000) {
            case.ready(&SessionOptions::default()).await?;
        }
        Ok(())
    }
}
