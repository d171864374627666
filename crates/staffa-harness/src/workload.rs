//! A workload: named queries over named Parquet tables.

use std::path::PathBuf;

use datafusion::common::{DataFusionError, Result};
use datafusion::prelude::{ParquetReadOptions, SessionContext};

/// One query of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedQuery {
    /// Its name within the workload, e.g. `q1`.
    pub name: String,
    /// One SELECT statement, with no semicolon.
    pub sql: String,
}

/// One table of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFiles {
    /// The name that queries use.
    pub name: String,
    /// A Parquet file, or a folder of Parquet files with one schema.
    pub path: PathBuf,
}

/// Queries, and the files they read.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Name and size, e.g. `tpch-sf1`.
    pub name: String,
    /// In the order in which they run.
    pub queries: Vec<NamedQuery>,
    /// All tables that the queries name.
    pub tables: Vec<TableFiles>,
}

impl Workload {
    /// Registers every table in `ctx`.
    ///
    /// # Errors
    /// A path that is not valid UTF-8, or files that are not readable as Parquet.
    pub async fn register(&self, ctx: &SessionContext) -> Result<()> {
        for table in &self.tables {
            let path = table.path.to_str().ok_or_else(|| {
                DataFusionError::Configuration(format!(
                    "the path of table {} is not valid UTF-8: {}",
                    table.name,
                    table.path.display()
                ))
            })?;
            ctx.register_parquet(&table.name, path, ParquetReadOptions::default()).await?;
        }
        Ok(())
    }
}
